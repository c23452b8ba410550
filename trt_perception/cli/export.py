"""`trt_perception export`: a torch module or an ONNX file becomes a checked, complete ONNX file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trt_perception.cli.numbers import share, size, whole
from trt_perception.cli.paths import path


def describe() -> str:
    """One line for the help text."""
    return 'Write a torch module, or an ONNX file again, as ONNX that needs no YAML.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The source, what it is, and what is put into the graph."""
    parser.add_argument(
        'source',
        metavar='SOURCE',
        help='module:factory, a function that gives a torch module; or an ONNX file',
    )
    parser.add_argument('--out', '-o', type=path, required=True, metavar='FILE.onnx')
    torch = parser.add_argument_group('torch module')
    torch.add_argument('--weights', type=path, metavar='FILE', help='state dict from torch.save')
    torch.add_argument('--size', type=size, metavar='WxH', help='of the input')
    torch.add_argument('--fixed-batch', action='store_true', help='one image at a time, no more')
    said = parser.add_argument_group('metadata')
    said.add_argument('--family', help='which decoder reads the outputs')
    said.add_argument('--task', help='such as detect or semantic; default: what the outputs tell')
    said.add_argument(
        '--names', metavar='A,B', help='classes in order, or a text file with one a line'
    )
    said.add_argument('--key-points', metavar='A,B', help='names of the key points in order')
    said.add_argument('--color-order', choices=('rgb', 'bgr'))
    said.add_argument('--mean', metavar='R,G,B', help='subtracted from pixels of 0 to 255')
    said.add_argument('--scale', metavar='R,G,B', help='multiplied after that')
    said.add_argument('--resize', choices=('letterbox', 'stretch', 'centre_crop'))
    graph = parser.add_argument_group('graph')
    graph.add_argument('--argmax', action='store_true', help='semantic models return class ids')
    graph.add_argument(
        '--suppression', action='store_true', help='detection models return few objects'
    )
    graph.add_argument('--iou', type=share, default=0.6, help='of --suppression; default 0.6')
    graph.add_argument(
        '--candidates', type=whole, default=300, metavar='N', help='of --suppression; default 300'
    )
    graph.add_argument('--no-simplify', action='store_true', help='leave the graph as it is')


def run(arguments: argparse.Namespace) -> int:
    """Export and print what came of it."""
    from trt_perception.errors import ParameterError
    from trt_perception.exporting.export import Export, export
    from trt_perception.exporting.suppression import SuppressionOptions

    if arguments.argmax and arguments.suppression:
        raise ParameterError('--argmax is for semantic models, --suppression for detection')
    suppression = SuppressionOptions(arguments.iou, arguments.candidates)
    done = export(
        Export(
            arguments.source,
            arguments.out,
            weights=arguments.weights,
            size=arguments.size,
            metadata=_metadata(arguments),
            argmax=arguments.argmax,
            suppression=suppression if arguments.suppression else None,
            open_batch=not arguments.fixed_batch,
            simplify=not arguments.no_simplify,
        )
    )
    print(f'{done.path}: {done.path.stat().st_size / 1e6:.2f} MB, {done.nodes} nodes')
    if done.compared_with:
        print(
            f'compared with {done.compared_with} on random images: '
            f'largest difference {done.difference:.1e} of the largest value'
        )
    if done.spec is not None:
        print(f'complete: family {done.spec.family}, task {done.spec.task}, model:={done.path}')
    else:
        print(f'not complete by itself: {done.asks}')
    return 0


def _metadata(arguments: argparse.Namespace) -> dict[str, str]:
    """What the options say, as the file will say it."""
    said = {
        'family': arguments.family,
        'task': arguments.task,
        'color_order': arguments.color_order,
        'mean': arguments.mean,
        'scale': arguments.scale,
        'resize': arguments.resize,
    }
    if arguments.names is not None:
        said['names'] = json.dumps(_names(arguments.names))
    if arguments.key_points is not None:
        said['key_points'] = json.dumps(_names(arguments.key_points))
    return {key: value for key, value in said.items() if value is not None}


def _names(text: str) -> list[str]:
    """Names between commas, or those in a file, one a line."""
    file = Path(text)
    words = file.read_text('utf-8').splitlines() if file.is_file() else text.split(',')
    return [word.strip() for word in words if word.strip()]
