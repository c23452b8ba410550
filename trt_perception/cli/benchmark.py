"""`trt_perception benchmark`: how long a frame takes to its result, stage by stage."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trt_perception.cli.model_arguments import add_backend, add_model, add_precision
from trt_perception.cli.numbers import size, whole
from trt_perception.cli.paths import path

if TYPE_CHECKING:
    from trt_perception.evaluation.frame_timing import FrameTiming
    from trt_perception.frames import Frame
    from trt_perception.pipeline.perception import PerceptionPipeline
    from trt_perception.runtime.layer_times import LayerTime

SHOWN_LAYERS = 25
"""Layers printed; the others take less."""


def describe() -> str:
    """One line for the help text."""
    return 'Measure how long a frame takes to its result, stage by stage, and the network alone.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, what it is fed with, and what is to be told."""
    add_model(parser)
    add_backend(parser)
    add_precision(parser, '-p')
    parser.add_argument('--threads', type=whole, metavar='N', help='CPU threads for inference')
    _add_load(parser)
    parser.add_argument(
        '--throughput',
        action='store_true',
        help='measure frames a second as well; a GPU then works on two batches at a time',
    )
    parser.add_argument(
        '--trace',
        type=path,
        metavar='FILE',
        help='write when the GPU did what, for https://ui.perfetto.dev or chrome://tracing',
    )
    parser.add_argument('--layers', action='store_true', help='time each layer of the network')
    parser.add_argument('--json', type=path, metavar='FILE', help='write the figures')


def _add_load(parser: argparse.ArgumentParser) -> None:
    """Frames, how many at a time, and what is made of them."""
    parser.add_argument(
        '--input', default='synthetic', metavar='SOURCE', help='see `detect`; default %(default)s'
    )
    parser.add_argument(
        '--size', type=size, default=(1920, 1080), metavar='WxH', help='default 1920x1080'
    )
    parser.add_argument(
        '--cameras', type=whole, default=1, metavar='N', help='frames in a batch; default 1'
    )
    parser.add_argument(
        '--contexts',
        action='store_true',
        help='an execution context of the network for each camera, on a GPU, in place of batches',
    )
    parser.add_argument(
        '--concurrent',
        action='store_true',
        help="with --contexts: TensorRT's may run at the same time, with scratch memory each",
    )
    parser.add_argument(
        '--count', type=whole, default=200, metavar='N', help='batches; default %(default)s'
    )
    parser.add_argument(
        '--pictures',
        action='store_true',
        help='with what nodes publish as pictures: a class map in colours, the ids of masks',
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    from trt_perception.evaluation.frame_timing import frames_per_second, time_frames

    _check_contexts(arguments)
    _check_folders(arguments.trace, arguments.json)
    frames = _frames(arguments)
    pipeline = _opened(arguments)
    try:
        if arguments.contexts:
            _check_on_gpu(pipeline, '--contexts')
        _check_batch(pipeline, arguments.cameras)
        if arguments.trace is not None:
            _check_on_gpu(pipeline, '--trace')
        pipeline.pictures = arguments.pictures
        batch, count = arguments.cameras, arguments.count
        timing = time_frames(pipeline, frames, batch=batch, count=count)
        rate = None
        if arguments.throughput:
            rate = frames_per_second(pipeline, frames, batch=batch, count=count)
        if arguments.trace is not None:
            _trace(pipeline, frames, batch, arguments.trace)
        layers = _layers(pipeline, arguments) if arguments.layers else []
        print(report(pipeline, arguments.size, timing, rate, layers))
        if arguments.json is not None:
            _write(arguments.json, pipeline, arguments, timing, rate, layers)
    finally:
        pipeline.close()
    return 0


def _opened(arguments: argparse.Namespace) -> PerceptionPipeline:
    from trt_perception.building.opening import open_built_pipeline
    from trt_perception.pipeline.perception import GpuUse

    return open_built_pipeline(
        arguments.model,
        backend=arguments.backend,
        precision=arguments.precision,
        threads=arguments.threads,
        max_batch=1 if arguments.contexts else max(arguments.cameras, 1),
        gpu_use=GpuUse(
            overlap=arguments.throughput or arguments.trace is not None,
            cameras=arguments.cameras,
            context_each=arguments.contexts,
            concurrent=arguments.concurrent,
        ),
    )


def _layers(pipeline: PerceptionPipeline, arguments: argparse.Namespace) -> list[LayerTime]:
    from trt_perception.evaluation.frame_timing import layer_times

    return layer_times(pipeline, batch=arguments.cameras, threads=arguments.threads)


def report(
    pipeline: PerceptionPipeline,
    image: tuple[int, int],
    timing: FrameTiming,
    rate: float | None,
    layers: list[LayerTime],
) -> str:
    """The figures as text."""
    from trt_perception.cli.tables import aligned

    runtime, choice = pipeline.runtime, pipeline.choice
    rows = [('', 'p50 ms', 'p99 ms')]
    spreads = [('frame to result', timing.whole), ('network alone', timing.network)]
    rows += [(name, f'{s.p50_ms:.3f}', f'{s.p99_ms:.3f}') for name, s in spreads]
    rows += [(f'  {s.stage}', f'{s.p50_ms:.3f}', f'{s.p99_ms:.3f}') for s in timing.stages]
    lines = [
        f'{pipeline.spec.name} on {runtime.backend} in {runtime.precision}: {choice.reason}',
        f'{timing.batch} image(s) of {image[0]}x{image[1]} at once, {timing.whole.count} times',
        aligned(rows, '<>>'),
        f'around the network: {timing.over_network_ms:.3f} ms',
    ]
    if rate is not None:
        lines.append(f'throughput: {rate:.1f} frames a second')
    if layers:
        lines.append(_layer_table(layers))
    return '\n'.join(lines)


def _layer_table(layers: list[LayerTime]) -> str:
    from trt_perception.cli.tables import aligned

    total = sum(layer.ms for layer in layers) or 1.0
    slowest = sorted(layers, key=lambda layer: -layer.ms)
    rows = [('layer', 'operator', 'ms', 'share')]
    rows += [
        (layer.name[:60], layer.kind, f'{layer.ms:.4f}', f'{layer.ms / total:.1%}')
        for layer in slowest[:SHOWN_LAYERS]
    ]
    more = len(layers) - SHOWN_LAYERS
    return aligned(rows, '<<>>') + (f'\n({more} more take less)' if more > 0 else '')


def _frames(arguments: argparse.Namespace) -> list[Frame]:
    """Some frames in host memory, so that reading them is not measured."""
    import itertools

    from trt_perception.errors import ParameterError
    from trt_perception.sources.opening import open_source

    with open_source(arguments.input, size=arguments.size) as source:
        frames = list(itertools.islice(source, max(8, arguments.cameras)))
    if not frames:
        raise ParameterError(f'{arguments.input} has no frames. Name another --input')
    return frames


def _check_contexts(arguments: argparse.Namespace) -> None:
    from trt_perception.errors import ParameterError

    if arguments.concurrent and not arguments.contexts:
        raise ParameterError('--concurrent is about contexts: give --contexts, too')
    if arguments.contexts and arguments.cameras < 2:
        raise ParameterError('--contexts is for several cameras: give --cameras N, too')


def _check_folders(*files: Path | None) -> None:
    """Before anything is measured that could not be written."""
    from trt_perception.errors import OutputError

    for file in files:
        if file is not None and not file.parent.is_dir():
            raise OutputError(f'{file}: cannot be written: there is no folder {file.parent}')


def _check_batch(pipeline: PerceptionPipeline, cameras: int) -> None:
    from trt_perception.errors import ParameterError

    most = pipeline.max_batch
    if most is not None and most < cameras:
        raise ParameterError(
            f'--cameras {cameras}: {pipeline.spec.name} takes {most} image(s) at once on '
            f'{pipeline.runtime.backend} ({pipeline.choice.reason}). Export it with an open batch'
        )


def _check_on_gpu(pipeline: PerceptionPipeline, option: str) -> None:
    from trt_perception.errors import ParameterError
    from trt_perception.pipeline.contexts import ContextsPipeline
    from trt_perception.pipeline.device_perception import DevicePipeline

    if not isinstance(pipeline, (DevicePipeline, ContextsPipeline)):
        raise ParameterError(
            f'{option} needs a GPU, but the frames are on the CPU: {pipeline.choice.reason}'
        )


def _trace(
    pipeline: PerceptionPipeline, frames: list[Frame], batch: int, path: Path, count: int = 30
) -> None:
    import itertools

    from trt_perception.evaluation.frame_timing import in_turn
    from trt_perception.gpu.trace import write_trace
    from trt_perception.pipeline.contexts import ContextsPipeline
    from trt_perception.pipeline.device_perception import DevicePipeline

    assert isinstance(pipeline, (DevicePipeline, ContextsPipeline))
    pipeline.start_trace()
    for _ in pipeline.process_all(itertools.islice(in_turn(frames, batch), count)):
        pass
    write_trace(path, pipeline.stop_trace())
    print(f'trace of {count} batches written to {path}')


def _write(
    path: Path,
    pipeline: PerceptionPipeline,
    arguments: argparse.Namespace,
    timing: FrameTiming,
    rate: float | None,
    layers: list[LayerTime],
) -> None:
    import dataclasses
    import json

    from trt_perception.building.device_facts import device_facts
    from trt_perception.errors import OutputError

    content: dict[str, Any] = {
        'format': 'trt_perception.benchmark',
        'version': 1,
        'model': pipeline.spec.name,
        'backend': pipeline.runtime.backend,
        'precision': pipeline.runtime.precision,
        'reason': pipeline.choice.reason,
        'image_size': arguments.size,
        'timing': dataclasses.asdict(timing),
        'frames_per_second': rate,
        'layers': [dataclasses.asdict(layer) for layer in layers],
        'machine': dataclasses.asdict(device_facts()),
    }
    try:
        path.write_text(json.dumps(content, indent=2, default=str) + '\n')
    except OSError as error:
        raise OutputError(f'{path}: cannot be written: {error}') from error
