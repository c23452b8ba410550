"""Which scene seeds belong to which use, so that no test scene is ever trained on."""

from __future__ import annotations

from enum import Enum

SCENES_PER_SPLIT = 10_000_000

_FIRST_DEMO = 133
"""Where the demo's scenes begin: a sunny street in which every class is seen within seconds."""


class Split(Enum):
    """A use of scenes; the value is the place of its seed range."""

    TRAINING = 1
    CALIBRATION = 2
    VALIDATION = 3
    TEST = 4
    DEMO = 5


def scene_seed(split: Split, index: int) -> int:
    """Seed of the scene number `index` (0 to 9,999,999) of a split.

    Ranges of different splits are disjoint. ValueError for an index outside the range.
    """
    if not 0 <= index < SCENES_PER_SPLIT:
        raise ValueError(
            f'scene index {index} is outside 0 to {SCENES_PER_SPLIT - 1}; choose one inside'
        )
    if split is Split.DEMO:
        index = (index + _FIRST_DEMO) % SCENES_PER_SPLIT
    return split.value * SCENES_PER_SPLIT + index
