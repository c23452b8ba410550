"""Dense heads: one row of numbers per anchor, a box, scores and what the task adds.

Two layouts are in use: values before anchors, [B, 4 + classes (+ extras), anchors], and anchors
before values with an objectness after the box, [B, anchors, 5 + classes (+ extras)].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import Scored, best_of_classes
from trt_perception.decoding.extras import Extras
from trt_perception.decoding.output_shapes import matches
from trt_perception.errors import ModelOutputError
from trt_perception.results import DecodeSettings

BOX = 4


@dataclass(frozen=True)
class DenseHead:
    """Where the numbers of an anchor lie.

    Attributes:
        family: of the model, for error texts.
        classes: how many the YAML file lists.
        extras: what follows the scores.
        objectness: whether the layout is the one with objectness.
        classes_scored: False where the objectness alone is the score: the scores of a model
            with one class may never have been trained.
    """

    family: str
    classes: int
    extras: Extras
    objectness: bool = False
    classes_scored: bool = True

    @property
    def before(self) -> int:
        """Numbers before the extras."""
        return BOX + self.objectness + self.classes

    def check(self, name: str, shape: tuple[int, ...], coefficients: int | None = None) -> int:
        """How many extras each anchor has in an output of this shape.

        Args:
            name: of the output.
            shape: of rank 3; -1 where left open.
            coefficients: channels of the prototypes, where they are known better by now.

        Returns:
            The number; -1 where it is open still.

        Raises:
            ModelOutputError: the shape is not this head's.
        """
        width = shape[2] if self.objectness else shape[1]
        extras = self.extras.count if coefficients is None else coefficients
        if extras == -1:
            if width == -1:
                return -1
            extras = max(width - self.before, 1)
        if not matches(width, self.before + extras):
            raise ModelOutputError(self._misfit(name, shape, extras))
        if width != -1:
            self.extras.shape_of(extras)
        return extras

    def _misfit(self, name: str, shape: tuple[int, ...], extras: int) -> str:
        """What is wrong with a shape, and how to mend it."""
        expected = self.before + extras
        box = '4 box + 1 objectness' if self.objectness else '4 box'
        tail = self.extras.describe(extras)
        values = f'{expected} = {box} + {self.classes} classes{tail}'
        wanted = f'[batch, anchors, {values}]' if self.objectness else f'[batch, {values}, anchors]'
        advice = self._advice(name, shape, extras, box, tail)
        return f'{name} is {list(shape)}, but should be {wanted}. {advice}'

    def _advice(self, name: str, shape: tuple[int, ...], extras: int, box: str, tail: str) -> str:
        rows, others = (shape[2], shape[1]) if self.objectness else (shape[1], shape[2])
        place, lead = ('columns' if self.objectness else 'rows'), BOX + self.objectness
        found = rows - lead - extras
        if others == self.before + extras:
            return 'It looks transposed: export it without the final transposition'
        if others == self.before + extras + (-1 if self.objectness else 1):
            other = 'yolov8' if self.objectness else 'yolov5'
            return f'It looks like a model of the family {other}: state `family: {other}`'
        if extras and self.extras.spec.task == 'instance' and rows == self.before:
            return 'It has no mask coefficients: state `task: detect` or export it for masks'
        if extras and rows == self.before:
            task = self.extras.spec.task
            return f'It has nothing for task {task}: state `task: detect`, or take a model for it'
        if found < 1 or max(rows, others) < 1:
            known = ' and '.join(f'`{key}`' for key in ('family', 'onnx'))
            return f'It is no {_style(self.family)} model; check {known} in the YAML'
        advice = (
            f'{name} has {rows} {place}: {box} + {found} classes{tail}, but the YAML lists '
            f'{self.classes} classes. List all {found} names under `classes`, or take the '
            'ONNX file that belongs to this YAML'
        )
        more = found - self.classes
        if self.objectness or more < 1:
            return advice
        if more == 1:
            advice += '. A row more may also be an angle or an objectness'
            return f'{advice}: state `task: oriented` or `family: yolov5` then'
        return f'{advice}. More rows may also be key points: state `task: pose` then'

    def scored(self, prediction: NDArray[Any], settings: DecodeSettings) -> Scored:
        """The anchors of one image that score high enough.

        Args:
            prediction: float [values, anchors], or [anchors, values] with objectness.
            settings: score threshold and class filter.
        """
        if not self.objectness:
            return best_of_classes(_float32(prediction[BOX : BOX + self.classes]), settings)
        objectness = _float32(prediction[:, BOX])
        # The scores of classes are at most 1, so that these alone can reach the threshold.
        rows = np.flatnonzero((objectness >= settings.score) & (objectness < np.inf))
        class_scores = objectness[rows, None]
        if self.classes_scored:
            columns = slice(BOX + 1, self.before)
            class_scores = class_scores * _float32(prediction[rows, columns])
        scored = best_of_classes(class_scores.T, settings)
        return Scored(rows[scored.anchors], scored.scores, scored.class_ids)

    def boxes(self, prediction: NDArray[Any], anchors: NDArray[np.intp]) -> NDArray[np.float32]:
        """float32 [N, 4], the four numbers of these anchors' boxes."""
        if self.objectness:
            return _float32(prediction[anchors, :BOX])
        return _float32(prediction[:BOX].take(anchors, axis=1).T)

    def extra_values(
        self, prediction: NDArray[Any], anchors: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """float32 [N, E], the extras of these anchors."""
        if self.objectness:
            return _float32(prediction[anchors, self.before :])
        return _float32(prediction[self.before :].take(anchors, axis=1).T)


def _style(family: str) -> str:
    return {'yolov8': 'YOLOv8-style', 'yolov5': 'YOLOv5-style'}.get(family, family)


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32, copy=False)
