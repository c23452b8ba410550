"""What a task adds to the box and the scores of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trt_perception.decoding.key_points import KeyPointShape, found_shape, stated_shape
from trt_perception.decoding.output_shapes import choose_output, matches
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec

ANGLE = 1
"""Numbers that an oriented box has beyond a box: the angle."""


@dataclass(frozen=True)
class Extras:
    """How many numbers follow, and what they are.

    Attributes:
        spec: the model.
        count: how many; -1 where only the output can tell.
        prototypes: the output with the prototypes of masks; empty for other tasks.
        key_points: what the YAML file says of them; None where it leaves that open.
    """

    spec: ModelSpec
    count: int
    prototypes: str = ''
    key_points: KeyPointShape | None = None

    def describe(self, count: int) -> str:
        """Such as ' + 32 mask coefficients'; empty without extras."""
        names = {
            'instance': 'mask coefficients',
            'pose': 'numbers for key points',
            'oriented': 'angle',
        }
        return f' + {count} {names[self.spec.task]}' if self.spec.task in names else ''

    def shape_of(self, numbers: int) -> KeyPointShape | None:
        """How so many numbers are key points; None for other tasks.

        Raises:
            ModelOutputError: they are no key points of this model.
        """
        if self.spec.task != 'pose':
            return None
        return found_shape(self.spec, self.key_points, numbers)


def extras_of(
    spec: ModelSpec,
    outputs: Sequence[TensorSpec],
    *,
    width: int,
    before: int,
    key_point_shape: tuple[int, int] | None = None,
) -> Extras:
    """What the model's task adds.

    Args:
        spec: the model.
        outputs: the network's outputs.
        width: numbers of one candidate in the predictions; -1 where left open.
        before: how many of them are box and scores.
        key_point_shape: the family's option of that name.

    Raises:
        ModelOutputError: masks without prototypes, or prototypes without the task instance.
        ModelSpecError: the option is wrong.
    """
    if spec.task == 'instance':
        wanted = 'prototypes [batch, coefficients, height, width] for task instance'
        prototypes = choose_output(outputs, 4, wanted, spec)
        return Extras(spec, prototypes.shape[1], prototypes.name)
    for prototypes in outputs:
        # A file may have other maps of rank 4; those that fit are prototypes.
        if len(prototypes.shape) == 4 and matches(width, before + prototypes.shape[1]):
            raise ModelOutputError(
                'the file has prototypes for masks: it is an instance segmentation model. '
                'State `task: instance`, or take the detection model'
            )
    if spec.task == 'oriented':
        return Extras(spec, ANGLE)
    if spec.task == 'pose':
        shape = stated_shape(spec, key_point_shape)
        return Extras(spec, shape.count * shape.values if shape else -1, key_points=shape)
    return Extras(spec, 0)
