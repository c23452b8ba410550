"""A synthetic street with exact labels, the same for the same seed, moving with time."""

from trt_perception.scenes.classes import SEMANTIC_CLASSES, THING_CLASSES
from trt_perception.scenes.seeds import Split, scene_seed
from trt_perception.scenes.street import SceneFrame, StreetScene

__all__ = [
    'SEMANTIC_CLASSES',
    'THING_CLASSES',
    'SceneFrame',
    'Split',
    'StreetScene',
    'scene_seed',
]
