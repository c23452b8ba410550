"""Box lorries and tippers; see `vehicle_shape` for the axes."""

from __future__ import annotations

import numpy as np

from trt_perception.scenes.vehicle_shape import (
    CAR_PAINTS,
    DARK,
    GLASS,
    GLASS_LIGHT,
    HEADLIGHT,
    PLATE,
    TAIL,
    Floats,
    Paint,
    Shape,
    add_wheels,
    panel,
    quad,
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


def _box(
    shape: Shape,
    x0: float,
    x1: float,
    half: float,
    z0: float,
    z1: float,
    paint: Paint,
) -> None:
    """A box without its underside, with the details that belong on each face."""
    inside = np.array([(x0 + x1) / 2, 0.0, (z0 + z1) / 2])
    faces = {
        'front': quad([x1, half, z0], [x1, -half, z0], [x1, -half, z1], [x1, half, z1]),
        'back': quad([x0, -half, z0], [x0, half, z0], [x0, half, z1], [x0, -half, z1]),
        'top': quad([x0, half, z1], [x1, half, z1], [x1, -half, z1], [x0, -half, z1]),
        'left': quad([x0, half, z0], [x1, half, z0], [x1, half, z1], [x0, half, z1]),
        'right': quad([x1, -half, z0], [x0, -half, z0], [x0, -half, z1], [x1, -half, z1]),
    }
    for name, face in faces.items():
        shape.add(face, paint, 'face', inside)
        details = _BOX_DETAILS.get((shape.volume, name))
        if details is not None:
            details(shape, face)


def _lorry_cab_front(shape: Shape, face: Floats) -> None:
    shape.add(panel(face, 0.06, 0.94, 0.5, 0.88), GLASS, 'detail')
    shape.add(panel(face, 0.55, 0.8, 0.54, 0.84), GLASS_LIGHT, 'fine')
    shape.add(panel(face, 0.22, 0.78, 0.14, 0.42), DARK, 'detail')
    shape.add(panel(face, 0.0, 1.0, 0.0, 0.1), DARK, 'detail')
    for u in (0.03, 0.8):
        shape.add(panel(face, u, u + 0.17, 0.12, 0.24), HEADLIGHT, 'head')
    shape.add(panel(face, 0.4, 0.6, 0.02, 0.1), PLATE, 'fine')


def _lorry_cab_side(shape: Shape, face: Floats) -> None:
    forward = face[1][0] > face[0][0]
    u0, u1 = (0.42, 0.9) if forward else (0.1, 0.58)
    shape.add(panel(face, u0, u1, 0.5, 0.85), GLASS, 'detail')
    shape.add(panel(face, 0.0, 1.0, 0.0, 0.12), DARK, 'detail')
    _add_wheels_between(shape, face)


def _lorry_box_side(shape: Shape, face: Floats) -> None:
    stripe = shape.paints[0]
    shape.add(panel(face, 0.0, 1.0, 0.12, 0.24), stripe, 'detail')
    shape.add(panel(face, 0.3, 0.7, 0.45, 0.75), stripe, 'detail')
    shape.add(panel(face, 0.34, 0.66, 0.56, 0.64), PLATE, 'fine')
    _add_wheels_between(shape, face)


def _add_wheels_between(shape: Shape, face: Floats) -> None:
    low, high = float(face[:, 0].min()), float(face[:, 0].max())
    every = shape.wheels
    shape.wheels = [wheel for wheel in every if low - 0.2 <= wheel[0] <= high + 0.2]
    add_wheels(shape, float(face[0, 1]), 0.5)
    shape.wheels = every


def _lorry_box_back(shape: Shape, face: Floats) -> None:
    shape.add(panel(face, 0.49, 0.51, 0.04, 0.98), DARK, 'detail')
    for u in (0.2, 0.78):
        shape.add(panel(face, u, u + 0.015, 0.06, 0.95), DARK, 'fine')
    shape.add(panel(face, 0.0, 1.0, 0.0, 0.05), DARK, 'detail')
    for u in (0.02, 0.84):
        shape.add(panel(face, u, u + 0.14, 0.005, 0.075), TAIL, 'tail')
    shape.add(panel(face, 0.4, 0.6, 0.0, 0.045), PLATE, 'fine')


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
