"""Key points: how many there are, and where they lie in the source image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox


@dataclass(frozen=True)
class KeyPointShape:
    """How the key points of an object lie in a row: x, y and perhaps a confidence, in turn.

    Attributes:
        count: key points.
        values: 2 for x y, 3 for x y confidence.
    """

    count: int
    values: int


BODY = KeyPointShape(17, 3)
"""A person's key points in the COCO data set: the only shape that need not be stated."""


def stated_shape(spec: ModelSpec, option: tuple[int, int] | None) -> KeyPointShape | None:
    """What the model's YAML file says of the key points; None if it leaves it open.

    Args:
        spec: the model, whose `key_points` may name them.
        option: the family's option `key_point_shape`.

    Raises:
        ModelSpecError: no key points, not 2 or 3 values for each, or another number of names.
    """
    if option is None:
        return None
    shape, names = KeyPointShape(*option), len(spec.key_points)
    if shape.count < 1 or shape.values not in (2, 3):
        raise ModelSpecError(
            f'{spec.name}: options.key_point_shape is {list(option)}; it must be [key points, 2] '
            'for x y, or [key points, 3] for x y confidence'
        )
    if names not in (0, shape.count):
        raise ModelSpecError(
            f'{spec.name}: options.key_point_shape has {shape.count} key points, but `key_points` '
            f'has {names} names. Correct one of them'
        )
    return shape


def found_shape(spec: ModelSpec, stated: KeyPointShape | None, numbers: int) -> KeyPointShape:
    """The key points in so many numbers of each object.

    Args:
        spec: the model.
        stated: what its YAML file says.
        numbers: what the network's output has left for key points.

    Raises:
        ModelOutputError: they do not fit what is stated, or it must be stated.
    """
    if stated is not None:
        fitting = [stated] if stated.count * stated.values == numbers else []
    elif spec.key_points:
        count = len(spec.key_points)
        fitting = [KeyPointShape(count, v) for v in (2, 3) if count * v == numbers]
    elif numbers == BODY.count * BODY.values:
        fitting = [BODY]
    else:
        raise ModelOutputError(_open_question(numbers))
    if fitting:
        return fitting[0]
    if stated is not None:
        wanted = f'options.key_point_shape [{stated.count}, {stated.values}] needs others'
    else:
        wanted = f'the {count} names under `key_points` need {2 * count} or {3 * count}'
    raise ModelOutputError(
        f'the output has {numbers} numbers for key points, but {wanted}. Correct the YAML, or '
        'take the pose model that belongs to it'
    )


def _open_question(numbers: int) -> str:
    """What so many numbers may be where nobody says it, as an error text."""
    shapes = [(numbers // values, values) for values in (2, 3) if numbers % values == 0]
    if not shapes:
        return (
            f'the output has {numbers} numbers for key points, which is not 2 or 3 for each. '
            'Correct `classes` and `task` in the YAML, or take a pose model'
        )
    listed = ' or '.join(f'{count} with {values} values each' for count, values in shapes)
    options = ' or '.join(f'`options: {{key_point_shape: {[*shape]}}}`' for shape in shapes)
    return (
        f'{numbers} numbers for key points may be {listed}. State {options}, or '
        'list the names under `key_points`; but check first that `classes` has all classes'
    )


def key_points_in_source(
    numbers: NDArray[np.float32], shape: KeyPointShape, letterbox: Letterbox
) -> NDArray[np.float32]:
    """Key points in source pixels.

    Args:
        numbers: float32 [N, count * values], finite, in network pixels; confidences in 0..1.
        shape: how they lie.
        letterbox: how the image was placed in the network's input.

    Returns:
        float32 [N, count, 3], x y confidence, not clipped to the image; confidence 1 where the
        network gives none.
    """
    points = numbers.reshape(-1, shape.count, shape.values)
    result = np.ones((len(points), shape.count, 3), np.float32)
    result[..., :2] = letterbox.points_to_source(points[..., :2])
    if shape.values == 3:
        np.clip(points[..., 2], 0.0, 1.0, out=result[..., 2])
    return result
