"""The ground: road, markings, kerbs, pavements and verges, worked out for each pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.classes import PAVEMENT, ROAD, VEGETATION
from trt_perception.scenes.noise import sample, soft_noise
from trt_perception.scenes.plan import Flank, Plan
from trt_perception.scenes.view import View

Image = NDArray[np.float32]

_WHITE = (205.0, 208.0, 208.0)
_MIDDLES = {'white': (205.0, 208.0, 208.0), 'yellow': (60.0, 175.0, 215.0)}


class GroundPainter:
    """Paints bands and stripes in world coordinates with soft edges of one pixel."""

    def __init__(self, view: View, top: int) -> None:
        """For the picture's rows from `top` down, all of which look at the ground."""
        camera = view.camera
        x, y, z = camera.rays(top, camera.height)
        # Depth and with it the footprint of a pixel are those of its row: [rows, 1].
        self.depth = np.float32(camera.position[2]) / np.maximum(-z, np.float32(1e-4))
        self.x = x * self.depth + np.float32(camera.position[0])
        self.y = y * self.depth + np.float32(camera.position[1])
        self.across = np.maximum(self.depth / np.float32(camera.focal), 1e-4)
        self.along = self.across * np.maximum(self.depth / np.float32(camera.position[2]), 1.0)
        self.colour = np.zeros((*self.x.shape, 3), dtype=np.float32)
        self.classes = np.full(self.x.shape, ROAD, dtype=np.uint16)

    def band(self, low: float, high: float) -> Image:
        """Share of each pixel with x between two values."""
        return _soft(np.minimum(self.x - np.float32(low), np.float32(high) - self.x), self.across)

    def stretch(self, low: float, high: float) -> Image:
        """Share of each pixel with y between two values."""
        return _soft(np.minimum(self.y - np.float32(low), np.float32(high) - self.y), self.along)

    def repeat(
        self, values: NDArray[Any], footprint: NDArray[Any], period: float, length: float
    ) -> Image:
        """Share of each pixel on stripes of a length that return with a period."""
        turns = np.floor(values * np.float32(1.0 / period))
        part = np.abs(values - turns * np.float32(period) - np.float32(period / 2))
        share = _soft(np.float32(length / 2) - part, footprint)
        blend = np.clip(footprint * np.float32(1.5 / period), 0.0, 1.0)
        share += blend * (np.float32(length / period) - share)
        return share

    def mix(self, share: Image, colour: tuple[float, float, float], strength: float = 1.0) -> None:
        """Blend a colour over what is there."""
        target = np.array(colour, dtype=np.float32)
        spots = np.flatnonzero(share > 0.004)
        if 3 * len(spots) > share.size:
            change = target - self.colour
            change *= (share * np.float32(strength))[:, :, None]
            self.colour += change
            return
        flat = self.colour.reshape(-1, 3)
        part = (share.reshape(-1)[spots] * np.float32(strength))[:, None]
        before = flat[spots]
        flat[spots] = before + part * (target - before)

    def own(self, share: Image, label: int) -> None:
        """Give what is mostly covered to a class."""
        self.classes[share > 0.5] = label


def _soft(inside: NDArray[Any], footprint: NDArray[Any]) -> Image:
    """Share of a pixel that lies inside an edge `inside` metres away."""
    share: Image = inside / footprint
    share += np.float32(0.5)
    np.clip(share, 0.0, 1.0, out=share)
    return share


def paint_ground(view: View, plan: Plan, top: int, rng: np.random.Generator) -> GroundPainter:
    """The ground below row `top` before it is lit."""
    ground = GroundPainter(view, top)
    tarmac = rng.uniform(78, 112)
    tint = rng.uniform(-4, 4)
    ground.colour[...] = np.array(
        [tarmac + 2, tarmac + tint * 0.4, tarmac + tint], dtype=np.float32
    )
    pattern = soft_noise(rng, (8, 16, 32, 64, 128))
    _tarmac_marks(ground, plan, pattern, rng)
    _lane_lines(ground, plan, rng)
    if plan.crossing is not None:
        _crossing(ground, plan, plan.crossing)
    for flank in (plan.left, plan.right):
        _flank(ground, flank, rng)
    _grain(ground, pattern)
    return ground


def _tarmac_marks(
    ground: GroundPainter, plan: Plan, pattern: Image, rng: np.random.Generator
) -> None:
    """Worn wheel tracks, patches and manholes."""
    for x, _ in plan.lane_middles():
        for side in (-0.8, 0.8):
            ground.mix(ground.band(x + side - 0.3, x + side + 0.3), (70.0, 70.0, 70.0), 0.16)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(plan.left.kerb * -1, plan.right.kerb), rng.uniform(3, 25)
        patch = ground.band(x - rng.uniform(0.3, 1.2), x + rng.uniform(0.3, 1.2))
        patch = patch * ground.stretch(y, y + rng.uniform(0.8, 4.0))
        value = rng.uniform(55, 100)
        ground.mix(patch, (value, value, value), 0.6)
    for _ in range(int(rng.integers(1, 3))):
        x, y = rng.uniform(-2.5, 2.5), rng.uniform(4, 14)
        away = np.hypot(ground.x - np.float32(x), ground.y - np.float32(y))
        lid = np.clip((np.float32(0.36) - away) / ground.along + 0.5, 0, 1)
        ground.mix(lid, (62.0, 62.0, 64.0))
    stains = sample(pattern, ground.x * 6.0, ground.y * 2.0)
    ground.mix(np.clip((stains - 0.62) * 4.0, 0, 1), (64.0, 64.0, 64.0), 0.35)


def _lane_lines(ground: GroundPainter, plan: Plan, rng: np.random.Generator) -> None:
    half = plan.lanes * plan.lane_width / 2
    paint = _MIDDLES['yellow' if rng.random() < 0.35 else 'white']
    wear = float(rng.uniform(0.7, 0.95))
    middle = ground.band(-0.07, 0.07)
    if plan.lanes == 4 or rng.random() < 0.3:
        double = np.maximum(ground.band(-0.2, -0.08), ground.band(0.08, 0.2))
        ground.mix(double, paint, wear)
    else:
        dashes = ground.repeat(ground.y, ground.along, float(rng.uniform(6, 9)), 3.0)
        ground.mix(middle * dashes, paint, wear)
    if plan.lanes == 4:
        dashes = ground.repeat(ground.y, ground.along, 7.5, 3.0)
        for x in (-plan.lane_width, plan.lane_width):
            ground.mix(ground.band(x - 0.06, x + 0.06) * dashes, _WHITE, wear)
    for flank in (plan.left, plan.right):
        x = flank.side * (half + (0.0 if flank.parking else -0.05))
        edge = ground.band(x - 0.06, x + 0.06)
        ground.mix(edge, _WHITE, wear * (0.9 if rng.random() < 0.7 else 0.0))
        if flank.parking:
            bays = ground.repeat(ground.y, ground.along, 6.2, 0.12)
            ground.mix(bays * ground.band(*sorted((x, flank.side * flank.kerb))), _WHITE, wear)


def _crossing(ground: GroundPainter, plan: Plan, y: float) -> None:
    """A zebra crossing and the stop lines on both sides of it."""
    reach = ground.band(-plan.left.kerb, plan.right.kerb)
    depth = ground.stretch(y - 1.6, y + 1.6)
    clean = (92.0, 92.0, 92.0)
    ground.mix(reach * ground.stretch(y - 2.2, y + 2.2), clean, 0.9)
    ground.mix(reach * depth * ground.repeat(ground.x, ground.across, 1.0, 0.52), _WHITE, 0.93)
    half = plan.lanes * plan.lane_width / 2
    for sign in (-1.0, 1.0):
        lane = ground.band(*sorted((0.1 * sign, sign * half)))
        ahead = y - 2.9 if sign * plan.travel > 0 else y + 2.9
        ground.mix(lane * ground.stretch(ahead - 0.2, ahead + 0.2), _WHITE, 0.9)


def _flank(ground: GroundPainter, flank: Flank, rng: np.random.Generator) -> None:
    """Gutter, kerb, verge, pavement and garden of one side."""
    side = flank.side
    gutter = ground.band(*sorted((side * (flank.kerb - 0.3), side * flank.kerb)))
    ground.mix(gutter, (70.0, 72.0, 74.0), 0.7)
    base = rng.uniform(138, 182)
    warm = rng.uniform(-8, 14)
    stone = (base - warm, base, base + warm * 0.6)
    beyond = ground.band(*sorted((side * flank.kerb, side * 400.0)))
    ground.mix(beyond, stone)
    ground.own(beyond, PAVEMENT)
    slab = float(rng.choice([0.5, 0.6, 0.9, 1.2]))
    joints = np.maximum(
        ground.repeat(ground.x, ground.across, slab, 0.03),
        ground.repeat(ground.y, ground.along, slab, 0.03),
    )
    ground.mix(beyond * joints, (stone[0] * 0.62, stone[1] * 0.62, stone[2] * 0.62), 0.8)
    kerb = ground.band(*sorted((side * flank.kerb, side * (flank.kerb + 0.16))))
    ground.mix(kerb, (196.0, 198.0, 198.0), 0.9)
    face = ground.band(*sorted((side * (flank.kerb - 0.07), side * flank.kerb)))
    ground.mix(face, (96.0, 96.0, 96.0), 0.85)
    grass = (48.0 * rng.uniform(0.9, 1.3), 128.0 * rng.uniform(0.85, 1.15), 92.0)
    if flank.verge > 0:
        edge = flank.kerb + 0.16
        strip = ground.band(*sorted((side * edge, side * (edge + flank.verge - 0.16))))
        ground.mix(strip, grass)
        ground.own(strip, VEGETATION)
    if flank.wall > flank.front:
        strip = ground.band(*sorted((side * flank.front, side * 400.0)))
        ground.mix(strip, grass)
        ground.own(strip, VEGETATION)


def _grain(ground: GroundPainter, pattern: Image) -> None:
    """Rough texture near the camera that fades before it would flicker."""
    coarse = sample(pattern, ground.x * 9.0, ground.y * 9.0) - np.float32(0.5)
    fine = sample(pattern, ground.x * 41.0, ground.y * 41.0) - np.float32(0.5)
    fade_fine = np.clip(1.2 - ground.along * 28.0, 0.0, 1.0)
    fade = np.clip(1.3 - ground.along * 3.0, 0.0, 1.0)
    plants = np.where(ground.classes == VEGETATION, np.float32(2.4), np.float32(1.0))
    fine *= np.float32(0.22) * fade_fine
    fine += (np.float32(0.2) * fade) * coarse
    ground.colour *= (np.float32(1.0) + plants * fine)[:, :, None]


def first_ground_row(view: View) -> int:
    """The first picture row that looks at the ground."""
    return max(math.ceil(float(view.camera.horizon) + 0.5), 0)
