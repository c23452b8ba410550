"""What detectors of faces share: one class and five landmarks."""

from __future__ import annotations

from trt_perception.decoding.key_points import KeyPointShape
from trt_perception.errors import ModelSpecError
from trt_perception.model_spec import ModelSpec

LANDMARKS = KeyPointShape(5, 2)
"""Left eye, right eye, nose, left and right corner of the mouth, as one looks at the picture."""


def check_names(spec: ModelSpec) -> None:
    """Raises ModelSpecError unless the model has one class and names five key points or none."""
    if len(spec.classes) != 1:
        raise ModelSpecError(
            f'{spec.name}: family {spec.family} finds one class, `classes: [face]`; the model '
            f'lists {len(spec.classes)}'
        )
    if len(spec.key_points) not in (0, LANDMARKS.count):
        raise ModelSpecError(
            f'{spec.name}: family {spec.family} has {LANDMARKS.count} landmarks, but '
            f'`key_points` lists {len(spec.key_points)} names. List all of them, or none'
        )
