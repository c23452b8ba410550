"""The steps of `gpu_frame.py`: each takes networks' names and a folder, and yields its figures."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from sized_networks import write_sized_network

from trt_perception.evaluation.frame_timing import (
    FrameTiming,
    Spread,
    frames_per_second,
    time_frames,
)
from trt_perception.frames import Frame
from trt_perception.gpu.owner import GpuOwner
from trt_perception.gpu.sharing import acquire_owner, release_owner
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.perception import GpuUse, PerceptionPipeline, open_pipeline
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.selection import BackendChoice
from trt_perception.sources.opening import open_source

HERE = Path(__file__).resolve().parent

SIZE = (1920, 1080)
CAMERAS = 8
COUNT = 500
FRAMES = 100_000
"""Of random sizes."""

ORDINARY = 'ordinary'
LOCKED = 'page-locked, as nodes take it'
"""Memory in which a frame may be: `DevicePipeline.frame_memory`, into which the package's nodes
take a camera's bytes, or any other."""

SHIPPED = ('street_detect', 'street_instance', 'street_semantic', 'street_semantic, coloured')
SIZED = tuple(
    f'{scale}_{task}_{precision}'
    for scale in 'nm'
    for task in ('detect', 'instance')
    for precision in ('fp32', 'fp16')
)
COLOURED = ', coloured'
"""Of a network's name: with the picture of its class map, which the GPU makes too."""

BATCH, CONTEXTS = WAYS = ('one batch', 'a context each')
"""How one network serves several cameras."""

AIM_MS = {'detect': 0.4, 'instance': 0.6, 'semantic': 0.6}
"""Milliseconds over the network at most, by task."""

Results = Iterator[dict[str, Any]]


def model_yaml(name: str, folder: Path) -> Path:
    """The model YAML of a network; a sized one is written first."""
    if name.startswith('street'):
        return HERE.parent / 'config' / 'models' / f'{name.removesuffix(COLOURED)}.yaml'
    path = folder / f'{name}.yaml'
    if not path.exists():
        scale, task, precision = name.split('_')
        write_sized_network(folder, scale, task, half=precision == 'fp16')
    return path


def frames_of(count: int = 6) -> list[Frame]:
    """Frames of a street."""
    with open_source('synthetic:3', size=SIZE) as source:
        return list(itertools.islice(source, count))


@contextmanager
def opened(name: str, folder: Path, **use: Any) -> Iterator[PerceptionPipeline]:
    """A pipeline on the GPU."""
    pipeline = open_pipeline(
        model_yaml(name, folder), backend='onnxruntime-cuda', gpu_use=GpuUse(**use)
    )
    pipeline.pictures = name.endswith(COLOURED)
    try:
        if not hasattr(pipeline, 'frame_memory'):
            raise RuntimeError(pipeline.choice.reason)
        yield pipeline
    finally:
        pipeline.close()


def in_frame_memory(pipeline: PerceptionPipeline, frames: Sequence[Frame]) -> list[Frame]:
    """The frames where a node takes them: in memory of the pipeline's."""
    moved = []
    for frame in frames:
        memory = pipeline.frame_memory(frame.data.size)
        memory[:] = frame.data
        moved.append(replace(frame, data=memory))
    return moved


def frame_latency(names: Sequence[str], folder: Path) -> Results:
    """One frame after the other: nothing queues."""
    frames = frames_of()
    for name in names:
        with opened(name, folder) as pipeline:
            found = pipeline.process([frames[0]])[0].result
            objects = len(found.scores) if hasattr(found, 'scores') else None
            aim = AIM_MS[next(task for task in AIM_MS if task in name)]
            for memory in (LOCKED, ORDINARY):
                given = in_frame_memory(pipeline, frames) if memory == LOCKED else frames
                timing = time_frames(pipeline, given, count=COUNT, warm_up=40)
                yield {
                    **{'network': name, 'memory': memory, 'objects': objects},
                    **_latency(timing),
                    **{'aim_ms': aim, 'stages': {s.stage: s.p50_ms for s in timing.stages}},
                }
                del given


def _latency(timing: FrameTiming) -> dict[str, Any]:
    return {
        'frame': asdict(timing.whole),
        'bare': asdict(timing.network),
        'over_ms': timing.over_network_ms,
        'p99_over_median': timing.whole.p99_ms / timing.whole.p50_ms,
    }


def cameras(names: Sequence[str], folder: Path) -> Results:
    """Eight cameras: in one batch, and with an execution context each."""
    frames = frames_of(CAMERAS)
    for name, how in itertools.product(names, WAYS):
        use = {'cameras': CAMERAS, 'context_each': True} if how == CONTEXTS else {}
        with _free_memory() as free:
            before = free()
            with opened(name, folder, overlap=True, **use) as pipeline:
                pipeline.make_room(CAMERAS)
                for memory in (LOCKED, ORDINARY):
                    given = in_frame_memory(pipeline, frames) if memory == LOCKED else frames
                    rate = frames_per_second(pipeline, given, batch=CAMERAS, count=150)
                    timing = time_frames(pipeline, given, batch=CAMERAS, count=100)
                    bare = CAMERAS * 1e3 / timing.network.p50_ms
                    yield {
                        **{'network': name, 'how': how, 'memory': memory},
                        **{'frames_per_second': rate, 'bare_frames_per_second': bare},
                        **{'share_of_bare': rate / bare, 'latency': asdict(timing.whole)},
                        'device_bytes': before - free(),
                    }
                    del given


@contextmanager
def _free_memory() -> Iterator[Callable[[], int]]:
    """Gives a function that tells the GPU's free bytes, with the GPU held open."""
    owner = acquire_owner()
    try:
        yield lambda: free_bytes(owner)
    finally:
        release_owner(owner)


def free_bytes(owner: GpuOwner) -> int:
    """Of the GPU, for all processes."""
    gc.collect()
    return owner.call(lambda gpu: gpu.room.free)


def camera_memory(names: Sequence[str], folder: Path) -> Results:
    """GPU memory of one to eight cameras, each number with a pipeline of its own."""
    frames = frames_of(CAMERAS)
    for name, how in itertools.product(names, WAYS):
        used = {}
        with _free_memory() as free:
            with opened(name, folder):  # what CUDA keeps for good
                pass
            for count in (1, 4, 8):
                use = {'cameras': count, 'context_each': True} if how == CONTEXTS else {}
                before = free()
                with opened(name, folder, **use) as pipeline:
                    pipeline.make_room(count)
                    for batch in range(1, count + 1):
                        pipeline.process(frames[:batch])
                    used[count] = before - free()
        yield {
            **{'network': name, 'how': how, 'device_bytes': used},
            'of each further camera': (used[8] - used[1]) / 7,
        }


def random_sizes(names: Sequence[str], folder: Path, seconds: float = 150) -> Results:
    """Batches of one to eight frames of random sizes; memory of the GPU and the host stays."""
    import psutil

    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, SIZE[0] * SIZE[1] * 3, np.uint8)
    process = psutil.Process()

    def batches(pipeline: PerceptionPipeline) -> Iterator[list[Frame]]:
        count, end = 0, time.monotonic() + seconds
        while count < FRAMES and time.monotonic() < end:
            if count >= 5000 * len(marks):
                free = free_bytes(pipeline.runtime.owner)
                marks.append((count, free, process.memory_info().rss))
            batch = min(int(rng.integers(1, CAMERAS + 1)), FRAMES - count)
            sizes = rng.integers(1, SIZE, (batch, 2), endpoint=True).tolist()
            yield [Frame(data, h, w, w * 3, 'bgr8') for w, h in sizes]
            count += batch

    for name in names:
        marks: list[tuple[int, int, int]] = []
        with opened(name, folder, overlap=True) as pipeline:
            pipeline.make_room(CAMERAS)
            for height in (SIZE[1], SIZE[1] - 1):  # of the first, only some rows are copied
                largest = [Frame(data, height, SIZE[0], SIZE[0] * 3, 'bgr8')] * CAMERAS
                list(pipeline.process_all([largest] * 3))  # in both sets of buffers
            began = time.monotonic()
            frames = sum(len(found) for found in pipeline.process_all(batches(pipeline)))
            took = time.monotonic() - began
            marks.append((frames, free_bytes(pipeline.runtime.owner), process.memory_info().rss))
        settled = marks[1:] or marks
        yield {
            'network': name,
            'frames': frames,
            'seconds': took,
            'device_bytes_moved': max(m[1] for m in settled) - min(m[1] for m in settled),
            'host_bytes_moved': max(m[2] for m in settled) - min(m[2] for m in settled),
            'frames_free_rss': marks,
        }


def plain_onnxruntime(names: Sequence[str], folder: Path) -> Results:
    """onnxruntime as most use it: session.run on arrays, all else on the CPU."""
    frames = frames_of()
    for name in names:
        spec = load_model_spec(model_yaml(name, folder))
        choice = BackendChoice('onnxruntime-cuda', 'used plainly')
        pipeline = PerceptionPipeline(spec, OnnxRuntime(spec.onnx, cuda=True), choice)
        timing = time_frames(pipeline, frames, count=100)
        yield {'network': name, 'frame': asdict(timing.whole), 'bare': asdict(timing.network)}
        pipeline.close()


def torch_network(names: Sequence[str], folder: Path) -> Results:
    """The network alone in torch, float16, with input and output on the GPU."""
    import torch
    from onnx_in_torch import TorchNetwork

    for name in names:
        path = model_yaml(name.replace('fp16', 'fp32'), folder).with_suffix('.onnx')
        module = TorchNetwork(path).eval().cuda().half()
        images = torch.rand(1, 3, 640, 640, device='cuda').half()

        def run(call: Callable[..., Any], images: Any = images) -> Spread:
            with torch.inference_mode():
                for _ in range(20):
                    call(images)
                torch.cuda.synchronize()
                times = []
                for _ in range(COUNT):
                    start = time.perf_counter()
                    call(images)
                    torch.cuda.synchronize()
                    times.append((time.perf_counter() - start) * 1e3)
            return Spread.of(times)

        yield {'network': name, 'by': 'torch eager', 'bare': asdict(run(module))}
        compiled = torch.compile(module, mode='reduce-overhead')
        yield {'network': name, 'by': 'torch.compile', 'bare': asdict(run(compiled))}


def ultralytics_predict(names: Sequence[str], folder: Path) -> Results:
    """Ultralytics' predict() on the same ONNX files by the same onnxruntime, with all its defaults.

    `rect=False` feeds the square that the network and this package take. This package's times
    are those of the other steps: importing Ultralytics turns OpenCV's threads off.
    """
    os.environ |= {'YOLO_OFFLINE': 'true', 'YOLO_AUTOINSTALL': 'false'}
    os.environ['YOLO_CONFIG_DIR'] = str(folder)
    import ultralytics

    images = [frame.data.reshape(frame.height, frame.width, 3) for frame in frames_of()]
    for name in names:
        path = model_yaml(name, folder).with_suffix('.onnx')
        task = 'segment' if 'instance' in name else 'detect'
        network = ultralytics.YOLO(str(path), task=task)
        turns = itertools.cycle(images)
        times, speeds = [], []
        for number in range(180):
            start = time.perf_counter()
            (found,) = network.predict(next(turns), device=0, imgsz=640, rect=False, verbose=False)
            objects = len(found.boxes.xyxy.cpu().numpy())
            if found.masks is not None:
                found.masks.data.cpu().numpy()
            if number >= 30:
                times.append((time.perf_counter() - start) * 1e3)
                speeds.append(found.speed)
        stages = {key: float(np.median([s[key] for s in speeds])) for key in speeds[0]}
        yield {
            **{'network': name, 'version': ultralytics.__version__, 'objects': objects},
            **{'frame': asdict(Spread.of(times)), 'stages': stages},
        }


Step = tuple[Callable[[Sequence[str], Path], Results], tuple[str, ...], int]

STEPS: dict[str, Step] = {
    'latency of shipped networks': (frame_latency, SHIPPED, 40),
    'latency of sized networks': (frame_latency, SIZED, 75),
    'cameras': (cameras, ('street_detect', 'n_detect_fp16', 'm_detect_fp16'), 80),
    'ultralytics': (ultralytics_predict, ('n_detect_fp32', 'm_detect_fp32', 'n_instance_fp32'), 45),
    'random sizes': (random_sizes, ('street_detect',), 170),
    'memory of cameras': (camera_memory, ('street_detect', 'n_detect_fp16'), 70),
    'torch': (torch_network, ('n_detect_fp16', 'm_detect_fp16'), 70),
    'onnxruntime used plainly': (plain_onnxruntime, ('n_detect_fp32', 'm_detect_fp32'), 30),
}
"""What is measured, with which networks, and how many seconds it may take."""
