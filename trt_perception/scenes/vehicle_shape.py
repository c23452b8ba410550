"""What vehicles are made of: hulls of sheet metal with windows, wheels and lights painted on.

A vehicle's own axes: x forward from its middle, y to its left, z up from the ground; metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Paint = tuple[float, float, float]
"""Blue, green, red, 0..255."""

CAR_PAINTS = (
    (40, 40, 190),
    (190, 90, 30),
    (235, 235, 232),
    (60, 55, 52),
    (165, 165, 160),
    (110, 112, 115),
    (30, 110, 40),
    (40, 160, 215),
    (30, 70, 160),
    (120, 60, 20),
    (70, 20, 90),
    (190, 170, 90),
    (30, 60, 90),
    (215, 205, 190),
    (50, 130, 240),
)
"""Of cars, and of the cabs of lorries."""

GLASS = (92.0, 76.0, 62.0)
GLASS_LIGHT = (170.0, 155.0, 140.0)
RUBBER = (34.0, 33.0, 32.0)
RIM = (168.0, 166.0, 162.0)
DARK = (46.0, 44.0, 42.0)
HEADLIGHT = (225.0, 232.0, 236.0)
TAIL = (48.0, 40.0, 170.0)
TAIL_LIT = (70.0, 60.0, 255.0)
BEAM = (235.0, 250.0, 255.0)
PLATE = (225.0, 228.0, 228.0)
ROUND = 12
"""Corners of a wheel."""


@dataclass
class Shape:
    """A vehicle's polygons, in the order in which they are drawn.

    `corners` [V, 3]; polygon i is corners[starts[i]:ends[i]], painted `paints[i]`, and seen when
    the camera is on the outer side of its face, given by `normals[i]` and `points[i]`. `kinds[i]`
    is 'face' (part of the outline), 'detail', 'fine' (left out when small), 'head' or 'tail'.
    """

    length: float
    width: float
    height: float
    corners: list[Floats] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    normals: list[Floats] = field(default_factory=list)
    points: list[Floats] = field(default_factory=list)
    paints: list[Paint] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    wheels: list[tuple[float, float]] = field(default_factory=list)
    wheel_radius: float = 0.33
    volume: int = 0

    def add(
        self,
        corners: Floats,
        paint: Paint,
        kind: str,
        inside: Floats | None = None,
    ) -> None:
        """Add a polygon [N, 3]; a face is turned away from `inside`, others lie on the last one."""
        start = self.ends[-1] if self.ends else 0
        if kind == 'face' and inside is not None:
            first, second = corners[1] - corners[0], corners[2] - corners[0]
            (ax, ay, az), (bx, by, bz) = first.tolist(), second.tolist()
            normal = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
            normal /= max(math.sqrt(float(normal @ normal)), 1e-9)
            middle = corners.mean(0)
            if normal @ (middle - inside) < 0:
                normal = -normal
        else:
            normal, middle = self.normals[-1], self.points[-1]
        self.corners.append(corners)
        self.starts.append(start)
        self.ends.append(start + len(corners))
        self.normals.append(normal)
        self.points.append(middle)
        self.paints.append(paint)
        self.kinds.append(kind)
        self.volumes.append(self.volume)


def quad(a: list[float], b: list[float], c: list[float], d: list[float]) -> Floats:
    """A face [4, 3] by its corners in turn."""
    return np.array([a, b, c, d], dtype=np.float64)


def side_part(profile: Floats, y: float) -> Floats:
    """A profile of (x, z) points as a polygon on the side plane at y."""
    return np.column_stack([profile[:, 0], np.full(len(profile), y), profile[:, 1]])


def _disc(x: float, z: float, radius: float, low: float = -1.0) -> Floats:
    """Circle points (x, z) [ROUND, 2], cut off below the height `low`."""
    turn = np.linspace(0, 2 * math.pi, ROUND, endpoint=False)
    disc = np.column_stack([x + radius * np.cos(turn), z + radius * np.sin(turn)])
    disc[:, 1] = np.maximum(disc[:, 1], low)
    return disc


def panel(face: Floats, u0: float, u1: float, v0: float, v1: float) -> Floats:
    """Part of a four-cornered face, by shares of its width and of its height."""
    shares = [
        ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
        for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
    ]
    return np.asarray(np.array(shares) @ face)


def add_wheels(shape: Shape, y: float, clearance: float) -> None:
    """Arches, tyres and rims on the side face added last, the side at `y`."""
    radius = shape.wheel_radius
    for x, _ in shape.wheels:
        arch = _disc(x, radius, radius * 1.22, clearance)
        shape.add(side_part(arch, y), DARK, 'detail')
        shape.add(side_part(_disc(x, radius, radius), y), RUBBER, 'detail')
        shape.add(side_part(_disc(x, radius, radius * 0.62), y), RIM, 'detail')
        shape.add(side_part(_disc(x, radius, radius * 0.2), y), DARK, 'fine')
