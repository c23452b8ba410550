"""`trt_perception evaluate`: how good a model is, in several precisions side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trt_perception.cli.model_arguments import add_keep_float, add_model
from trt_perception.cli.numbers import whole
from trt_perception.cli.paths import path

if TYPE_CHECKING:
    from trt_perception.building.engine_cache import Engine, EngineCache
    from trt_perception.building.engine_gate import EngineGate
    from trt_perception.building.engines import EngineRequest
    from trt_perception.evaluation.engine_networks import EngineSource
    from trt_perception.evaluation.networks import Network


def describe() -> str:
    """One line for the help text."""
    return 'Measure accuracy and speed of a model on known data, in several precisions.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the precisions, the data, and where the report goes."""
    add_model(parser)
    _add_what(parser)
    parser.add_argument('--limit', type=whole, metavar='N', help='most images')
    parser.add_argument(
        '--out', '-o', type=path, metavar='DIR', help='write JSON, Markdown and plots there'
    )
    parser.add_argument('--threads', type=whole, metavar='N', help='CPU threads')
    _add_classes(parser.add_argument_group('classes'))
    quantised = parser.add_argument_group('fp16 and int8')
    quantised.add_argument(
        '--calibration',
        type=path,
        metavar='FILE',
        help='default: MODEL.calibration.json beside the model YAML',
    )
    add_keep_float(quantised)
    parser.add_argument(
        '--engines', type=path, metavar='DIR', help='where engines of TensorRT are kept'
    )
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress')


def _add_what(parser: argparse.ArgumentParser) -> None:
    """What stands side by side, and the data."""
    parser.add_argument(
        '--precisions',
        '-p',
        default='fp32',
        metavar='LIST',
        help='such as fp32,fp16,int8; default %(default)s',
    )
    parser.add_argument(
        '--backends',
        default='onnxruntime-cpu',
        metavar='LIST',
        help='one or more of tensorrt, tensorrt-rtx, onnxruntime-cuda, onnxruntime-cpu, side by '
        'side; default %(default)s',
    )
    parser.add_argument(
        '--dataset',
        default='synthetic:test',
        metavar='DATA',
        help='synthetic:SPLIT[:N], coco:ANNOTATIONS.json:IMAGES or cityscapes:FOLDER[:SPLIT]; '
        'default %(default)s',
    )


def _add_classes(classes: argparse._ArgumentGroup) -> None:
    """How classes of the data and of the model belong together."""
    classes.add_argument(
        '--map',
        dest='renamed',
        action='append',
        default=[],
        metavar='DATA=MODEL',
        help="a class of the data and the model's name for it; repeatable",
    )
    classes.add_argument(
        '--common-classes', action='store_true', help='judge only the classes that both have'
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, write the report."""
    from tqdm import tqdm

    from trt_perception.evaluation.class_mapping import match_classes
    from trt_perception.evaluation.measuring import evaluate
    from trt_perception.evaluation.opening import open_dataset
    from trt_perception.evaluation.report import document_of
    from trt_perception.model_spec import load_model_spec
    from trt_perception.model_store import find_model

    yaml = find_model(arguments.model)
    spec = load_model_spec(yaml)
    dataset = open_dataset(arguments.dataset, spec)
    classes = match_classes(
        dataset.class_names,
        spec.class_names,
        renamed(arguments.renamed),
        common_only=arguments.common_classes,
    )
    folder: Path | None = arguments.out
    if folder is not None:
        _make(folder)
    networks: list[Network] = []
    try:
        for network in _open(spec, yaml, arguments):
            networks.append(network)
        total = min(len(dataset), arguments.limit or len(dataset))
        with tqdm(total=total, unit='image', disable=arguments.quiet or None) as bar:
            done = evaluate(networks, dataset, classes, limit=arguments.limit, on_image=bar.update)
    finally:
        for opened in networks:
            opened.pipeline.close()
    document = document_of(spec, dataset, classes, done, threads=arguments.threads)
    print(in_words(document))
    if folder is not None:
        _write(folder, document)
    return 0


def renamed(pairs: list[str]) -> dict[str, str]:
    """From texts such as 'person=pedestrian'.

    Raises:
        ParameterError: one has another form.
    """
    from trt_perception.errors import ParameterError

    found = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition('=')
        if not (ours and equals and theirs):
            raise ParameterError(f'--map {pair!r}: expected DATA=MODEL, as in person=pedestrian')
        found[ours] = theirs
    return found


def _open(spec: Any, yaml: Path, arguments: argparse.Namespace) -> Iterator[Network]:
    from trt_perception.evaluation.networks import (
        checked_backends,
        checked_precisions,
        open_network,
    )

    precisions = checked_precisions([p for p in arguments.precisions.split(',') if p])
    backends = checked_backends([b for b in arguments.backends.split(',') if b])
    engines = _engines(arguments) if set(backends) & {'tensorrt', 'tensorrt-rtx'} else None
    for backend in backends:
        for precision in precisions:
            yield open_network(
                spec,
                yaml,
                precision,
                backend=backend,
                calibration=arguments.calibration,
                keep_float=arguments.keep_float,
                threads=arguments.threads,
                engines=engines,
            )


def _engines(arguments: argparse.Namespace) -> EngineSource:
    """Engines are built with progress shown, and Ctrl-C stops the build."""
    from trt_perception.building.engine_cache import EngineCache, default_folder
    from trt_perception.cli.building import obtain_watched
    from trt_perception.evaluation.engine_networks import EngineSource

    def obtain(request: EngineRequest, cache: EngineCache, gate: EngineGate) -> Engine:
        return obtain_watched(request, cache, quiet=arguments.quiet, gate=gate)

    return EngineSource(obtain, EngineCache(arguments.engines or default_folder()))


def in_words(document: dict[str, Any]) -> str:
    """The report for the terminal: the table, the classes, and what must be known."""
    from trt_perception.cli.tables import aligned
    from trt_perception.evaluation.report import class_rows, notes, summary_rows

    rows = summary_rows(document)
    # Turned, since a terminal is narrower than the table.
    turned = [tuple(cells) for cells in zip(*rows, strict=True)]
    lines = [
        f'{document["model"]} on {document["dataset"]}: {document["images"]} images, in points',
        aligned(turned, '<' + '>' * (len(rows) - 1)),
    ]
    for part in document['networks'][0]['accuracy']:
        table = class_rows(document, part)
        lines += ['', f'{part}, by class', aligned(table, '<' + '>' * (len(table[0]) - 1))]
    lines += ['', *notes(document)]
    lines += [f'skipped {entry["image"]}: {entry["reason"]}' for entry in document['skipped']]
    return '\n'.join(lines)


def _make(folder: Path) -> None:
    from trt_perception.errors import OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f'{folder}: cannot be made: {error}') from error


def _write(folder: Path, document: dict[str, Any]) -> None:
    from trt_perception.errors import OutputError
    from trt_perception.evaluation.plots import plots_of
    from trt_perception.evaluation.report import markdown_of

    stem = f'evaluate_{document["model"]}'
    files = {
        f'{stem}.json': json.dumps(document, indent=1) + '\n',
        f'{stem}.md': markdown_of(document),
        **{f'{stem}_{name}.svg': svg for name, svg in plots_of(document).items()},
    }
    for name, text in files.items():
        try:
            (folder / name).write_text(text, encoding='utf-8')
        except OSError as error:
            raise OutputError(f'{folder / name}: cannot be written: {error}') from error
    print(f'{folder}: {", ".join(files)}')
