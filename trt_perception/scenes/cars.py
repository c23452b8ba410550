"""Cars of six builds; see `vehicle_shape` for the axes."""

from __future__ import annotations

import math

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
    side_part,
)


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


def _car_body(shape: Shape, paint: Paint, belt: float) -> None:
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
        shape.add(side_part(sill, y), _darker(paint, 0.55), 'detail')
        crease = np.array(
            [
                [-half + 0.05, belt - 0.2],
                [half - 0.1, belt - 0.27],
                [half - 0.1, belt - 0.31],
                [-half + 0.05, belt - 0.24],
            ]
        )
        shape.add(side_part(crease, y), _darker(paint, 0.8), 'fine')
        for x in (0.62, -0.32):
            seam = np.array(
                [[x, low + 0.16], [x, belt], [x + 0.025, belt], [x + 0.025, low + 0.16]]
            )
            shape.add(side_part(seam, y), _darker(paint, 0.45), 'fine')
            grip = np.array(
                [
                    [x - 0.3, belt - 0.12],
                    [x - 0.12, belt - 0.12],
                    [x - 0.12, belt - 0.16],
                    [x - 0.3, belt - 0.16],
                ]
            )
            shape.add(side_part(grip, y), _darker(paint, 0.5), 'fine')
        add_wheels(shape, y, low)


def _car_rear(shape: Shape, strip: Floats) -> None:
    for u in (0.0, 0.8):
        shape.add(panel(strip, 0.5, 0.92, u, u + 0.2), TAIL, 'tail')
    shape.add(panel(strip, 0.3, 0.52, 0.36, 0.64), PLATE, 'fine')
    shape.add(panel(strip, 0.0, 0.16, 0.0, 1.0), DARK, 'detail')


def _car_front(shape: Shape, strip: Floats) -> None:
    shape.add(panel(strip, 0.0, 0.42, 0.26, 0.74), DARK, 'detail')
    for u in (0.02, 0.76):
        shape.add(panel(strip, 0.0, 0.44, u, u + 0.22), HEADLIGHT, 'head')
    shape.add(panel(strip, 0.55, 0.8, 0.38, 0.62), PLATE, 'fine')
    shape.add(panel(strip, 0.82, 1.0, 0.08, 0.92), DARK, 'fine')


def _car_cabin(shape: Shape, paint: Paint, belt: float, bonnet: float, boot: float) -> None:
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
    back = quad(base[3], base[0], roof[0], roof[3])
    shape.add(back, paint, 'face', inside)
    shape.add(panel(back, 0.08, 0.92, 0.12, 0.86), GLASS, 'detail')
    shape.add(panel(back, 0.16, 0.4, 0.2, 0.8), GLASS_LIGHT, 'fine')
    screen = quad(base[1], base[2], roof[2], roof[1])
    shape.add(screen, paint, 'face', inside)
    shape.add(panel(screen, 0.05, 0.95, 0.06, 0.92), GLASS, 'detail')
    shape.add(panel(screen, 0.55, 0.82, 0.12, 0.88), GLASS_LIGHT, 'fine')
    for a, b in ((0, 1), (3, 2)):
        side = quad(base[a], base[b], roof[b], roof[a])
        shape.add(side, paint, 'face', inside)
        shape.add(panel(side, 0.07, 0.47, 0.1, 0.86), GLASS, 'detail')
        shape.add(panel(side, 0.52, 0.93, 0.1, 0.86), GLASS, 'detail')
        shape.add(panel(side, 0.56, 0.7, 0.16, 0.8), GLASS_LIGHT, 'fine')
        outer = math.copysign(wide, side[0, 1])
        x, y0, y1 = front - 0.25, 0.97 * outer, 1.1 * outer
        mirror = quad([x, y0, belt], [x, y1, belt], [x, y1, belt + 0.14], [x, y0, belt + 0.14])
        shape.add(mirror, _darker(paint, 0.7), 'fine')
    shape.add(np.array(roof), _lighter(paint), 'face', inside)


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


def _darker(paint: Paint, factor: float) -> Paint:
    return (paint[0] * factor, paint[1] * factor, paint[2] * factor)


def _lighter(paint: Paint) -> Paint:
    return (paint[0] * 0.92 + 18, paint[1] * 0.92 + 18, paint[2] * 0.92 + 18)
