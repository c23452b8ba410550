"""`trt_perception build MODEL --sensitivity`: which layers cost accuracy in int8."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trt_perception.errors import ParameterError

if TYPE_CHECKING:
    from trt_perception.building.sensitivity import FloatChoice, LayerCost

SHOWN = 20
"""Layers printed; the others cost less."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The images and the budget."""
    group = parser.add_argument_group('sensitivity')
    group.add_argument(
        '--sensitivity',
        action='store_true',
        help='build nothing; rank the layers by the accuracy that int8 costs there',
    )
    group.add_argument(
        '--loss-budget',
        type=float,
        default=0.02,
        metavar='SHARE',
        help='greatest share of objects or pixels that may change; default %(default)s',
    )
    group.add_argument(
        '--least-int8',
        type=float,
        default=0.85,
        metavar='SHARE',
        help='of the multiply-adds that stay int8; default %(default)s',
    )
    group.add_argument(
        '--images',
        default='synthetic:calibration',
        metavar='SOURCE',
        help='what to measure on; default %(default)s',
    )
    group.add_argument(
        '--image-count', type=int, default=16, metavar='N', help='default %(default)s'
    )


def report(arguments: argparse.Namespace) -> int:
    """Measure, and print the ranking and what to write into the model YAML."""
    from tqdm import tqdm

    from trt_perception.building.calibration_ranges import load_ranges, ranges_path
    from trt_perception.building.gate import first_images
    from trt_perception.building.onnx_graph import graph_digest
    from trt_perception.building.sensitivity import Sensitivity
    from trt_perception.model_spec import load_model_spec
    from trt_perception.model_store import find_model
    from trt_perception.sources.opening import open_source

    for name in ('loss_budget', 'least_int8'):
        value = getattr(arguments, name)
        if not 0 <= value <= 1:
            raise ParameterError(f'--{name.replace("_", "-")} {value}: must lie in 0..1')
    yaml = find_model(arguments.model)
    spec = load_model_spec(yaml)
    digest = graph_digest(spec.onnx)
    ranges = load_ranges(ranges_path(yaml), onnx_sha256=digest, preprocessing=spec.input)
    kept = [*spec.quantisation.keep_float, *arguments.keep_float]
    with open_source(arguments.images) as frames:
        images = first_images(frames, arguments.image_count)
    measured = Sensitivity(spec, ranges, images, keep_float=kept)
    total = len(measured.layers)
    with tqdm(total=total, unit='layer', disable=arguments.quiet or None) as bar:
        costs = measured.costs(on_layer=lambda count: bar.update(count - bar.n))
    print(f'all layers int8: {measured.figures(()).in_words()}')
    print(ranking(costs))
    choice = measured.choose(costs, arguments.loss_budget, arguments.least_int8)
    print(advice(choice, kept, arguments.loss_budget))
    return 0


def ranking(costs: Sequence[LayerCost]) -> str:
    """The most costly layers as a table."""
    from trt_perception.cli.tables import aligned

    rows = [('layer', 'loss', 'error', 'multiply-adds')]
    rows += [
        (c.layer, f'{c.loss:.2%}', f'{c.error:.4f}', f'{c.multiply_adds:.1%}')
        for c in costs[:SHOWN]
    ]
    more = f'\n({len(costs) - SHOWN} more cost less)' if len(costs) > SHOWN else ''
    return aligned(rows, '<>>>') + more


def advice(choice: FloatChoice, kept: Sequence[str], budget: float) -> str:
    """What to write into the model YAML, if anything."""
    met = 'is met' if choice.reached else 'cannot be met'
    lines = [
        f'a loss of {budget:.1%} {met} with {len(choice.layers)} more layers in float: '
        f'{choice.figures.in_words()}; {choice.int8_share:.1%} of the multiply-adds are int8'
    ]
    if choice.layers:
        lines += ['In the model YAML:', 'quantisation:', '  keep_float:']
        lines += [f"    - '{layer}'" for layer in (*kept, *choice.layers)]
    return '\n'.join(lines)
