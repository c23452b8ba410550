"""Traffic signs: plain shapes with plain symbols."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.canvas import Canvas, to_corners
from trt_perception.scenes.furniture import Paint, upright
from trt_perception.scenes.view import Extent, View, extent_of

Floats = NDArray[np.float64]

RED: Paint = (45.0, 35.0, 205.0)
BLUE: Paint = (185.0, 95.0, 25.0)
WHITE: Paint = (236.0, 238.0, 238.0)
BLACK: Paint = (32.0, 30.0, 30.0)
YELLOW: Paint = (40.0, 200.0, 245.0)
GREY: Paint = (150.0, 150.0, 148.0)

Layer = tuple[Floats, Paint]


def _polygon(sides: int, radius: float, turn: float) -> Floats:
    angles = turn + np.linspace(0, 2 * math.pi, sides, endpoint=False)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _bar(x0: float, y0: float, x1: float, y1: float) -> Floats:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _limit() -> list[Layer]:
    disc = _polygon(20, 1.0, 0.0)
    return [
        (disc, RED),
        (disc * 0.74, WHITE),
        (_bar(-0.42, -0.38, -0.08, 0.38), BLACK),
        (_bar(-0.3, -0.14, -0.2, 0.26), WHITE),
        (_bar(0.1, -0.38, 0.44, 0.38), BLACK),
        (_bar(0.22, -0.26, 0.32, 0.26), WHITE),
    ]


def _no_entry() -> list[Layer]:
    disc = _polygon(20, 1.0, 0.0)
    return [(disc, RED), (_bar(-0.68, -0.17, 0.68, 0.17), WHITE)]


def _warning() -> list[Layer]:
    up = _polygon(3, 1.15, math.pi / 2) - np.array([0.0, 0.2])
    return [
        (up, RED),
        (up * 0.68 - np.array([0.0, 0.05]), WHITE),
        (_bar(-0.07, -0.22, 0.07, 0.22), BLACK),
        (_bar(-0.07, -0.42, 0.07, -0.3), BLACK),
    ]


def _stop() -> list[Layer]:
    eight = _polygon(8, 1.05, math.pi / 8)
    return [
        (eight, WHITE),
        (eight * 0.92, RED),
        (_bar(-0.66, -0.18, -0.4, 0.2), WHITE),
        (_bar(-0.3, -0.18, -0.06, 0.2), WHITE),
        (_bar(0.06, -0.18, 0.3, 0.2), WHITE),
        (_bar(0.4, -0.18, 0.66, 0.2), WHITE),
    ]


def _parking() -> list[Layer]:
    square = _bar(-0.85, -0.85, 0.85, 0.85)
    return [
        (square, WHITE),
        (square * 0.9, BLUE),
        (_bar(-0.4, -0.55, -0.15, 0.6), WHITE),
        (_bar(-0.15, 0.0, 0.4, 0.6), WHITE),
        (_bar(-0.1, 0.18, 0.18, 0.42), BLUE),
    ]


def _crossing() -> list[Layer]:
    square = _bar(-0.85, -0.85, 0.85, 0.85)
    up = _polygon(3, 0.8, math.pi / 2) - np.array([0.0, 0.12])
    return [
        (square, WHITE),
        (square * 0.92, BLUE),
        (up, WHITE),
        (_bar(-0.09, -0.28, 0.09, 0.22), BLACK),
        (_polygon(8, 0.1, 0.0) + np.array([0.0, 0.32]), BLACK),
    ]


def _turn() -> list[Layer]:
    disc = _polygon(20, 1.0, 0.0)
    arrow = np.array(
        [
            [-0.5, -0.12],
            [0.1, -0.12],
            [0.1, -0.4],
            [0.6, 0.02],
            [0.1, 0.44],
            [0.1, 0.16],
            [-0.5, 0.16],
        ]
    )
    return [(disc, WHITE), (disc * 0.93, BLUE), (arrow, WHITE)]


def _yield() -> list[Layer]:
    down = _polygon(3, 1.15, -math.pi / 2) + np.array([0.0, 0.2])
    return [(down, RED), (down * 0.66 + np.array([0.0, 0.06]), WHITE)]


def _priority() -> list[Layer]:
    diamond = _polygon(4, 1.1, 0.0)
    return [
        (diamond, WHITE),
        (diamond * 0.92, BLACK),
        (diamond * 0.86, WHITE),
        (diamond * 0.62, YELLOW),
    ]


_BOARDS: dict[str, Callable[[], list[Layer]]] = {
    'limit': _limit,
    'no_entry': _no_entry,
    'warning': _warning,
    'stop': _stop,
    'parking': _parking,
    'crossing': _crossing,
    'turn': _turn,
    'yield': _yield,
    'priority': _priority,
}
"""For each kind the polygons of a sign of radius 1 about its middle (across, up)."""

KINDS = tuple(_BOARDS)


@dataclass(frozen=True)
class TrafficSign:
    """The board of a traffic sign; its post is a thing apart. `middle` is its height in metres."""

    x: float
    y: float
    middle: float
    radius: float
    yaw: float
    kind: str
    back: bool

    def draw(self, canvas: Canvas, view: View, owner: int) -> Extent | None:
        """Draw the board; the extent, None when out of view."""
        depth = view.camera.depth_of(self.x, self.y)
        if depth < 1.5:
            return None
        layers = _BOARDS[self.kind]()
        if self.back:
            layers = [(layers[0][0], GREY), (_bar(-0.7, -0.06, 0.7, 0.06), (110.0, 110.0, 108.0))]
        local = np.concatenate([layer[0] for layer in layers]) * self.radius
        local = local + np.array([0.0, self.middle])
        pixels, _ = view.camera.project(upright(self.x, self.y, local, self.yaw))
        air = view.atmosphere
        light = air.shade(np.array([[0.0, -1.0, 0.0]]))[0] + 1.1 * air.local_light(self.x, self.y)
        # Signs reflect: the own headlights make them stand out at night.
        light = light + 0.9 * air.beam_light(self.x, self.y)
        tones = view.tone(np.array([layer[1] for layer in layers]), light, depth)
        corners, start = to_corners(pixels), 0
        for index, (shape, _) in enumerate(layers):
            end = start + len(shape)
            canvas.fill(corners[start:end], tones[index], 0 if index else owner)
            start = end
        return extent_of(pixels[: len(layers[0][0])])


def make_sign(x: float, y: float, rng: np.random.Generator) -> TrafficSign:
    """A sign of random kind, now and then seen from behind."""
    return TrafficSign(
        x=x,
        y=y,
        middle=float(rng.uniform(2.3, 2.8)),
        radius=float(rng.uniform(0.36, 0.48)),
        yaw=float(rng.normal(0.0, 0.18)),
        kind=str(rng.choice(KINDS)),
        back=bool(rng.random() < 0.12),
    )
