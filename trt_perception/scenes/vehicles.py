"""Cars and lorries: convex hulls of sheet metal with windows, wheels and lights painted on.

A vehicle's own axes: x forward from its middle, y to its left, z up from the ground; metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
BOX_PAINTS = (
    (225, 228, 230),
    (200, 190, 175),
    (50, 110, 200),
    (170, 90, 40),
    (60, 140, 60),
    (60, 60, 180),
    (150, 150, 150),
    (40, 190, 220),
    (120, 70, 110),
    (90, 80, 60),
)
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
    paints: list[tuple[float, float, float]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    wheels: list[tuple[float, float]] = field(default_factory=list)
    wheel_radius: float = 0.33
    volume: int = 0

    def add(
        self,
        corners: Floats,
        paint: tuple[float, float, float],
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


def _quad(a: list[float], b: list[float], c: list[float], d: list[float]) -> Floats:
    return np.array([a, b, c, d], dtype=np.float64)


def _side_part(profile: Floats, y: float) -> Floats:
    """A profile of (x, z) points as a polygon on the side plane at y."""
    return np.column_stack([profile[:, 0], np.full(len(profile), y), profile[:, 1]])


def _disc(x: float, z: float, radius: float, low: float = -1.0) -> Floats:
    """Circle points (x, z) [ROUND, 2], cut off below the height `low`."""
    turn = np.linspace(0, 2 * math.pi, ROUND, endpoint=False)
    disc = np.column_stack([x + radius * np.cos(turn), z + radius * np.sin(turn)])
    disc[:, 1] = np.maximum(disc[:, 1], low)
    return disc


def _panel(face: Floats, u0: float, u1: float, v0: float, v1: float) -> Floats:
    """Part of a four-cornered face, by shares of its width and of its height."""
    shares = [
        ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
        for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
    ]
    return np.asarray(np.array(shares) @ face)


def _add_wheels(shape: Shape, y: float, clearance: float) -> None:
    """Arches, tyres and rims on the side face added last, the side at `y`."""
    radius = shape.wheel_radius
    for x, _ in shape.wheels:
        arch = _disc(x, radius, radius * 1.22, clearance)
        shape.add(_side_part(arch, y), DARK, 'detail')
        shape.add(_side_part(_disc(x, radius, radius), y), RUBBER, 'detail')
        shape.add(_side_part(_disc(x, radius, radius * 0.62), y), RIM, 'detail')
        shape.add(_side_part(_disc(x, radius, radius * 0.2), y), DARK, 'fine')


def _darker(paint: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return (paint[0] * factor, paint[1] * factor, paint[2] * factor)


def _car_numbers(rng: np.random.Generator) -> dict[str, float]:
    kind = str(rng.choice(['hatch', 'saloon', 'estate', 'suv', 'mini', 'van']))
    table = {
        'hatch': (4.1, 1.76, 1.48, 0.92, 0.24, 0.04),
        'saloon': (4.7, 1.82, 1.45, 0.92, 0.25, 0.17),
        'estate': (4.7, 1.82, 1.50, 0.93, 0.24, 0.02),
        'suv': (4.6, 1.9, 1.74, 1.08, 0.23, 0.03),
        'mini': (3.5, 1.64, 1.50, 0.92, 0.2, 0.03),
        'van': (4.5, 1.84, 1.86, 1.05, 0.15, 0.0),
    }
    length, width, height, belt, bonnet, boot = table[kind]
    return {
        'length': length * rng.uniform(0.95, 1.05),
        'width': width * rng.uniform(0.97, 1.03),
        'height': height * rng.uniform(0.97, 1.03),
        'belt': belt,
        'bonnet': bonnet,
        'boot': boot,
    }


def _car_body(shape: Shape, paint: tuple[float, float, float], belt: float) -> None:
    """The lower half of a car with its lights, grille and wheels."""
    half, wide, low = shape.length / 2, shape.width / 2, 0.24
    profile = np.array(
        [
            [-half + 0.1, low],
            [-half, low + 0.16],
            [-half + 0.02, belt - 0.18],
            [-half + 0.16, belt],
            [half * 0.45, belt],
            [half - 0.22, belt - 0.1],
            [half - 0.03, belt - 0.26],
            [half, low + 0.16],
            [half - 0.12, low],
        ]
    )
    inner = wide - np.where(np.abs(profile[:, 0]) > half - 0.3, 0.07, 0.0)
    left = np.column_stack([profile[:, 0], inner, profile[:, 1]])
    right = left * np.array([1.0, -1.0, 1.0])
    inside = np.array([0.0, 0.0, 0.6])
    count = len(profile)
    for i in range(count - 1):
        strip = np.array([left[i], left[i + 1], right[i + 1], right[i]])
        shape.add(strip, paint, 'face', inside)
        if i == 1:
            _car_rear(shape, strip)
        if i == 6:
            _car_front(shape, strip)
    for y in (wide, -wide):
        side = left if y > 0 else right
        shape.add(side, paint, 'face', inside)
        sill = np.array(
            [[-half + 0.1, low], [-half, low + 0.14], [half, low + 0.14], [half - 0.12, low]]
        )
        shape.add(_side_part(sill, y), _darker(paint, 0.55), 'detail')
        crease = np.array(
            [
                [-half + 0.05, belt - 0.2],
                [half - 0.1, belt - 0.27],
                [half - 0.1, belt - 0.31],
                [-half + 0.05, belt - 0.24],
            ]
        )
        shape.add(_side_part(crease, y), _darker(paint, 0.8), 'fine')
        for x in (0.62, -0.32):
            seam = np.array(
                [[x, low + 0.16], [x, belt], [x + 0.025, belt], [x + 0.025, low + 0.16]]
            )
            shape.add(_side_part(seam, y), _darker(paint, 0.45), 'fine')
            grip = np.array(
                [
                    [x - 0.3, belt - 0.12],
                    [x - 0.12, belt - 0.12],
                    [x - 0.12, belt - 0.16],
                    [x - 0.3, belt - 0.16],
                ]
            )
            shape.add(_side_part(grip, y), _darker(paint, 0.5), 'fine')
        _add_wheels(shape, y, low)


def _car_rear(shape: Shape, strip: Floats) -> None:
    for u in (0.0, 0.8):
        shape.add(_panel(strip, 0.5, 0.92, u, u + 0.2), TAIL, 'tail')
    shape.add(_panel(strip, 0.3, 0.52, 0.36, 0.64), PLATE, 'fine')
    shape.add(_panel(strip, 0.0, 0.16, 0.0, 1.0), DARK, 'detail')


def _car_front(shape: Shape, strip: Floats) -> None:
    shape.add(_panel(strip, 0.0, 0.42, 0.26, 0.74), DARK, 'detail')
    for u in (0.02, 0.76):
        shape.add(_panel(strip, 0.0, 0.44, u, u + 0.22), HEADLIGHT, 'head')
    shape.add(_panel(strip, 0.55, 0.8, 0.38, 0.62), PLATE, 'fine')
    shape.add(_panel(strip, 0.82, 1.0, 0.08, 0.92), DARK, 'fine')


def _car_cabin(
    shape: Shape, paint: tuple[float, float, float], belt: float, bonnet: float, boot: float
) -> None:
    """The upper half of a car: pillars, glass and roof."""
    half, wide, top = shape.length / 2, shape.width / 2, shape.height
    rear, front = -half + shape.length * boot + 0.08, half - shape.length * bonnet
    rake = 0.52 if bonnet > 0.16 else 0.3
    slope = 0.42 if boot > 0.1 else 0.16
    inset = 0.16
    low = [[rear, wide - 0.03], [front, wide - 0.03], [front, -wide + 0.03], [rear, -wide + 0.03]]
    high = [
        [rear + slope, wide - inset],
        [front - rake, wide - inset],
        [front - rake, -wide + inset],
        [rear + slope, -wide + inset],
    ]
    base = [[x, y, belt - 0.02] for x, y in low]
    roof = [[x, y, top] for x, y in high]
    inside = np.array([(rear + front) / 2, 0.0, (belt + top) / 2])
    back = _quad(base[3], base[0], roof[0], roof[3])
    shape.add(back, paint, 'face', inside)
    shape.add(_panel(back, 0.08, 0.92, 0.12, 0.86), GLASS, 'detail')
    shape.add(_panel(back, 0.16, 0.4, 0.2, 0.8), GLASS_LIGHT, 'fine')
    screen = _quad(base[1], base[2], roof[2], roof[1])
    shape.add(screen, paint, 'face', inside)
    shape.add(_panel(screen, 0.05, 0.95, 0.06, 0.92), GLASS, 'detail')
    shape.add(_panel(screen, 0.55, 0.82, 0.12, 0.88), GLASS_LIGHT, 'fine')
    for a, b in ((0, 1), (3, 2)):
        side = _quad(base[a], base[b], roof[b], roof[a])
        shape.add(side, paint, 'face', inside)
        shape.add(_panel(side, 0.07, 0.47, 0.1, 0.86), GLASS, 'detail')
        shape.add(_panel(side, 0.52, 0.93, 0.1, 0.86), GLASS, 'detail')
        shape.add(_panel(side, 0.56, 0.7, 0.16, 0.8), GLASS_LIGHT, 'fine')
        outer = math.copysign(wide, side[0, 1])
        x, y0, y1 = front - 0.25, 0.97 * outer, 1.1 * outer
        mirror = _quad([x, y0, belt], [x, y1, belt], [x, y1, belt + 0.14], [x, y0, belt + 0.14])
        shape.add(mirror, _darker(paint, 0.7), 'fine')
    shape.add(np.array(roof), _lighter(paint), 'face', inside)


def _lighter(paint: tuple[float, float, float]) -> tuple[float, float, float]:
    return (paint[0] * 0.92 + 18, paint[1] * 0.92 + 18, paint[2] * 0.92 + 18)


def make_car(rng: np.random.Generator) -> Shape:
    """A car of a random build and colour."""
    numbers = _car_numbers(rng)
    paint = CAR_PAINTS[int(rng.integers(len(CAR_PAINTS)))]
    shade = rng.uniform(0.85, 1.12)
    paint_f = (min(paint[0] * shade, 240), min(paint[1] * shade, 240), min(paint[2] * shade, 240))
    shape = Shape(numbers['length'], numbers['width'], numbers['height'])
    half = shape.length / 2
    shape.wheel_radius = 0.31 if shape.height < 1.6 else 0.36
    shape.wheels = [(-half + 0.85, 0.2), (half - 0.8, 0.2)]
    _car_body(shape, paint_f, numbers['belt'])
    shape.volume = 1
    _car_cabin(shape, paint_f, numbers['belt'], numbers['bonnet'], numbers['boot'])
    return shape


def _box(
    shape: Shape,
    x0: float,
    x1: float,
    half: float,
    z0: float,
    z1: float,
    paint: tuple[float, float, float],
) -> None:
    """A box without its underside, with the details that belong on each face."""
    inside = np.array([(x0 + x1) / 2, 0.0, (z0 + z1) / 2])
    faces = {
        'front': _quad([x1, half, z0], [x1, -half, z0], [x1, -half, z1], [x1, half, z1]),
        'back': _quad([x0, -half, z0], [x0, half, z0], [x0, half, z1], [x0, -half, z1]),
        'top': _quad([x0, half, z1], [x1, half, z1], [x1, -half, z1], [x0, -half, z1]),
        'left': _quad([x0, half, z0], [x1, half, z0], [x1, half, z1], [x0, half, z1]),
        'right': _quad([x1, -half, z0], [x0, -half, z0], [x0, -half, z1], [x1, -half, z1]),
    }
    for name, face in faces.items():
        shape.add(face, paint, 'face', inside)
        details = _BOX_DETAILS.get((shape.volume, name))
        if details is not None:
            details(shape, face)


def _lorry_cab_front(shape: Shape, face: Floats) -> None:
    shape.add(_panel(face, 0.06, 0.94, 0.5, 0.88), GLASS, 'detail')
    shape.add(_panel(face, 0.55, 0.8, 0.54, 0.84), GLASS_LIGHT, 'fine')
    shape.add(_panel(face, 0.22, 0.78, 0.14, 0.42), DARK, 'detail')
    shape.add(_panel(face, 0.0, 1.0, 0.0, 0.1), DARK, 'detail')
    for u in (0.03, 0.8):
        shape.add(_panel(face, u, u + 0.17, 0.12, 0.24), HEADLIGHT, 'head')
    shape.add(_panel(face, 0.4, 0.6, 0.02, 0.1), PLATE, 'fine')


def _lorry_cab_side(shape: Shape, face: Floats) -> None:
    forward = face[1][0] > face[0][0]
    u0, u1 = (0.42, 0.9) if forward else (0.1, 0.58)
    shape.add(_panel(face, u0, u1, 0.5, 0.85), GLASS, 'detail')
    shape.add(_panel(face, 0.0, 1.0, 0.0, 0.12), DARK, 'detail')
    _add_wheels_between(shape, face)


def _lorry_box_side(shape: Shape, face: Floats) -> None:
    stripe = shape.paints[0]
    shape.add(_panel(face, 0.0, 1.0, 0.12, 0.24), stripe, 'detail')
    shape.add(_panel(face, 0.3, 0.7, 0.45, 0.75), stripe, 'detail')
    shape.add(_panel(face, 0.34, 0.66, 0.56, 0.64), PLATE, 'fine')
    _add_wheels_between(shape, face)


def _add_wheels_between(shape: Shape, face: Floats) -> None:
    low, high = float(face[:, 0].min()), float(face[:, 0].max())
    every = shape.wheels
    shape.wheels = [wheel for wheel in every if low - 0.2 <= wheel[0] <= high + 0.2]
    _add_wheels(shape, float(face[0, 1]), 0.5)
    shape.wheels = every


def _lorry_box_back(shape: Shape, face: Floats) -> None:
    shape.add(_panel(face, 0.49, 0.51, 0.04, 0.98), DARK, 'detail')
    for u in (0.2, 0.78):
        shape.add(_panel(face, u, u + 0.015, 0.06, 0.95), DARK, 'fine')
    shape.add(_panel(face, 0.0, 1.0, 0.0, 0.05), DARK, 'detail')
    for u in (0.02, 0.84):
        shape.add(_panel(face, u, u + 0.14, 0.005, 0.075), TAIL, 'tail')
    shape.add(_panel(face, 0.4, 0.6, 0.0, 0.045), PLATE, 'fine')


_BOX_DETAILS = {
    (0, 'front'): _lorry_cab_front,
    (0, 'left'): _lorry_cab_side,
    (0, 'right'): _lorry_cab_side,
    (1, 'left'): _lorry_box_side,
    (1, 'right'): _lorry_box_side,
    (1, 'back'): _lorry_box_back,
}


def make_lorry(rng: np.random.Generator) -> Shape:
    """A box, tipper or flat lorry of a random size and colour."""
    length, width = rng.uniform(6.4, 10.0), rng.uniform(2.3, 2.5)
    cab_top = rng.uniform(2.6, 3.0)
    kind = str(rng.choice(['box', 'box', 'box', 'tipper']))
    box_top = rng.uniform(3.1, 3.8) if kind == 'box' else rng.uniform(1.9, 2.3)
    cab = CAR_PAINTS[int(rng.integers(len(CAR_PAINTS)))]
    box = BOX_PAINTS[int(rng.integers(len(BOX_PAINTS)))]
    if kind == 'tipper':
        box = ((60, 150, 200), (50, 120, 90), (90, 90, 95))[int(rng.integers(3))]
    half = length / 2
    shape = Shape(length, width, max(cab_top, box_top))
    shape.wheel_radius = 0.48
    shape.wheels = [(half - 1.0, 0.3), (-half + 1.2, 0.3)]
    if length > 8.2:
        shape.wheels.append((-half + 2.3, 0.3))
    split = half - 2.0
    _box(shape, split, half, width / 2 - 0.04, 0.42, cab_top, (cab[0], cab[1], cab[2]))
    shape.volume = 1
    _box(
        shape,
        -half,
        split - 0.15,
        width / 2,
        0.75 if kind == 'tipper' else 0.62,
        box_top,
        (box[0], box[1], box[2]),
    )
    return shape
