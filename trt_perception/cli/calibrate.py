"""`trt_perception calibrate`: the ranges that int8 needs, from images, once, on any machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trt_perception.cli.model_arguments import add_model
from trt_perception.cli.paths import path

if TYPE_CHECKING:
    from trt_perception.building.calibration_ranges import CalibrationRanges
    from trt_perception.model_spec import ModelSpec
    from trt_perception.sources.source import Source

METHODS = ('entropy', 'minmax', 'percentile')


def describe() -> str:
    """One line for the help text."""
    return 'Find the ranges for int8 from images; import and export caches of TensorRT.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the images, the method; or a cache to import or export."""
    add_model(parser)
    _add_what(parser)
    parser.add_argument(
        '--out',
        '-o',
        type=path,
        metavar='FILE',
        help='the calibration file; default: MODEL.calibration.json beside the model YAML',
    )
    _add_looking(parser.add_argument_group('with --images'))
    exporting = parser.add_argument_group('with --export')
    exporting.add_argument(
        '--tensorrt',
        default='100300',
        metavar='VERSION',
        help='the TensorRT that shall read it; default %(default)s for 10.3.0',
    )
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress')


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Images, or a cache to import or export: one of them."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        '--images',
        metavar='SOURCE',
        help='a folder of images, a video, a bag or synthetic:calibration',
    )
    what.add_argument(
        '--import',
        dest='import_cache',
        type=path,
        metavar='CACHE',
        help="take the ranges from TensorRT's calibration cache",
    )
    what.add_argument(
        '--export',
        dest='export_cache',
        type=path,
        metavar='CACHE',
        help="write the model's ranges as TensorRT's calibration cache",
    )


def _add_looking(looking: argparse._ArgumentGroup) -> None:
    """How ranges are found from images."""
    looking.add_argument('--method', choices=METHODS, default='entropy', help='default %(default)s')
    looking.add_argument(
        '--limit', type=int, default=100, metavar='N', help='most images; default %(default)s'
    )
    looking.add_argument(
        '--percentile', type=float, default=99.99, help='for that method; default %(default)s'
    )
    looking.add_argument('--topic', help='image topic of a bag with several')
    looking.add_argument('--threads', type=int, metavar='N', help='CPU threads')


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from trt_perception.building.calibration_ranges import ranges_path, write_ranges
    from trt_perception.model_spec import load_model_spec
    from trt_perception.model_store import find_model

    yaml = find_model(arguments.model)
    spec = load_model_spec(yaml)
    out: Path = arguments.out or ranges_path(yaml)
    if arguments.export_cache:
        _export(spec, out, arguments.export_cache, arguments.tensorrt)
        return 0
    ranges = (
        _imported(spec, arguments.import_cache)
        if arguments.import_cache
        else _calibrated(spec, arguments)
    )
    write_ranges(out, ranges)
    print(f'{out}: {len(ranges.tensors)} tensors, {ranges.in_words()}')
    return 0


def _calibrated(spec: ModelSpec, arguments: argparse.Namespace) -> CalibrationRanges:
    from tqdm import tqdm

    from trt_perception.building.calibrate import CalibrationOptions, calibrate
    from trt_perception.sources.opening import open_source

    options = CalibrationOptions(
        arguments.method, arguments.limit, arguments.percentile, arguments.threads
    )
    options.check()
    with open_source(arguments.images, topic=arguments.topic) as source:
        total = min(source.count or options.limit, options.limit)
        with tqdm(total=total, unit='image', disable=arguments.quiet or None) as bar:
            done = calibrate(
                spec,
                source,
                options,
                source=arguments.images,
                unreadable=lambda: _unreadable(source),
                on_image=lambda count: bar.update(count - bar.n),
            )
    for warning in done.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return done.ranges


def _unreadable(source: Source) -> int:
    return sum(source.skipped.values())


def _imported(spec: ModelSpec, cache: Path) -> CalibrationRanges:
    from trt_perception.building.calibration_exchange import import_cache
    from trt_perception.building.calibration_text import parse_calibration_text

    imported = import_cache(spec.onnx, parse_calibration_text(_content(cache), str(cache)))
    for warning in imported.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return imported.ranges


def _export(spec: ModelSpec, file: Path, cache: Path, version: str) -> None:
    from trt_perception.building.calibration_exchange import export_cache
    from trt_perception.building.calibration_ranges import load_ranges
    from trt_perception.building.calibration_text import write_calibration_text
    from trt_perception.building.onnx_graph import graph_digest
    from trt_perception.errors import OutputError

    ranges = load_ranges(file, onnx_sha256=graph_digest(spec.onnx), preprocessing=spec.input)
    text = export_cache(ranges, version)
    try:
        cache.write_bytes(write_calibration_text(text))
    except OSError as error:
        raise OutputError(f'{cache}: cannot be written: {error}') from error
    print(f'{cache}: {len(text.scales)} tensors for TensorRT {version}, {text.algorithm}')


def _content(path: Path) -> bytes:
    from trt_perception.errors import CalibrationError

    try:
        return path.read_bytes()
    except OSError as error:
        raise CalibrationError(f'{path}: cannot be read: {error}') from error
