"""Compares a prepared network with the float32 one: raw outputs, and what is made of them.

Raw outputs tell where a network went wrong; final detections and labels tell whether it
matters.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trt_perception.building.agreement import Agreement
from trt_perception.decoding.registry import decoder_for, side_inputs_for
from trt_perception.errors import FrameError, ParameterError
from trt_perception.frames import Frame
from trt_perception.model_spec import GateLimits, ModelSpec
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.preprocessing.preprocessor import Preprocessor
from trt_perception.results import DecodeSettings, Result
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.side_inputs import fed

SCORE_MARGIN = 0.1
"""An object whose score exceeds the threshold by less may be missing from the other side."""


_COUNTED: dict[str, Literal['objects', 'pixels', 'images']] = {
    'semantic': 'pixels',
    'classify': 'images',
    'embed': 'images',
}
"""What is counted for each task; objects for all others."""


class GateFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How alike two networks are.

    Attributes:
        images: how many were looked at.
        compared: what `agreement` counts.
        counted: how many of them there were; a half is an object that one network alone found.
            None in headers of engines from before it was counted.
        agreement: share of objects found by both, or of pixels or images labelled alike, 0 to 1.
        overlap: mean IoU of the objects found by both, of their masks if they have masks; mean
            cosine of embeddings; 1 where nothing was found, for pixels and for classes.
        outputs: for each output ||candidate - reference|| / ||reference||, over all images;
            None where the candidate has NaN or infinity.
    """

    images: int
    compared: Literal['objects', 'pixels', 'images']
    agreement: float
    overlap: float
    outputs: dict[str, float | None]
    counted: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For an engine's header; figures rounded to six digits."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        rounded = {n: None if e is None else float(f'{e:.6g}') for n, e in self.outputs.items()}
        return fields | {
            'agreement': float(f'{self.agreement:.6g}'),
            'overlap': float(f'{self.overlap:.6g}'),
            'outputs': rounded,
        }

    def failures(self, limits: GateLimits) -> list[str]:
        """The limits that are not met, one sentence each; empty if all are."""
        found = [f'output {n} has NaN or infinity' for n, e in self.outputs.items() if e is None]
        if self.agreement < limits.agreement:
            found.append(
                f'{self.agreement:.1%} of the {self.compared} agree with float32; '
                f'the limit is {limits.agreement:.1%}'
            )
        if self.overlap < limits.overlap:
            found.append(
                f'objects found by both overlap by {self.overlap:.3f}; '
                f'the limit is {limits.overlap:.3f}'
            )
        if limits.relative_error is not None:
            found += [
                f'output {name} differs by {error:.4f}; the limit is {limits.relative_error:.4f}'
                for name, error in self.outputs.items()
                if error is not None and error > limits.relative_error
            ]
        return found

    def in_words(self) -> str:
        """One line for the log."""
        errors = ', '.join(
            f'{n} {"not finite" if e is None else f"{e:.4f}"}' for n, e in self.outputs.items()
        )
        overlap = f', overlap {self.overlap:.3f}' if self.compared == 'objects' else ''
        agreed = f'{self.agreement:.1%} of {self.compared} agree{overlap}'
        if self.counted == 0:
            agreed = f'no {self.compared} were found, so that none could be compared'
        return f'{agreed}; relative error {errors} ({self.images} images)'


class Comparison:
    """Compares two networks of one model, image by image."""

    def __init__(self, spec: ModelSpec, reference: Runtime, least_batch: int = 1) -> None:
        """Prepare.

        Args:
            spec: the model.
            reference: its float32 network.
            least_batch: images that every candidate must be given at once; the reference is given
                as many as it takes.

        Raises:
            ModelOutputError: the outputs are not those of the model's family.
        """
        self._spec = spec
        self._sides = side_inputs_for(spec, reference.inputs)
        self._reference = reference = fed(reference, self._sides)
        self._batch = max(least_batch, reference.inputs[0].shape[0], 1)
        self._decoder = decoder_for(spec, reference.outputs)
        limits = spec.thresholds
        self._settings = DecodeSettings(limits.score, limits.iou, limits.max_detections)
        self._dtype = reference.inputs[0].dtype
        self._preprocess = Preprocessor(spec.input, self._dtype)
        self._known: list[tuple[Any, dict[str, NDArray[Any]], Any, Result]] = []

    def look(self, images: Iterable[NDArray[np.uint8]]) -> None:
        """Keep what the reference makes of some images, uint8 [H, W, 3] BGR each."""
        width, height = self._spec.input.size
        for image in images:
            tensor = np.empty((self._batch, 3, height, width), self._dtype)
            letterbox = self._preprocess(image, tensor[0])
            tensor[1:] = tensor[0]
            outputs = self._reference.infer({self._reference.inputs[0].name: tensor})
            kept = {name: np.array(value) for name, value in outputs.items()}
            (result, *_) = self._decoder.decode(kept, [letterbox] * self._batch, self._settings)
            self._known.append((tensor, kept, letterbox, result))

    def figures(self, candidate: Runtime) -> GateFigures:
        """How alike `candidate` is, on the images looked at.

        Raises:
            ParameterError: no image was looked at.
            InferenceError: the candidate fails.
        """
        if not self._known:
            raise ParameterError('the gate has no images to compare on; give it at least one')
        candidate = fed(candidate, self._sides)
        errors = _Errors()
        agreement = Agreement(self._settings.score + SCORE_MARGIN)
        for tensor, expected, letterbox, reference in self._known:
            outputs = candidate.infer({candidate.inputs[0].name: tensor})
            errors.add(expected, outputs)
            results = self._decoder.decode(outputs, [letterbox] * len(tensor), self._settings)
            agreement.add(reference, results[0])
        return GateFigures(
            images=len(self._known),
            compared=_COUNTED.get(self._spec.task, 'objects'),
            counted=agreement.either,
            agreement=agreement.share,
            overlap=agreement.overlap,
            outputs=errors.relative(),
        )


def first_images(frames: Iterable[Frame], count: int) -> list[NDArray[np.uint8]]:
    """Up to `count` frames as uint8 [H, W, 3] BGR; those that cannot be used are left out."""
    images = []
    for frame in itertools.islice(frames, count):
        with contextlib.suppress(FrameError):
            images.append(to_bgr(frame))
    return images


@dataclass
class _Errors:
    """Sums of squares, by output."""

    differences: dict[str, float] = field(default_factory=dict)
    magnitudes: dict[str, float] = field(default_factory=dict)

    def add(
        self, expected: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        for name, value in expected.items():
            wanted = value.astype(np.float64)
            with np.errstate(invalid='ignore'):
                difference = float(np.square(outputs[name].astype(np.float64) - wanted).sum())
            self.differences[name] = self.differences.get(name, 0.0) + difference
            self.magnitudes[name] = self.magnitudes.get(name, 0.0) + float(np.square(wanted).sum())

    def relative(self) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, difference in self.differences.items():
            error = math.sqrt(difference / max(self.magnitudes[name], 1e-30))
            found[name] = error if math.isfinite(error) else None
        return found
