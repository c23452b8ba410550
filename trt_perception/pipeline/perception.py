"""The main path: a camera's frame in, what is seen in it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.first_answer import check_first_answer
from trt_perception.decoding.protocol import Decoder
from trt_perception.decoding.registry import decoder_for, side_inputs_for
from trt_perception.errors import (
    DeviceLostError,
    FrameError,
    InferenceError,
    ModelOutputError,
    PerceptionError,
)
from trt_perception.frames import Frame
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.pipeline.image_input import image_type
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor
from trt_perception.results import DecodeSettings, Result
from trt_perception.runtime.protocol import Runtime, Tensors
from trt_perception.runtime.selection import BackendChoice, open_runtime
from trt_perception.runtime.side_inputs import fed


@dataclass(frozen=True)
class Perceived:
    """What was found in one frame.

    Attributes:
        result: in the frame's own pixels.
        source: the frame, or the picture that was made of it.
        stages_ms: milliseconds that each stage took, in the order of the stages. In a batch,
            the stages done together count whole for every frame: each had to wait for them.
    """

    result: Result
    source: Frame | NDArray[np.uint8]
    stages_ms: dict[str, float]

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] BGR, the frame as it was looked at.

        On a GPU nothing needs it, so it is made for the first who asks, from the frame's data as
        they are then.
        """
        return to_bgr(self.source) if isinstance(self.source, Frame) else self.source


@dataclass(frozen=True)
class GpuUse:
    """How a GPU is used, where there is one.

    Attributes:
        overlap: it works on two batches at a time, for `PerceptionPipeline.process_all`. Without,
            nothing ever queues and a single frame is through soonest.
        cpu_fallback: go on on the CPU where the GPU is lost for good.
        cameras: frames of so many come at the same time. Where the network takes one image at
            a time, each gets an execution context of its own, at a cost of GPU memory; weights
            are there once. See `contexts.ContextsPipeline`.
        context_each: so it is also where the network would take all in one batch.
        concurrent: contexts of TensorRT may run at the same time. Each then has a stream and
            scratch memory of its own; else they take turns and share one.
    """

    overlap: bool = False
    cpu_fallback: bool = False
    cameras: int = 1
    context_each: bool = False
    concurrent: bool = False


DEFAULT_USE = GpuUse()


class PerceptionPipeline:
    """One model, ready to look at frames. Used by one thread at a time.

    Attributes:
        spec: the model.
        settings: thresholds and class filter; may be replaced between two calls.
        pictures: whether somebody will ask the results for their pictures,
            `SegmentationMap.color_image` and `Detections.id_image`. A GPU then makes them beside
            the results; else they are made when they are asked for. May change between two calls.
        choice: the backend and the reason for it.
    """

    def __init__(self, spec: ModelSpec, runtime: Runtime, choice: BackendChoice) -> None:
        """Put the parts together.

        Args:
            spec: the model.
            runtime: its loaded network; closed by `close`.
            choice: which backend that is, and why.

        Raises:
            ModelFileError: the network's input is not an image of the model's size.
            ModelOutputError: its outputs are not those of the model's family.
        """
        self.spec = spec
        self.choice = choice
        self.settings = default_settings(spec)
        self.pictures = False
        self.runtime = fed(runtime, side_inputs_for(spec, runtime.inputs))
        self._input_dtype = image_type(spec, self.runtime)
        self._decoder: Decoder = decoder_for(spec, runtime.outputs)
        self._preprocess = Preprocessor(spec.input, self._input_dtype)
        self._tensor = self._allocate(0)

    @property
    def max_batch(self) -> int | None:
        """Frames in one inference at most; None where nothing but memory bounds them."""
        return self.runtime.max_batch

    def frame_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory for a camera's bytes. On a GPU, a frame in it is not copied on the host.

        Returns:
            uint8 [nbytes], contiguous.
        """
        return np.empty(nbytes, np.uint8)

    def usable(self, frame: Frame) -> Frame:
        """The frame in a form that `process` does not refuse: itself, or converted.

        Raises:
            FrameError: it cannot be used.
        """
        image = to_bgr(frame)
        return frame if np.may_share_memory(image, frame.data) else frame.showing(image)

    def frame_done(self, latency_ms: float) -> None:
        """A frame's result is out. See `AdaptivePipeline`; one network has nothing to choose."""

    def process(self, frames: Sequence[Frame]) -> list[Perceived]:
        """Look at a batch of frames, of one camera or of several, of any sizes.

        Raises:
            FrameError: a frame cannot be used.
            InferenceError: the backend failed.
            ModelOutputError: the network's outputs changed their shape.
        """
        perceived = []
        for outcome in self.process_each(frames):
            if isinstance(outcome, PerceptionError):
                raise outcome
            perceived.append(outcome)
        return perceived

    def process_all(self, batches: Iterable[Sequence[Frame]]) -> Iterator[list[Perceived]]:
        """Look at one batch after the other; see `process`. A GPU may work on two at a time."""
        for frames in batches:
            yield self.process(frames)

    def process_in_turn(self, frames: Sequence[Frame]) -> Iterator[Perceived | PerceptionError]:
        """Like `process_each`, but gives what is there while later frames are still worked on."""
        yield from self.process_each(frames)

    def process_each(self, frames: Sequence[Frame]) -> list[Perceived | PerceptionError]:
        """Like `process`, but a frame that fails takes no other one with it.

        Where the network fails on a batch, each of its frames is tried alone.

        Returns:
            For each frame what was found, or what `process` would have raised for it.
        """
        if not frames:
            return []
        watch = Stopwatch()
        images = [self._readable_or_why_not(frame) for frame in frames]
        watch.lap('convert')
        usable = [image for image in images if not isinstance(image, FrameError)]
        seen = iter(self._look_each(usable, watch) if usable else ())
        return [i if isinstance(i, FrameError) else next(seen) for i in images]

    def _readable_or_why_not(self, frame: Frame) -> Any:
        try:
            return self._readable(frame)
        except FrameError as error:
            error.forget_frames()
            return error

    def _readable(self, frame: Frame) -> Any:
        """What `_look` takes of a frame. Raises FrameError if it cannot be used."""
        return to_bgr(frame)

    def _look_each(
        self, images: Sequence[Any], watch: Stopwatch
    ) -> list[Perceived | PerceptionError]:
        try:
            return [*self._look(images, watch)]
        except DeviceLostError as error:
            error.forget_frames()
            return [error] * len(images)
        except (InferenceError, ModelOutputError) as error:
            if len(images) == 1:
                error.forget_frames()
                return [error]
            return [one for image in images for one in self._look_each([image], watch)]

    def _look(self, images: Sequence[Any], watch: Stopwatch) -> list[Perceived]:
        """The way of images of any sizes, uint8 [H, W, 3] BGR, through the network."""
        letterboxes, outputs = self._infer(images, watch)
        results = self._decoder.decode(outputs, letterboxes, self.settings)
        watch.lap('decode')
        return [Perceived(r, i, dict(watch.laps_ms)) for r, i in zip(results, images, strict=True)]

    def _infer(
        self, images: Sequence[NDArray[np.uint8]], watch: Stopwatch
    ) -> tuple[list[Letterbox], Tensors]:
        """Where each image was placed, and what the network answers."""
        if len(self._tensor) < len(images):
            self._tensor = self._allocate(len(images))
        batch = self._tensor[: len(images)]
        letterboxes = [self._preprocess(i, out) for i, out in zip(images, batch, strict=True)]
        watch.lap('preprocess')
        outputs = self.runtime.infer({self.runtime.inputs[0].name: batch})
        watch.lap('infer')
        return letterboxes, outputs

    def warm_up(self) -> None:
        """Look at one grey frame, so that the first real one finds everything allocated.

        Raises:
            InferenceError: the network does not run.
            ModelOutputError: what it answers cannot be decoded; see `check_first_answer`.
        """
        letterboxes, outputs = self._infer([to_bgr(self._grey_frame())], Stopwatch())
        check_first_answer(self.spec, outputs)
        self._decoder.decode(outputs, letterboxes, self.settings)

    def make_room(self, batch: int) -> None:
        """Get ready for batches of up to so many images, where that takes memory of a GPU.

        Raises:
            InferenceError: the network does not take so many, or there is no room.
        """

    def close(self) -> None:
        """Free the network."""
        self.runtime.close()

    def _grey_frame(self) -> Frame:
        width, height = self.spec.input.size
        return Frame.from_bgr(np.full((height, width, 3), 114, np.uint8))

    def _allocate(self, batch: int) -> NDArray[Any]:
        width, height = self.spec.input.size
        return np.empty((batch, 3, height, width), self._input_dtype)


def default_settings(spec: ModelSpec) -> DecodeSettings:
    """What a model is decoded with unless somebody wants something else."""
    limits = spec.thresholds
    return DecodeSettings(limits.score, limits.iou, limits.max_detections)


def open_pipeline(
    model: str | Path,
    *,
    backend: str = 'auto',
    precision: str = 'fp32',
    threads: int | None = None,
    gpu_use: GpuUse = DEFAULT_USE,
) -> PerceptionPipeline:
    """Load a model and make sure that it runs.

    Args:
        model: a name in the package's `config/models`, or the path of a model YAML file.
        backend: one of `runtime.selection.BACKENDS`.
        precision: one of `runtime.selection.PRECISIONS`.
        threads: CPU threads for one inference; None leaves the choice to the backend.
        gpu_use: how a GPU is used.

    Raises:
        ModelSpecError: the YAML file is missing or wrong.
        ModelFileError: the ONNX file is missing or wrong, or its input does not fit.
        ModelOutputError: its outputs are not those of its family.
        BackendUnavailableError: the backend cannot run here.
        ParameterError: a value is not allowed.
        InferenceError: the network fails on its first frame.
    """
    from trt_perception.pipeline.making import make_pipeline

    spec = load_model_spec(find_model(model))
    runtime, choice = open_runtime(spec.onnx, backend=backend, precision=precision, threads=threads)
    return make_pipeline(spec, runtime, choice, gpu_use)
