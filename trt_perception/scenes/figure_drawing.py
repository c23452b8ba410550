"""Draws figures made of balls: people, cyclists, dogs and cats."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.canvas import Canvas, to_corners
from trt_perception.scenes.figures import Cyclist, Part
from trt_perception.scenes.view import Extent, View, extent_of

Floats = NDArray[np.float64]

_COUNT = 9
_TURN = np.linspace(0, 2 * math.pi, _COUNT, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_RING_TURN = np.linspace(0, 2 * math.pi, 20, endpoint=False)
_SHADING_PX = 7.0
"""Parts with a larger radius in pixels get a lighter side."""


class Figure(Protocol):
    """A thing made of balls."""

    def parts(self, phase: float, moving: bool) -> list[Part]:
        """The parts at a phase of the gait, radians."""


def draw_figure(
    canvas: Canvas,
    view: View,
    figure: Figure,
    place: tuple[float, float, float],
    gait: tuple[float, bool],
    owner: int,
) -> Extent | None:
    """Draw at (x, y, heading); `gait` is (phase, moving). The extent, None when out of view."""
    x, y, heading = place
    camera = view.camera
    depth = camera.depth_of(x, y)
    if depth < 1.1:
        return None
    middle, _ = camera.project(np.array([[x, y, 0.6]]))
    reach = 1.6 * view.scale(depth)
    if not -reach < float(middle[0, 0]) < camera.width + reach:
        return None
    parts = figure.parts(*gait)
    balls = np.array([[b.x, b.y, b.z, b.r] for part in parts for b in part[0]])
    cos, sin = math.cos(heading), math.sin(heading)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    centres, depths = camera.project(balls[:, :3] @ turn + np.array([x, y, 0.0]))
    radii = balls[:, 3] * camera.focal / np.maximum(depths, 0.5)
    outline = centres[:, None, :] + np.maximum(radii, 0.35)[:, None, None] * _CIRCLE
    extent = extent_of(outline.reshape(-1, 2))
    if isinstance(figure, Cyclist):
        extent = _draw_wheels(canvas, view, figure, (turn, x, y, depth), owner, extent)
    light = view.atmosphere.shade(np.array([[0.0, -0.7, 0.7]]))[0]
    light = light + view.atmosphere.local_light(x, y) * 0.9
    tones = view.tone(np.array([part[1] for part in parts]), light, depth)
    sizes = [len(part[0]) for part in parts]
    ends = np.cumsum(np.array(sizes, dtype=np.int64))
    far = np.add.reduceat(depths, ends - np.array(sizes, dtype=np.int64)) / sizes
    corners = to_corners(outline.reshape(-1, 2)).reshape(-1, _COUNT, 2)
    bright = (
        np.array([-0.28, -0.3]) if view.atmosphere.sun_direction[0] < 0 else np.array([0.28, -0.3])
    )
    for i in np.argsort(-far, kind='stable').tolist():
        start, end = int(ends[i] - sizes[i]), int(ends[i])
        canvas.fill_hull(corners[start:end].reshape(-1, 2), tones[i], owner)
        size = float(radii[start:end].max())
        if size > _SHADING_PX:
            inner = centres[start:end, None, :] + radii[start:end, None, None] * (
                0.6 * _CIRCLE + bright
            )
            lighter = [min(value * 1.1 + 3.0, 255.0) for value in tones[i]]
            canvas.fill_hull(to_corners(inner.reshape(-1, 2)), lighter)
    return extent


def _draw_wheels(
    canvas: Canvas,
    view: View,
    cyclist: Cyclist,
    where: tuple[Floats, float, float, float],
    owner: int,
    extent: Extent,
) -> Extent:
    """Turning wheels: a tyre around spokes that blur into a thin veil."""
    turn, x, y, depth = where
    light = view.atmosphere.ambient + view.atmosphere.local_light(x, y)
    tyre, spokes = view.tone(np.array([[32.0, 31.0, 30.0], [150.0, 150.0, 150.0]]), light, depth)
    for place in cyclist.wheel_places:
        rings = []
        for radius in (cyclist.wheel_radius, cyclist.wheel_radius - 0.06):
            for y_side in (0.02, -0.02):
                rings.append(
                    np.column_stack(
                        [
                            place + radius * np.cos(_RING_TURN),
                            np.full(len(_RING_TURN), y_side),
                            cyclist.wheel_radius + radius * np.sin(_RING_TURN),
                        ]
                    )
                )
        pixels, _ = view.camera.project(np.concatenate(rings) @ turn + np.array([x, y, 0.0]))
        low, high = extent_of(pixels)[:2], extent_of(pixels)[2:]
        extent = (
            min(extent[0], low[0]),
            min(extent[1], low[1]),
            max(extent[2], high[0]),
            max(extent[3], high[1]),
        )
        corners = to_corners(pixels)
        count = len(_RING_TURN)
        outer, inner = corners[: 2 * count], corners[2 * count : 3 * count]
        canvas.fill_translucent(inner, (spokes[0], spokes[1], spokes[2]), 0.35)
        ring = np.concatenate([corners[:count], corners[:1], inner, inner[:1]])
        canvas.fill(ring, tyre)
        canvas.own_hull(outer, owner)
    return extent
