"""`trt_perception build`: an engine of a model for this machine, or ahead of time for others."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trt_perception.cli import sensitivity_report
from trt_perception.cli.model_arguments import add_keep_float, add_model, add_precision
from trt_perception.cli.paths import path
from trt_perception.cli.quantities import batch_range, shown_bytes, size_in_bytes, size_range

if TYPE_CHECKING:
    from trt_perception.building.engine_cache import Engine
    from trt_perception.building.engine_gate import EngineGate
    from trt_perception.building.engines import EngineRequest


def describe() -> str:
    """One line for the help text."""
    return 'Build the TensorRT engine of a model and keep it, so that nodes start at once.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the precision, and how to build."""
    add_model(parser)
    add_precision(parser, '-p', default='fp16')
    parser.add_argument(
        '--batch', type=batch_range, metavar='MIN:OPT:MAX', help='images at once, as 1:4:8 or 1'
    )
    parser.add_argument(
        '--size',
        type=size_range,
        metavar='WxH:WxH:WxH',
        help='least, best and largest width and height, for a network that leaves them open; '
        'input.size of the model YAML must lie within',
    )
    parser.add_argument('--workspace', type=size_in_bytes, metavar='SIZE', help='such as 512MiB')
    parser.add_argument(
        '--level', type=int, metavar='0..5', help='builder level: higher looks longer for kernels'
    )
    parser.add_argument(
        '--compute-capability',
        action='append',
        default=[],
        metavar='X.Y',
        help='build ahead of time by TensorRT-RTX for this GPU, without having one; repeatable',
    )
    parser.add_argument(
        '--flavour', default='auto', help='tensorrt, tensorrt-rtx or auto; default %(default)s'
    )
    add_keep_float(parser)
    parser.add_argument('--engines', type=path, metavar='DIR', help='where engines are kept')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress')
    sensitivity_report.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Build, or find that it was built; print what came of it."""
    if arguments.sensitivity:
        return sensitivity_report.report(arguments)
    from trt_perception.building.engine_cache import EngineCache, default_folder
    from trt_perception.building.engine_gate import judged
    from trt_perception.building.engines import Wish, building_gpu, request_engine
    from trt_perception.cli.building import obtain_watched
    from trt_perception.model_spec import load_model_spec
    from trt_perception.model_store import find_model
    from trt_perception.runtime.tensorrt_flavour import find_flavour

    model_yaml = find_model(arguments.model)
    wish = Wish(
        precision=arguments.precision,
        batch=arguments.batch,
        sizes=arguments.size,
        workspace_bytes=arguments.workspace,
        optimization_level=arguments.level,
        targets=tuple(arguments.compute_capability),
        keep_float=tuple(arguments.keep_float),
    )
    ahead = bool(wish.targets) and arguments.flavour == 'auto'
    flavour = find_flavour('tensorrt-rtx' if ahead else arguments.flavour)
    request = request_engine(load_model_spec(model_yaml), model_yaml, wish, flavour, building_gpu())
    cache = EngineCache(arguments.engines or default_folder())
    gate, obstacle = _gate(request)
    engine = obtain_watched(request, cache, quiet=arguments.quiet, gate=gate)
    if gate is not None:
        from trt_perception.building.engine_opening import gated

        engine = gated(engine, request, cache, gate)
    print(summary(request, engine))
    figures = engine.facts.get('gate')
    if figures:
        print(f'  agrees  {judged(request.spec, request.wish.precision, figures)}')
    else:
        print(f'  agrees  not compared with float32 yet: {obstacle or (gate and gate.obstacle)}')
    return 0


def _gate(request: EngineRequest) -> tuple[EngineGate | None, str]:
    """What compares the engine with float32; or None, and why it cannot be done here."""
    from trt_perception.building.engine_gate import EngineGate
    from trt_perception.building.engine_opening import this_device
    from trt_perception.runtime.obstacles import obstacles

    flavour, gpu = request.flavour.name, building_capability()
    if request.wish.targets and gpu not in request.wish.targets:
        return None, 'it is for another GPU; that is done where it is first used'
    lacks = obstacles(flavour)
    if lacks:
        return None, f'it cannot run here: {", and ".join(lacks)}'
    execute = this_device(flavour).execute
    least = request.wish.batch[0] if request.wish.batch else 1
    ranges = request.ranges
    return EngineGate(request.spec, request.wish.precision, ranges, execute, least_batch=least), ''


def building_capability() -> str:
    """Compute capability of the GPU of this machine; '' without one."""
    from trt_perception.building.engines import building_gpu

    gpu = building_gpu()
    return (gpu.compute_capability or '') if gpu else ''


def summary(request: EngineRequest, engine: Engine) -> str:
    """What came of a build, in a few lines."""
    facts = engine.facts
    if engine.origin == 'cache':
        how = 'was built before'
    else:
        how = f'built in {facts["build_seconds"]:.1f} s ({engine.reason})'
    targets = ', '.join(request.wish.targets)
    lines = [
        f'{request.spec.name} {request.wish.precision}: {how}',
        f'  by      {request.flavour}' + (f' for compute capability {targets}' if targets else ''),
        f'  size    {shown_bytes(len(engine.plan))}, {facts["layers"]} layers before fusion; '
        f'peak memory of the build {shown_bytes(facts["peak_memory_bytes"])}',
    ]
    for profile in request.options.profiles:
        for name, extents in profile.items():
            open_to = extents if extents.min != extents.max else 'x'.join(map(str, extents.opt))
            lines.append(f'  takes   {name} {open_to}')
    if request.wish.precision == 'int8':
        lines.append(
            f'  int8    {facts["int8_share"]:.0%} of the multiply-adds; '
            f'{len(facts["float_nodes"])} weighted nodes stay float'
        )
    lines.append(f'  kept    {engine.path or "not kept"}')
    return '\n'.join([*lines, *(f'  warning {text}' for text in engine.warnings)])
