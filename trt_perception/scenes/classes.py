"""The names of what a street scene holds."""

from __future__ import annotations

THING_CLASSES: tuple[str, ...] = (
    'car',
    'lorry',
    'pedestrian',
    'cyclist',
    'dog',
    'cat',
    'traffic_light',
    'traffic_sign',
)
"""Countable things; `SceneFrame.class_ids` index this tuple."""

STUFF_CLASSES: tuple[str, ...] = ('road', 'pavement', 'building', 'vegetation', 'sky')

SEMANTIC_CLASSES: tuple[str, ...] = STUFF_CLASSES + THING_CLASSES
"""Every pixel has one of these; `SceneFrame.semantic` holds indices into this tuple.

`building` covers all that is built and not a thing: walls, fences, poles, lamps, bollards, bins.
"""

ROAD, PAVEMENT, BUILDING, VEGETATION, SKY = range(len(STUFF_CLASSES))


def semantic_id(thing: str) -> int:
    """Index of a thing class in `SEMANTIC_CLASSES`; ValueError for an unknown name."""
    return SEMANTIC_CLASSES.index(thing)
