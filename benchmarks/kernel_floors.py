"""How far each kernel is from its floor, on one GPU.

    python benchmarks/kernel_floors.py --out benchmarks/results/kernel_floors

Writes a table (.md) and its figures (.json). The floor of a case is the bytes that it has to read
and write over the bandwidth of a device-to-device copy measured in the same run, plus what its
launches cost when they do nothing. Launches are recorded in CUDA graphs, so that the time is the
GPU's and not Python's; each median is of 30 replays.

*Cold* goes through so many sets of buffers that none is left in the L2 cache. *Warm* repeats one
set, as when a frame was just copied in or a network has just written its output.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))

from trt_perception.gpu.cuda_driver import import_pycuda
from trt_perception.gpu.graphs import CudaGraph
from trt_perception.kernels.class_map import ClassMapKernels, GridLayout
from trt_perception.kernels.compilers import find_compiler
from trt_perception.kernels.compiling import SOURCES
from trt_perception.kernels.dense_head import DenseHeadKernels, HeadLayout
from trt_perception.kernels.instance_masks import InstanceMaskKernels, Prototypes, mask_layouts
from trt_perception.kernels.launching import DeviceKernels
from trt_perception.kernels.letterbox import DeviceImage, LetterboxKernel
from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings

COLD_BYTES = 400 << 20
"""More than any L2 cache holds."""

MOST_SETS = 48
REPLAYS = 30
FULL_HD = (1920, 1080)
NETWORK = (640, 640)
PIXEL_BYTES = {'nv12': 1.5, 'bayer_rggb8': 1, 'yuyv': 2}


class Gpu:
    """Memory, a stream and kernels; counts launches."""

    def __init__(self) -> None:
        self.driver = import_pycuda()
        device = self.driver.Device(0)
        self.context = device.retain_primary_context()
        self.context.push()
        self.name = device.name()
        self.stream = self.driver.Stream(1)
        self.kernels = DeviceKernels(self.driver, tuple(device.compute_capability()))
        self.kernels.load(SOURCES)
        self.launches = 0
        self.memory: list[Any] = []

    def launch(self, *arguments: Any) -> None:
        self.launches += 1
        self.kernels.launch(*arguments)

    def keep(self, data: Any) -> int:
        return self.kernels.keep(data)

    def allocate(self, nbytes: int) -> int:
        self.memory.append(self.driver.mem_alloc(nbytes))
        return int(self.memory[-1])

    def upload(self, data: Any) -> int:
        address = self.allocate(data.nbytes)
        self.driver.memcpy_htod(address, np.ascontiguousarray(data))
        return address

    def free(self) -> None:
        for memory in self.memory:
            memory.free()
        self.memory.clear()


@dataclass
class Case:
    """One measurement.

    Attributes:
        name: what is measured.
        nbytes: that have to be read and written for one run.
        make: allocates one set of buffers and gives the function that enqueues a run.
        note: what stands in the table.
    """

    name: str
    nbytes: int
    make: Callable[[Gpu], Callable[[], None]]
    note: str = ''
    figures: dict[str, float] = field(default_factory=dict)


def timed(gpu: Gpu, runs: list[Callable[[], None]], rounds: int) -> float:
    """Microseconds of the GPU for one run: `rounds` times all of `runs`, in one graph."""
    for run in runs:
        run()
    gpu.stream.synchronize()

    def record() -> None:
        for _ in range(rounds):
            for run in runs:
                run()

    graph = CudaGraph(gpu.stream, record)
    begin, end = gpu.driver.Event(), gpu.driver.Event()
    times = []
    for _ in range(REPLAYS + 3):
        begin.record(gpu.stream)
        graph.launch()
        end.record(gpu.stream)
        end.synchronize()
        times.append(end.time_since(begin) * 1e3 / (rounds * len(runs)))
    graph.close()
    return statistics.median(times[3:])


def measure(gpu: Gpu, case: Case) -> None:
    first = case.make(gpu)
    gpu.launches = 0
    first()
    case.figures['launches'] = gpu.launches
    sets = min(max(COLD_BYTES // case.nbytes, 2), MOST_SETS)
    case.figures['warm_us'] = timed(gpu, [first], 20)
    case.figures['cold_us'] = timed(gpu, [first, *(case.make(gpu) for _ in range(sets - 1))], 1)
    gpu.free()


def bandwidth(gpu: Gpu) -> float:
    """Bytes read and written per microsecond by a large copy."""
    nbytes = 512 << 20
    one, other = gpu.allocate(nbytes), gpu.allocate(nbytes)
    begin, end = gpu.driver.Event(), gpu.driver.Event()
    times = []
    for _ in range(10):
        begin.record(gpu.stream)
        gpu.driver.memcpy_dtod_async(one, other, nbytes, gpu.stream)
        end.record(gpu.stream)
        end.synchronize()
        times.append(end.time_since(begin) * 1e3)
    gpu.free()
    return 2 * nbytes / min(times)


def idle_launch(gpu: Gpu) -> float:
    """Microseconds of a launch that does nothing: class_axes of an image without pixels."""
    kernels = ClassMapKernels(gpu, GridLayout(1, (1, 1), np.dtype(np.uint8)))
    call = kernels._call(0, (Letterbox.fit((1, 1), (1, 1)),), None, 0, (0,), (0,)).copy()
    call['images'][0]['grid']['x']['pixels'] = 0
    call['images'][0]['grid']['y']['pixels'] = 0

    def run() -> None:
        gpu.launch('class_map', 'class_axes', (1, 1, 1), (256, 1, 1), call, gpu.stream)

    return timed(gpu, [run], 100)


def noise(nbytes: int, seed: int = 0) -> Any:
    return np.resize(np.random.default_rng(seed).integers(0, 256, 1 << 20, np.uint8), nbytes)


def letterbox_case(
    encoding: str, dtype: str, *, size: tuple[int, int] = FULL_HD, batch: int = 1
) -> Case:
    per_pixel = PIXEL_BYTES.get(encoding, 3)
    step = int(size[0] * (1 if encoding == 'nv12' else per_pixel))
    image_bytes = int(size[0] * size[1] * per_pixel)
    spec = InputSpec(NETWORK)
    placed = Letterbox.fit(size, NETWORK)
    # Two rows are read for each row of the result.
    share = min(2 * placed.resized[1] / size[1], 1.0)
    tensor_bytes = 3 * NETWORK[0] * NETWORK[1] * np.dtype(dtype).itemsize

    def make(gpu: Gpu) -> Callable[[], None]:
        kernel = LetterboxKernel(gpu, spec, dtype)
        images = [
            DeviceImage(gpu.upload(noise(image_bytes, i)), *size, step, encoding)
            for i in range(batch)
        ]
        tensor = gpu.allocate(tensor_bytes * batch)
        return lambda: kernel.enqueue(images, tensor, gpu.stream) and None

    name = f'letterbox {size[0]}x{size[1]} {encoding} to {dtype}'
    return Case(name, int(batch * (image_bytes * share + tensor_bytes)), make, f'batch {batch}')


def head_predictions(layout: HeadLayout, candidates: int, batch: int) -> Any:
    """So many anchors of each image score, in crowds of 20 or so."""
    rng = np.random.default_rng(1)
    rows = np.zeros((batch, layout.anchors, layout.values), np.float32)
    before = 4 + layout.objectness
    for image in rows:
        chosen = rng.choice(layout.anchors, candidates, replace=False)
        centres = rng.random((max(candidates // 20, 1), 2)) * NETWORK
        crowd = rng.integers(0, len(centres), candidates)
        image[chosen, :2] = centres[crowd] + rng.normal(size=(candidates, 2)) * 4
        image[chosen, 2:4] = 60 + rng.random((candidates, 2)) * 10
        if layout.objectness:
            image[chosen, 4] = 1
        classes = before + crowd % layout.classes
        image[chosen, classes] = 0.3 + 0.7 * rng.random(candidates)
        if layout.extras:
            image[:, -layout.extras :] = rng.normal(size=(layout.anchors, layout.extras))
    ordered = rows if layout.objectness else rows.transpose(0, 2, 1)
    return np.ascontiguousarray(ordered, layout.dtype)


def head_case(layout: HeadLayout, candidates: int, batch: int = 1) -> Case:
    letterboxes = [Letterbox.fit(FULL_HD, NETWORK)] * batch
    # With objectness, the classes of anchors below the threshold need not be read.
    numbers = layout.anchors * (1 if layout.objectness else layout.classes)
    numbers += candidates * (layout.values if layout.objectness else 4)
    predictions = head_predictions(layout, candidates, batch)

    def make(gpu: Gpu) -> Callable[[], None]:
        kernels = DenseHeadKernels(gpu, layout)
        source = gpu.upload(predictions)
        scratch = gpu.allocate(kernels.scratch_bytes(batch))
        result = gpu.allocate(kernels.result_bytes(batch))
        stream, settings = gpu.stream, DecodeSettings()
        return lambda: kernels.enqueue(source, letterboxes, settings, scratch, result, stream)

    style = 'YOLOv5' if layout.objectness else 'YOLOv8'
    name = f'{style} head, {layout.anchors} anchors, {layout.classes} classes, {layout.dtype}'
    note = f'batch {batch}, {candidates} candidates each'
    return Case(name, batch * numbers * layout.dtype.itemsize, make, note)


def mask_case(dtype: str, objects: int) -> Case:
    layout = HeadLayout(8400, 80, extras=32, dtype=np.dtype(dtype))
    letterbox = Letterbox.fit(FULL_HD, NETWORK)
    predictions = np.zeros((1, layout.values, layout.anchors), layout.dtype)
    rng = np.random.default_rng(2)
    for i in range(objects):
        centre = (60 + 130 * (i % 5), 180 + 90 * (i // 5 % 4))
        predictions[0, :4, i] = (*centre, 110, 80)
        predictions[0, 4 + i % 80, i] = 0.9
    predictions[0, -32:] = rng.normal(size=(32, layout.anchors))
    prototypes = rng.normal(size=(1, 32, 160, 160)).astype(dtype)
    area = objects * 110 * 80 * 9

    def make(gpu: Gpu) -> Callable[[], None]:
        head = DenseHeadKernels(gpu, layout)
        kernels = InstanceMaskKernels(gpu, head, Prototypes(32, (160, 160)), id_image=True)
        source, cells = gpu.upload(predictions), gpu.upload(prototypes)
        scratch, result_bytes = gpu.allocate(head.scratch_bytes(1)), head.result_bytes(1)
        layouts, _, end = mask_layouts([letterbox], result_bytes, [8 << 20], id_image=True)
        result = gpu.allocate(end)
        places = gpu.allocate(kernels.scratch_bytes([letterbox]))
        head.enqueue(source, [letterbox], DecodeSettings(), scratch, result, gpu.stream)
        addresses = source, cells, result
        return lambda: kernels.enqueue(addresses, [letterbox], layouts, places, result, gpu.stream)

    # Prototypes are read where the boxes are; masks are written and read again for the ids.
    nbytes = prototypes.nbytes + 2 * area + 2 * FULL_HD[0] * FULL_HD[1]
    return Case(f'masks and id image at 1920x1080, {dtype}', nbytes, make, f'{objects} objects')


def class_map_case(dtype: str, *, colour: bool, classes: int = 19, finer: int = 1) -> Case:
    letterbox = Letterbox.fit(FULL_HD, (1024, 576))
    height, width = 72 * finer, 128 * finer
    shape = (1, classes, height, width)
    rng = np.random.default_rng(3)
    # Smooth, as networks' logits are: regions of a class with borders between.
    coarse = rng.normal(size=(1, classes, 9, 16)).astype(np.float32)
    logits = coarse.repeat(8 * finer, 2).repeat(8 * finer, 3) + rng.normal(size=shape) * 0.2
    cells = logits.astype(dtype)
    pixels = FULL_HD[0] * FULL_HD[1]

    def make(gpu: Gpu) -> Callable[[], None]:
        palette = noise(768).reshape(256, 3)
        layout = GridLayout(classes, (width, height), np.dtype(dtype))
        kernels = ClassMapKernels(gpu, layout, palette)
        source = gpu.upload(cells)
        scratch = gpu.allocate(kernels.scratch_bytes([letterbox]))
        ids = gpu.allocate(pixels)
        colours = gpu.allocate(3 * pixels) if colour else 0
        return lambda: kernels.enqueue(
            source, [letterbox], None, scratch, [ids], [colours], gpu.stream
        )

    nbytes = cells.nbytes + pixels * (4 if colour else 1)
    note = 'ids and colours' if colour else 'ids'
    name = f'class map at 1920x1080, {classes} classes in {width}x{height}, {dtype}'
    return Case(name, nbytes, make, note)


def cases() -> Iterator[Case]:
    for encoding in ('bgr8', 'nv12', 'yuyv', 'bayer_rggb8'):
        yield letterbox_case(encoding, 'float16')
    yield letterbox_case('bgr8', 'float32')
    yield letterbox_case('bgr8', 'float16', batch=8)
    yield letterbox_case('nv12', 'float16', size=(3840, 2160))
    yield letterbox_case('bgr8', 'float16', size=(1280, 720))
    half = np.dtype(np.float16)
    for candidates in (0, 200, 1000, 8400):
        yield head_case(HeadLayout(8400, 80, dtype=half), candidates)
    yield head_case(HeadLayout(8400, 80), 200)
    yield head_case(HeadLayout(8400, 80, dtype=half), 200, batch=8)
    yield head_case(HeadLayout(25200, 80, objectness=True, dtype=half), 500)
    yield head_case(HeadLayout(33600, 80, dtype=half), 33600)
    yield mask_case('float16', 20)
    yield mask_case('float32', 100)
    yield class_map_case('float16', colour=False)
    yield class_map_case('float16', colour=True)
    yield class_map_case('float16', colour=True, classes=150)
    yield class_map_case('float16', colour=True, finer=8)


def table(measured: list[Case], facts: dict[str, Any]) -> str:
    lines = [
        f'{facts["gpu"]}, driver API {facts["driver"]}, {facts["compiler"]}. A copy moves '
        f'{facts["copy_gb_s"]:.0f} GB/s, read and written; an idle launch in a graph takes '
        f'{facts["idle_launch_us"]:.2f} us.',
        '',
        '| case | | launches | MB | floor us | cold us | times floor | warm us |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for case in measured:
        f = case.figures
        lines.append(
            f'| {case.name} | {case.note} | {f["launches"]:.0f} | {case.nbytes / 1e6:.1f} '
            f'| {f["floor_us"]:.1f} | {f["cold_us"]:.1f} | {f["cold_us"] / f["floor_us"]:.1f} '
            f'| {f["warm_us"]:.1f} |'
        )
    return '\n'.join(lines) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='path of the results, without its ending')
    arguments = parser.parse_args()
    gpu = Gpu()
    try:
        rate, idle = bandwidth(gpu), idle_launch(gpu)
        facts = {
            'gpu': gpu.name,
            'driver': gpu.driver.get_driver_version(),
            'compiler': find_compiler().version,
            'python': platform.python_version(),
            'numpy': np.__version__,
            'command': 'python benchmarks/kernel_floors.py',
            'copy_gb_s': rate / 1e3,
            'idle_launch_us': idle,
        }
        measured = []
        for case in cases():
            measure(gpu, case)
            case.figures['floor_us'] = case.nbytes / rate + case.figures['launches'] * idle
            measured.append(case)
            print(case.name, case.note, case.figures, flush=True)
    finally:
        gpu.free()
        gpu.kernels.close()
        gpu.stream = None
        gpu.context.pop()
    text = table(measured, facts)
    print(text)
    if arguments.out:
        rows = [{'case': c.name, 'note': c.note, 'bytes': c.nbytes, **c.figures} for c in measured]
        document = json.dumps({**facts, 'cases': rows}, indent=1)
        arguments.out.with_suffix('.json').write_text(document + '\n')
        arguments.out.with_suffix('.md').write_text(text)


if __name__ == '__main__':
    main()
