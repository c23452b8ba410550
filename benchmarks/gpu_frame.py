"""From a 1920x1080 frame in host memory to its result in host memory, on one GPU.

    python benchmarks/gpu_frame.py --out benchmarks/results/gpu_frame.json

Networks: the shipped ones, and some as large as YOLOv8n and YOLOv8m with random weights, in
float32 and float16, all by onnxruntime's CUDA provider, with I/O binding and its CUDA graph.
What the same weights take in torch, in onnxruntime used plainly, and in Ultralytics' predict()
is measured where these are installed. Every step runs in a process of its own with a time limit;
what was measured is kept when a later step fails. Needs about six minutes.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from sized_networks import write_sized_network  # noqa: E402

from trt_perception.evaluation.frame_timing import (  # noqa: E402
    Spread,
    frames_per_second,
    time_frames,
)
from trt_perception.frames import Frame  # noqa: E402
from trt_perception.gpu.sharing import acquire_owner, release_owner  # noqa: E402
from trt_perception.model_spec import load_model_spec  # noqa: E402
from trt_perception.pipeline.perception import (  # noqa: E402
    GpuUse,
    PerceptionPipeline,
    open_pipeline,
)
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime  # noqa: E402
from trt_perception.runtime.selection import BackendChoice  # noqa: E402
from trt_perception.sources.opening import open_source  # noqa: E402

SIZE = (1920, 1080)
CAMERAS = 8
COUNT = 300
FRAMES = 100_000
"""Of random sizes."""

EACH = 150
"""Frames of each camera that has a network of its own."""
SHIPPED = ('street_detect', 'street_instance', 'street_semantic')
SIZED = tuple(
    f'{scale}_{task}_{precision}'
    for scale in 'nm'
    for task in ('detect', 'instance')
    for precision in ('fp32', 'fp16')
)


def model_yaml(name: str, folder: Path) -> Path:
    """The model YAML of a network; a sized one is written first."""
    if name in SHIPPED:
        return HERE.parent / 'config' / 'models' / f'{name}.yaml'
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
def opened(name: str, folder: Path, *, overlap: bool = False) -> Iterator[PerceptionPipeline]:
    """A pipeline on the GPU."""
    pipeline = open_pipeline(
        model_yaml(name, folder), backend='onnxruntime-cuda', gpu_use=GpuUse(overlap=overlap)
    )
    try:
        if type(pipeline).__name__ != 'DevicePipeline':
            raise RuntimeError(pipeline.choice.reason)
        yield pipeline
    finally:
        pipeline.close()


def in_frame_memory(pipeline: PerceptionPipeline, frames: list[Frame]) -> list[Frame]:
    """The frames where a camera could have written them: in memory of the pipeline's."""
    moved = []
    for frame in frames:
        memory = pipeline.frame_memory(frame.data.size)
        memory[:] = frame.data
        moved.append(replace(frame, data=memory))
    return moved


# Steps: each takes the networks' names and a folder, and yields what it has measured.


def frame_latency(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """One frame after the other: nothing queues."""
    frames = frames_of()
    for name in names:
        with opened(name, folder) as pipeline:
            timing = time_frames(pipeline, frames, count=COUNT, warm_up=30)
            locked = time_frames(pipeline, in_frame_memory(pipeline, frames), count=COUNT)
            found = pipeline.process([frames[0]])[0].result
            yield {
                'network': name,
                'objects': len(found) if hasattr(found, 'scores') else None,
                'frame': asdict(timing.whole),
                'bare': asdict(timing.network),
                'over_ms': timing.over_network_ms,
                'p99_over_median': timing.whole.p99_ms / timing.whole.p50_ms,
                'page-locked frame': asdict(locked.whole),
                'page-locked over_ms': locked.over_network_ms,
                'stages': {stage.stage: stage.p50_ms for stage in timing.stages},
            }


def plain_onnxruntime(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """onnxruntime as most use it: session.run on arrays, all else on the CPU."""
    frames = frames_of()
    for name in names:
        yaml = model_yaml(name, folder)
        spec = load_model_spec(yaml)
        choice = BackendChoice('onnxruntime-cuda', 'used plainly')
        pipeline = PerceptionPipeline(spec, OnnxRuntime(spec.onnx, cuda=True), choice)
        timing = time_frames(pipeline, frames, count=100)
        yield {'network': name, 'frame': asdict(timing.whole), 'bare': asdict(timing.network)}
        pipeline.close()


def torch_network(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """The network alone in torch, float16, channels last, with input and output on the GPU."""
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


def ultralytics_predict(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Ultralytics' predict() on the same ONNX file by the same onnxruntime."""
    os.environ['YOLO_OFFLINE'] = 'true'
    os.environ['YOLO_AUTOINSTALL'] = 'false'
    os.environ['YOLO_CONFIG_DIR'] = str(folder)
    import ultralytics

    frames = [frame.data.reshape(frame.height, frame.width, 3) for frame in frames_of()]
    for name in names:
        path = model_yaml(name, folder).with_suffix('.onnx')
        task = 'segment' if 'instance' in name else 'detect'
        network = ultralytics.YOLO(str(path), task=task)
        turns = itertools.cycle(frames)
        times, speeds = [], []
        for number in range(130):
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
            'network': name,
            'version': ultralytics.__version__,
            'objects': objects,
            'frame': asdict(Spread.of(times)),
            'stages': stages,
        }


def cameras(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Eight cameras: in one batch, and with one network each."""
    frames = frames_of(CAMERAS)
    for name in names:
        owner = acquire_owner()
        before = owner.call(lambda gpu: gpu.room.free)
        with opened(name, folder) as pipeline:
            pipeline.process(frames)
            alone = time_frames(pipeline, frames, batch=CAMERAS, count=100)
        release_owner(owner)
        gc.collect()
        with opened(name, folder, overlap=True) as pipeline:
            rate = frames_per_second(pipeline, frames, batch=CAMERAS, count=100)
            moved = in_frame_memory(pipeline, frames)
            locked = frames_per_second(pipeline, moved, batch=CAMERAS, count=100)
            del moved
            used = before - pipeline.runtime.owner.call(lambda gpu: gpu.room.free)
            own = asdict(pipeline.memory)
        bare = CAMERAS * 1e3 / alone.network.p50_ms
        yield {
            'network': name,
            'how': 'one batch',
            'frames_per_second': rate,
            'bare_frames_per_second': bare,
            'share_of_bare': rate / bare,
            'page-locked frames_per_second': locked,
            'page-locked share_of_bare': locked / bare,
            'latency': asdict(alone.whole),
            'device_bytes': used,
            'pipeline_bytes': own,
        }
        yield _networks_each(name, folder, frames)


def _networks_each(name: str, folder: Path, frames: list[Frame]) -> dict[str, Any]:
    owner = acquire_owner()
    room = [owner.call(lambda gpu: gpu.room.free)]
    pipelines = []
    for _ in range(CAMERAS):
        path = model_yaml(name, folder)
        pipelines.append(open_pipeline(path, backend='onnxruntime-cuda'))
        pipelines[-1].process([frames[0]])
        room.append(owner.call(lambda gpu: gpu.room.free))
    times: list[float] = []

    def drive(pipeline: PerceptionPipeline, frame: Frame) -> None:
        for _ in range(EACH):
            start = time.perf_counter()
            pipeline.process([frame])
            times.append((time.perf_counter() - start) * 1e3)

    threads = [
        threading.Thread(target=drive, args=pair) for pair in zip(pipelines, frames, strict=True)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(times) / (time.perf_counter() - start)
    steps = [before - after for before, after in itertools.pairwise(room)]
    for pipeline in pipelines:
        pipeline.close()
    release_owner(owner)
    return {
        'network': name,
        'how': 'a network each',
        'frames_per_second': rate,
        'latency': asdict(Spread.of(times)),
        'device_bytes': room[0] - room[-1],
        'bytes_of_each_camera': steps,
    }


def camera_memory(names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """GPU memory of one to eight cameras in a batch, each number with a pipeline of its own."""
    frames = frames_of(CAMERAS)
    for name in names:
        used = {}
        owner = acquire_owner()
        with opened(name, folder):  # what CUDA keeps for good
            pass
        for count in (1, 2, 4, 8):
            before = owner.call(lambda gpu: gpu.room.free)
            with opened(name, folder) as pipeline:
                pipeline.make_room(count)
                for batch in range(1, count + 1):
                    pipeline.process(frames[:batch])
                used[count] = before - owner.call(lambda gpu: gpu.room.free)
        release_owner(owner)
        yield {
            'network': name,
            'device_bytes': used,
            'of each further camera': (used[8] - used[1]) / 7,
        }


def random_sizes(names: list[str], folder: Path, seconds: float = 62) -> Iterator[dict[str, Any]]:
    """Frames of random sizes: device and host memory stay where they are."""
    import psutil

    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, SIZE[0] * SIZE[1] * 3, np.uint8)
    process = psutil.Process()
    for name in names:
        with opened(name, folder) as pipeline:
            marks = []
            count, end = 0, time.monotonic() + seconds
            pipeline.process([Frame(data, SIZE[1], SIZE[0], SIZE[0] * 3, 'bgr8')])
            while time.monotonic() < end and count < FRAMES:
                if count % 5000 == 0:
                    gc.collect()
                    free = pipeline.runtime.owner.call(lambda gpu: gpu.room.free)
                    marks.append((count, free, process.memory_info().rss))
                width, height = (int(rng.integers(1, most + 1)) for most in SIZE)
                pipeline.process([Frame(data, height, width, width * 3, 'bgr8')])
                count += 1
            free = [mark[1] for mark in marks[1:]] or [0]
            rss = [mark[2] for mark in marks[1:]] or [0]
            yield {
                'network': name,
                'frames': count,
                'device_bytes_moved': max(free) - min(free),
                'host_bytes_moved': max(rss) - min(rss),
                'frames_free_rss': marks,
            }


STEPS: dict[str, tuple[Callable[..., Iterator[dict[str, Any]]], tuple[str, ...], int]] = {
    'latency of shipped networks': (frame_latency, SHIPPED, 40),
    'latency of sized networks': (frame_latency, SIZED, 75),
    'cameras': (cameras, ('street_detect', 'n_detect_fp16', 'm_detect_fp16'), 70),
    'ultralytics': (ultralytics_predict, ('n_detect_fp32', 'm_detect_fp32', 'n_instance_fp32'), 45),
    'onnxruntime used plainly': (plain_onnxruntime, ('n_detect_fp32', 'm_detect_fp32'), 30),
    'random sizes': (random_sizes, ('street_detect',), 75),
    'memory of cameras': (camera_memory, ('street_detect', 'n_detect_fp16'), 30),
    'torch': (torch_network, ('n_detect_fp16', 'm_detect_fp16'), 70),
}
"""What is measured, with which networks, and how many seconds it may take."""


def machine() -> dict[str, Any]:
    """What it was measured on."""
    import importlib.metadata

    from trt_perception.building.device_facts import device_facts

    versions = {}
    for name in (
        'onnxruntime-gpu',
        'onnxruntime',
        'pycuda',
        'numpy',
        'torch',
        'ultralytics',
        'cuda-bindings',
    ):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ''
    import onnxruntime

    # That of the module: another one may be installed beside it.
    versions['onnxruntime'] = onnxruntime.__version__
    return {
        'python': platform.python_version(),
        'cores': os.cpu_count(),
        'load': os.getloadavg(),
        'versions': versions,
        'facts': asdict(device_facts()),
    }


def run_step(name: str, folder: Path) -> None:
    """In the step's own process: print each result as a line of JSON."""
    function, networks, _ = STEPS[name]
    for result in function(list(networks), folder):
        print(json.dumps(result, default=str), flush=True)


def measured(name: str, folder: Path, limit: float) -> dict[str, Any]:
    """Run a step in a process of its own."""
    command = [sys.executable, __file__, '--step', name, '--folder', str(folder)]
    began = time.monotonic()
    with open(folder / 'errors.txt', 'w+') as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            output, _ = process.communicate(timeout=limit)
            ended = f'exit status {process.returncode}' if process.returncode else ''
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            ended = f'stopped after {limit:.0f} s'
        errors.seek(0)
        said = errors.read().strip().splitlines()[-1:] if ended else []
    results = [json.loads(line) for line in output.splitlines() if line.startswith('{')]
    seconds = round(time.monotonic() - began, 1)
    print(f'{name}: {len(results)} results in {seconds} s {ended}', flush=True)
    return {'results': results, 'seconds': seconds, 'ended': ended, 'said': said}


def as_markdown(document: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = [f'# One GPU, frames of {SIZE[0]}x{SIZE[1]}', '', f'`{document["command"]}`', '']
    facts, versions = document['machine']['facts'], document['machine']['versions']
    lines += [f'- {gpu["name"]}, driver {gpu["driver"]}' for gpu in facts.get('gpus', [])]
    lines += [f'- {name} {version}' for name, version in versions.items() if version]
    for name, step in document['steps'].items():
        lines += ['', f'## {name}', '']
        if step.get('note'):
            lines += [step['note'], '']
        if step['ended']:
            lines += [f'Incomplete: {step["ended"]}. {" ".join(step["said"])}', '']
        lines += _table([_flat(result) for result in step['results']])
    return '\n'.join(lines) + '\n'


def _flat(result: dict[str, Any]) -> dict[str, str]:
    cells = {}
    for key, value in result.items():
        if isinstance(value, dict) and 'p50_ms' in value:
            cells[f'{key} p50 ms'] = f'{value["p50_ms"]:.3f}'
            cells[f'{key} p99 ms'] = f'{value["p99_ms"]:.3f}'
        elif isinstance(value, dict):
            cells[key] = ', '.join(
                f'{k} {v:.3f}' if isinstance(v, float) else f'{k} {v}' for k, v in value.items()
            )
        elif isinstance(value, float):
            cells[key] = f'{value:.3f}' if abs(value) < 1000 else f'{value:.0f}'
        elif isinstance(value, list):
            cells[key] = ' '.join(map(str, (value[0], '...', value[-1]))) if value else ''
        else:
            cells[key] = str(value)
    return cells


def _table(rows: list[dict[str, str]]) -> list[str]:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if not rows:
        return []
    lines = [f'| {" | ".join(keys)} |', f'|{"---|" * len(keys)}']
    return lines + [f'| {" | ".join(row.get(key, "") for key in keys)} |' for row in rows]


def main() -> int:
    """Run all steps, and write what each has measured at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=HERE / 'results' / 'gpu_frame.json')
    parser.add_argument('--only', nargs='*', help='steps; default all')
    parser.add_argument(
        '--limit', type=float, default=330, help='seconds in all; no step begins later'
    )
    parser.add_argument('--step', choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder)
        return 0
    document: dict[str, Any] = {
        'format': 'trt_perception.gpu_frame',
        'version': 1,
        'command': 'python benchmarks/gpu_frame.py',
        'machine': machine(),
        'steps': {},
    }
    end = time.monotonic() + arguments.limit
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only or STEPS:
            if time.monotonic() > end:
                document['steps'][name] = {'results': [], 'ended': 'no time left', 'said': []}
                continue
            seconds = min(STEPS[name][2], end - time.monotonic())
            document['steps'][name] = measured(name, Path(folder), seconds)
            arguments.out.write_text(json.dumps(document, indent=1, default=str) + '\n')
            arguments.out.with_suffix('.md').write_text(as_markdown(document))
    return 0


if __name__ == '__main__':
    sys.exit(main())
