"""A synthetic street with exact labels, the same for the same seed, moving with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trt_perception.scenes.classes import SEMANTIC_CLASSES, THING_CLASSES
from trt_perception.scenes.seeds import Split, scene_seed

if TYPE_CHECKING:
    from trt_perception.scenes.street import SceneFrame, StreetScene

__all__ = [
    'SEMANTIC_CLASSES',
    'THING_CLASSES',
    'SceneFrame',
    'Split',
    'StreetScene',
    'scene_seed',
]


def __getattr__(name: str) -> Any:
    """The street when it is asked for: who reads a camera imports seeds and classes alone."""
    if name not in ('SceneFrame', 'StreetScene'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from trt_perception.scenes import street

    return getattr(street, name)
