"""YOLOv10 and YOLO26 outputs, which need no suppression; likewise exports with it in the graph.

The network returns [B, objects, 6 (+ extras)]: x1, y1, x2, y2 in network pixels, the score in
0..1, the class, and what the task adds: one coefficient per prototype, beside prototypes
[B, coefficients, h, w]; x, y and mostly a confidence per key point; or the angle in radians, in
which case the box is centre x, centre y, width, height.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from trt_perception.decoding.chosen import chosen_candidates
from trt_perception.decoding.extras import extras_of
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.output_shapes import (
    batch_of,
    check_batches,
    choose_output,
    matches,
)
from trt_perception.decoding.rotated_boxes import rotated_objects
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec

_BEFORE = 6
"""Numbers of an object before the extras: box, score and class."""


class Yolov10Options(FamilyOptions, frozen=True):
    """Settings of the family.

    Attributes:
        key_point_shape: (key points, values), values 2 for x y or 3 for x y confidence; only
            needed where the output and the names of the key points leave it open.
    """

    key_point_shape: tuple[int, int] | None = None


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Yolov10Decoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    return Yolov10Decoder(spec, outputs)


class Yolov10Decoder:
    """Decodes detection, instance segmentation, pose and oriented box outputs.

    Nothing is suppressed, whatever the threshold `iou` says.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Choose the outputs by rank and check them; raises as `configure` does."""
        check_batches(outputs)
        wanted = 'objects [batch, objects, 6 = 4 box + 1 score + 1 class]'
        chosen = choose_output(outputs, 3, wanted, spec)
        self._spec = spec
        self._name = chosen.name
        self._extras = extras_of(
            spec,
            outputs,
            width=chosen.shape[2],
            before=_BEFORE,
            key_point_shape=options_of(spec, Yolov10Options).key_point_shape,
        )
        self._check(chosen.shape, self._extras.count)

    def _check(self, shape: tuple[int, ...], extras: int) -> int:
        """How many extras each object has in an output of this shape; -1 where open still."""
        width = shape[2]
        if extras == -1:
            if width == -1:
                return -1
            extras = max(width - _BEFORE, 1)
        if not matches(width, _BEFORE + extras):
            tail = self._extras.describe(extras)
            raise ModelOutputError(
                f'{self._name} is {list(shape)}, but should be [batch, objects, '
                f'{_BEFORE + extras} = 4 box + 1 score + 1 class{tail}]. {self._advice(shape)}'
            )
        if width != -1:
            self._extras.shape_of(extras)
        return extras

    def _advice(self, shape: tuple[int, ...]) -> str:
        task = self._spec.task
        if shape[1] >= 4 + len(self._spec.classes) and shape[2] > shape[1]:
            return (
                'It looks like an output that still needs suppression: state `family: yolov8`, '
                'or export the model end to end'
            )
        if shape[1] in (_BEFORE, _BEFORE + self._extras.count):
            return 'It looks transposed: export it without the final transposition'
        if shape[2] == _BEFORE:
            return f'It has nothing for task {task}: state `task: detect`, or take a model for it'
        more = shape[2] - _BEFORE
        if more == 1 and task == 'detect':
            return 'One more number is mostly an angle: if so, state `task: oriented`'
        if more > 0 and task == 'detect':
            return f'{more} more numbers may be key points: if so, state `task: pose`'
        return 'Check `family`, `task` and `onnx` in the YAML'

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        found = batch_of(outputs, self._name, 3, len(letterboxes))
        prototypes: Sequence[NDArray[Any] | None] = [None] * len(letterboxes)
        count = self._extras.count
        if self._extras.prototypes:
            tensor = batch_of(outputs, self._extras.prototypes, 4, len(letterboxes))
            prototypes, count = list(tensor), tensor.shape[1]
        extras = self._check(found.shape, count)
        return [
            self._decode(image, prototype, extras, letterbox, settings)
            for image, prototype, letterbox in zip(found, prototypes, letterboxes, strict=False)
        ]

    def _decode(
        self,
        found: NDArray[Any],
        prototypes: NDArray[Any] | None,
        extras: int,
        letterbox: Letterbox,
        settings: DecodeSettings,
    ) -> Detections:
        """One image: `found` [objects, 6 + extras], `prototypes` [coefficients, h, w]."""
        candidates = chosen_candidates(
            found[:, :4],
            found[:, 4],
            found[:, 5],
            found[:, _BEFORE:],
            settings,
            len(self._spec.classes),
        )
        if self._spec.task == 'oriented':
            return rotated_objects(candidates, letterbox, settings, suppressed=False)
        return objects(
            candidates,
            letterbox,
            settings,
            suppressed=False,
            prototypes=prototypes,
            key_points=self._extras.shape_of(extras),
        )
