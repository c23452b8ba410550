"""Calibration: from a model and images to the ranges of its tensors.

The images go through the very preprocessing that the pipeline runs.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.allowed_values import check_range
from trt_perception.building.calibration_ranges import CalibrationImages, CalibrationRanges
from trt_perception.building.onnx_graph import graph_digest
from trt_perception.building.range_collection import METHODS, CalibrationMethod, RangeCollector
from trt_perception.building.thresholds import DEFAULT_PERCENTILE
from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import CalibrationError, FrameError, ModelFileError, ParameterError
from trt_perception.frames import Frame
from trt_perception.model_spec import ModelSpec
from trt_perception.onnx_file import read_onnx
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.preprocessing.preprocessor import Preprocessor

DEFAULT_LIMIT = 100
"""Images that are looked at unless told otherwise."""

FEW = 32
"""Fewer images than this are warned of."""

_ALIKE = 2.0
"""Two images whose thumbnails differ by less, in mean grey levels, are alike."""

_BLACK = 8
"""An image none of whose values is greater is black."""


@dataclass(frozen=True)
class CalibrationOptions:
    """How to calibrate.

    Attributes:
        method: one of `range_collection.METHODS`.
        limit: most images to look at, at least 1.
        percentile: for that method, above 0, at most 100.
        threads: CPU threads; None leaves the choice to onnxruntime.
    """

    method: CalibrationMethod = 'entropy'
    limit: int = DEFAULT_LIMIT
    percentile: float = DEFAULT_PERCENTILE
    threads: int | None = None

    def check(self) -> None:
        """Raise ParameterError if a value is not allowed."""
        if self.method not in METHODS:
            raise ParameterError(
                f'method {self.method!r} is unknown; allowed: {", ".join(METHODS)}'
            )
        if self.limit < 1:
            raise ParameterError(f'limit {self.limit}: at least 1 image is needed')
        check_range('percentile', self.percentile, 0, 100, above_low=True)


@dataclass(frozen=True)
class Calibration:
    """What a calibration gives.

    Attributes:
        ranges: to be written with `calibration_ranges.write_ranges`.
        warnings: what makes them doubtful, one sentence each.
    """

    ranges: CalibrationRanges
    warnings: tuple[str, ...]


def calibrate(
    spec: ModelSpec,
    frames: Iterable[Frame],
    options: CalibrationOptions | None = None,
    *,
    source: str = '',
    unreadable: Callable[[], int] = lambda: 0,
    on_image: Callable[[int], object] = lambda count: None,
) -> Calibration:
    """Calibrate a model.

    Args:
        spec: the model; its ONNX file is the float32 one.
        frames: of any size and encoding; those that cannot be used are skipped.
        options: how.
        source: where the frames come from, for the file.
        unreadable: frames that the source itself had to skip so far.
        on_image: called with the number of images looked at, after each.

    Raises:
        ParameterError: an option is not allowed.
        CalibrationError: no image, over half of them unreadable, all of them black, or the
            network computes NaN.
        ModelFileError: the network cannot be used.
        BackendUnavailableError: onnxruntime is not installed.
        InferenceError: the network fails.
    """
    options = options or CalibrationOptions()
    options.check()
    tensor = _input_tensor(spec)
    collector = RangeCollector(
        spec.onnx,
        options.method,
        percentile=options.percentile,
        threads=options.threads,
        sides=side_inputs_for(spec, read_onnx(spec.onnx).inputs),
    )
    seen = _Seen()
    try:
        preprocess = Preprocessor(spec.input, tensor.dtype)
        for image in itertools.islice(seen.usable(frames), options.limit):
            preprocess(image, tensor[0])
            tensor[1:] = tensor[0]
            collector.add(tensor)
            on_image(collector.images)
        seen.check(source, unreadable())
        images = CalibrationImages(source, collector.images, tuple(seen.hashes))
        ranges = _ranges(spec, options, images, collector)
    finally:
        collector.close()
    warnings = seen.warnings(unreadable()) + _silent(ranges)
    return Calibration(ranges, tuple(warnings))


def _ranges(
    spec: ModelSpec,
    options: CalibrationOptions,
    images: CalibrationImages,
    collector: RangeCollector,
) -> CalibrationRanges:
    return CalibrationRanges(
        onnx=spec.onnx.name,
        onnx_sha256=graph_digest(spec.onnx),
        method=options.method,
        detail=f'{options.percentile:g}' if options.method == 'percentile' else '',
        preprocessing=spec.input,
        images=images,
        tensors=collector.ranges(),
    )


def _input_tensor(spec: ModelSpec) -> NDArray[np.generic]:
    """An array as the network takes it, for one batch of the size that it demands."""
    every = read_onnx(spec.onnx).inputs
    sides = side_inputs_for(spec, every)
    inputs = [tensor for tensor in every if tensor.name not in sides]
    if len(inputs) != 1:
        names = ', '.join(tensor.name for tensor in every)
        raise ModelFileError(
            f'{spec.onnx}: has {len(every)} inputs ({names}); only networks that take one '
            'image can be calibrated'
        )
    width, height = spec.input.size
    batch = max(inputs[0].shape[0], 1) if inputs[0].shape else 1
    if inputs[0].dtype not in (np.float32, np.float16, np.uint8):
        raise ModelFileError(
            f'{spec.onnx}: input {inputs[0].name} is of type {inputs[0].dtype}; float32, '
            'float16 and uint8 are supported. Export it with one of these'
        )
    return np.empty((batch, 3, height, width), inputs[0].dtype)


@dataclass
class _Seen:
    """The images looked at: their hashes, and whether they are any good."""

    hashes: list[str] = field(default_factory=list)
    thumbnails: list[NDArray[np.float32]] = field(default_factory=list)
    alike: int = 0
    black: int = 0
    unusable: list[str] = field(default_factory=list)

    def usable(self, frames: Iterable[Frame]) -> Iterator[NDArray[np.uint8]]:
        """The images of those frames that can be used; see `look`."""
        for frame in frames:
            image = self.look(frame)
            if image is not None:
                yield image

    def look(self, frame: Frame) -> NDArray[np.uint8] | None:
        """uint8 [H, W, 3] BGR; None if the frame cannot be used."""
        try:
            image = to_bgr(frame)
        except FrameError as error:
            self.unusable.append(str(error))
            return None
        self.hashes.append(hashlib.sha256(image.tobytes()).hexdigest()[:16])
        self.black += int(image.max(initial=0) <= _BLACK)
        small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        if any(float(np.abs(small - other).mean()) < _ALIKE for other in self.thumbnails):
            self.alike += 1
        self.thumbnails.append(small)
        return image

    def check(self, source: str, unreadable: int) -> None:
        """Refuse images from which no good ranges come."""
        skipped = unreadable + len(self.unusable)
        reason = f' The first reason: {self.unusable[0]}' if self.unusable else ''
        if not self.hashes:
            raise CalibrationError(
                f'{source or "the source"}: no image that can be used ({skipped} were '
                f'skipped).{reason} Name a folder, a video, a bag or synthetic:calibration'
            )
        if skipped > len(self.hashes):
            raise CalibrationError(
                f'{source or "the source"}: {skipped} of {skipped + len(self.hashes)} images '
                f'cannot be read.{reason} Mend or remove them'
            )
        if self.black == len(self.hashes):
            raise CalibrationError(
                f'{source or "the source"}: all {self.black} images are black. '
                'Take images like those that the camera will deliver'
            )

    def warnings(self, unreadable: int) -> list[str]:
        """What makes these images doubtful."""
        count = len(self.hashes)
        skipped = unreadable + len(self.unusable)
        found = []
        if count < FEW:
            found.append(
                f'only {count} images; ranges from fewer than {FEW} are often too small. '
                f'Take {DEFAULT_LIMIT} or more'
            )
        if self.alike > count / 2:
            found.append(
                f'{self.alike} of {count} images are almost the same as an earlier one. '
                'Take images of different places and light'
            )
        if self.black:
            found.append(f'{self.black} of {count} images are black')
        if skipped:
            found.append(f'{skipped} images were skipped because they cannot be read')
        return found


def _silent(ranges: CalibrationRanges) -> list[str]:
    """A warning for tensors that held one value in all images."""
    names = [name for name, entry in ranges.tensors.items() if entry.low == entry.high]
    if not names:
        return []
    more = f' and {len(names) - 3} more' if len(names) > 3 else ''
    return [
        f'{len(names)} tensors never varied: {", ".join(names[:3])}{more}. '
        'Part of the network is dead, or the images do not reach it'
    ]
