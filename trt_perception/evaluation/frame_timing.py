"""How long a pipeline takes from a frame in host memory to its result in host memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trt_perception.decoding.registry import side_inputs_for
from trt_perception.frames import Frame
from trt_perception.onnx_file import read_onnx
from trt_perception.palette import class_colors
from trt_perception.pipeline.contexts import ContextsPipeline
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.statistics import StageLatency
from trt_perception.results import Detections, SegmentationMap
from trt_perception.runtime.layer_times import LayerTime, onnxruntime_layers


@dataclass(frozen=True)
class Spread:
    """Milliseconds of the same work, done many times."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Spread:
        """Of at least one time."""
        p50, p99 = np.percentile(times_ms, (50, 99))
        return cls(len(times_ms), float(p50), float(p99), float(max(times_ms)))


@dataclass(frozen=True)
class FrameTiming:
    """One batch after the other, each waited for.

    Attributes:
        batch: images in it.
        whole: from the call until the results are there.
        network: the network alone, on memory that is where it needs it.
        stages: in the order of the pipeline.
    """

    batch: int
    whole: Spread
    network: Spread
    stages: tuple[StageLatency, ...]

    @property
    def over_network_ms(self) -> float:
        """What everything around the network costs, of the medians."""
        return self.whole.p50_ms - self.network.p50_ms


def time_frames(
    pipeline: PerceptionPipeline,
    frames: Sequence[Frame],
    *,
    batch: int = 1,
    count: int = 200,
    warm_up: int = 10,
) -> FrameTiming:
    """Time a pipeline, one batch after the other.

    Args:
        pipeline: warm. With `pictures`, those belong to the result, whoever makes them.
        frames: at least one; they are taken in turn.
        batch: images at once.
        count: batches that count.
        warm_up: batches before them, which do not.
    """
    batches = in_turn(frames, batch)
    for _ in range(warm_up):
        look(pipeline, next(batches))
    times, stages = [], []
    for _ in range(count):
        chosen = next(batches)
        start = time.perf_counter()
        perceived = look(pipeline, chosen)
        times.append((time.perf_counter() - start) * 1e3)
        stages.append(perceived[0].stages_ms)
    spreads = {name: Spread.of([one[name] for one in stages]) for name in stages[0]}
    return FrameTiming(
        batch,
        Spread.of(times),
        Spread.of(network_times(pipeline, batch, count, warm_up)),
        tuple(StageLatency(n, s.count, s.p50_ms, s.p99_ms) for n, s in spreads.items()),
    )


def look(pipeline: PerceptionPipeline, frames: Sequence[Frame]) -> list[Perceived]:
    """What a pipeline finds in a batch, and the pictures of it where it is asked for them."""
    perceived = pipeline.process(frames)
    for one in perceived if pipeline.pictures else ():
        if isinstance(one.result, SegmentationMap):
            one.result.color_image(class_colors(pipeline.spec.classes))
        elif isinstance(one.result, Detections) and one.result.masks is not None:
            one.result.id_image()
    return perceived


def frames_per_second(
    pipeline: PerceptionPipeline, frames: Sequence[Frame], *, batch: int = 1, count: int = 200
) -> float:
    """Frames a second over `count` batches, as fast as the pipeline takes them."""
    batches = in_turn(frames, batch)
    for _ in pipeline.process_all(next(batches) for _ in range(5)):
        pass
    start = time.perf_counter()
    for _ in pipeline.process_all(next(batches) for _ in range(count)):
        pass
    return count * batch / (time.perf_counter() - start)


def network_times(
    pipeline: PerceptionPipeline, batch: int, count: int, warm_up: int = 10
) -> list[float]:
    """Milliseconds of the network alone."""
    if isinstance(pipeline, (DevicePipeline, ContextsPipeline)):
        return pipeline.network_times(batch, count + warm_up)[warm_up:]
    runtime = pipeline.runtime
    width, height = pipeline.spec.input.size
    tensor = np.zeros((batch, 3, height, width), runtime.inputs[0].dtype)
    times = []
    for _ in range(count + warm_up):
        start = time.perf_counter()
        runtime.infer({runtime.inputs[0].name: tensor})
        times.append((time.perf_counter() - start) * 1e3)
    return times[warm_up:]


def layer_times(
    pipeline: PerceptionPipeline, *, batch: int = 1, runs: int = 20, threads: int | None = None
) -> list[LayerTime]:
    """How long each layer of the pipeline's network takes, in the network's order.

    Args:
        pipeline: warm.
        batch: images at once.
        runs: how many.
        threads: of the CPU, where the network runs there.

    Raises:
        InferenceError: the backend does not time its layers, or fails.
    """
    if isinstance(pipeline, ContextsPipeline):
        pipeline, batch = pipeline.contexts[0], 1
    if isinstance(pipeline, DevicePipeline) and pipeline.runtime.backend != 'onnxruntime-cuda':
        return pipeline.layers(batch, runs)
    width, height = pipeline.spec.input.size
    images = pipeline.runtime.inputs[0]
    rows = side_inputs_for(pipeline.spec, read_onnx(pipeline.spec.onnx).inputs)
    inputs = {images.name: np.zeros((batch, 3, height, width), images.dtype)}
    inputs |= {name: np.repeat(row, batch, axis=0) for name, row in rows.items()}
    cuda = pipeline.runtime.backend == 'onnxruntime-cuda'
    return onnxruntime_layers(pipeline.spec.onnx, inputs, cuda=cuda, runs=runs, threads=threads)


def in_turn(frames: Sequence[Frame], batch: int) -> Iterator[list[Frame]]:
    """Batches without end, of the frames in turn."""
    at = 0
    while True:
        yield [frames[(at + i) % len(frames)] for i in range(batch)]
        at += batch
