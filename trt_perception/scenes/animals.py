"""Dogs and cats, built like the people of `figures.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trt_perception.scenes.figures import Ball, Paint, Part

DOG_COATS = (
    (50, 90, 150),
    (30, 32, 36),
    (215, 222, 228),
    (70, 110, 175),
    (40, 55, 90),
    (110, 120, 130),
)
CAT_COATS = ((28, 28, 30), (40, 110, 215), (140, 140, 142), (230, 232, 235), (80, 105, 130))


def _shaded(paint: Paint, factor: float) -> Paint:
    return (paint[0] * factor, paint[1] * factor, paint[2] * factor)


def _coat(coats: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> Paint:
    b, g, r = coats[int(rng.integers(len(coats)))]
    shade = float(rng.uniform(0.88, 1.1))
    return (min(b * shade, 245.0), min(g * shade, 245.0), min(r * shade, 245.0))


@dataclass(frozen=True)
class Dog:
    """Looks of one dog; `height` is that of its back in metres."""

    height: float
    coat: Paint
    second: Paint
    collar: Paint
    floppy: bool
    snout: float

    @property
    def length(self) -> float:
        """Chest to rump in metres."""
        return self.height * 1.15

    def parts(self, phase: float, moving: bool) -> list[Part]:
        """The dog at a phase of its trot, radians."""
        h, half = self.height, self.length / 2
        parts: list[Part] = []
        for x, lag in ((half * 0.8, 0.0), (-half * 0.82, math.pi)):
            for side, offset in ((1.0, 0.0), (-1.0, math.pi)):
                swing = 0.45 * math.sin(phase + lag + offset) if moving else 0.0
                parts += _leg(x, side * 0.13 * h, swing, h, 0.055 * h, self.coat)
        chest, rump = (
            Ball(half * 0.72, 0, 0.78 * h, 0.21 * h),
            Ball(-half * 0.75, 0, 0.8 * h, 0.165 * h),
        )
        parts.append(((chest, rump), self.coat))
        parts.append(((Ball(half * 0.8, 0, 0.7 * h, 0.15 * h),), self.second))
        neck = Ball(half * 0.95, 0, 0.95 * h, 0.13 * h)
        head = Ball(half * 1.2, 0, 1.16 * h, 0.155 * h)
        parts.append(((neck, head), self.coat))
        parts.append(
            (
                (
                    Ball(half * 0.98, 0.05 * h, 0.95 * h, 0.1 * h),
                    Ball(half * 1.04, -0.05 * h, 1.0 * h, 0.1 * h),
                ),
                self.collar,
            )
        )
        parts.append(((head,), self.coat))
        nose_x = half * 1.2 + self.snout * h
        parts.append(
            (
                (Ball(half * 1.28, 0, 1.12 * h, 0.1 * h), Ball(nose_x, 0, 1.08 * h, 0.065 * h)),
                self.second,
            )
        )
        parts.append(((Ball(nose_x + 0.05 * h, 0, 1.1 * h, 0.035 * h),), (25.0, 25.0, 28.0)))
        for side in (1.0, -1.0):
            root = Ball(half * 1.14, side * 0.11 * h, 1.26 * h, 0.05 * h)
            tip = (
                Ball(half * 1.1, side * 0.19 * h, 1.06 * h, 0.055 * h)
                if self.floppy
                else Ball(half * 1.1, side * 0.13 * h, 1.42 * h, 0.02 * h)
            )
            parts.append(((root, tip), _shaded(self.coat, 0.75)))
        wag = 0.12 * h * math.sin(3.0 * phase)
        tail = (
            Ball(-half * 0.95, 0, 0.9 * h, 0.05 * h),
            Ball(-half * 1.25, wag, 1.15 * h, 0.03 * h),
        )
        parts.append((tail, self.coat))
        return parts


@dataclass(frozen=True)
class Cat:
    """Looks of one cat; `height` is that of its back in metres."""

    height: float
    coat: Paint
    second: Paint
    sitting: bool
    tail_up: bool

    @property
    def length(self) -> float:
        """Chest to rump in metres."""
        return self.height * 1.5

    def parts(self, phase: float, moving: bool) -> list[Part]:
        """The cat at a phase of its walk, radians."""
        if self.sitting:
            return self._seated(phase)
        h, half = self.height, self.length / 2
        parts: list[Part] = []
        for x, lag in ((half * 0.8, 0.0), (-half * 0.8, math.pi)):
            for side, offset in ((1.0, 0.0), (-1.0, math.pi)):
                swing = 0.4 * math.sin(phase + lag + offset) if moving else 0.0
                parts += _leg(x, side * 0.13 * h, swing, h * 0.9, 0.06 * h, self.coat)
        body = (
            Ball(half * 0.7, 0, 0.74 * h, 0.17 * h),
            Ball(0, 0, 0.7 * h, 0.17 * h),
            Ball(-half * 0.75, 0, 0.76 * h, 0.19 * h),
        )
        parts.append((body, self.coat))
        parts += self._stripes(half, h)
        parts += self._face(half * 1.1, 1.02 * h, h)
        sway = 0.1 * h * math.sin(phase * 0.7)
        bend = Ball(-half * 1.3, sway * 0.5, 0.95 * h, 0.05 * h)
        tip = (
            Ball(-half * 1.25, sway, 1.55 * h, 0.045 * h)
            if self.tail_up
            else Ball(-half * 1.9, sway, 0.6 * h, 0.04 * h)
        )
        parts.append(((Ball(-half * 0.95, 0, 0.85 * h, 0.055 * h), bend), self.coat))
        parts.append(((bend, tip), self.coat))
        return parts

    def _stripes(self, half: float, h: float) -> list[Part]:
        spots: list[Part] = []
        for x in (-0.4, 0.0, 0.4):
            for side in (1.0, -1.0):
                spots.append(
                    (
                        (
                            Ball(half * x, side * 0.12 * h, 0.86 * h, 0.03 * h),
                            Ball(half * x, side * 0.15 * h, 0.68 * h, 0.025 * h),
                        ),
                        self.second,
                    )
                )
        return spots

    def _face(self, x: float, z: float, h: float) -> list[Part]:
        parts: list[Part] = [((Ball(x, 0, z, 0.185 * h),), self.coat)]
        for side in (1.0, -1.0):
            parts.append(
                (
                    (
                        Ball(x - 0.02 * h, side * 0.1 * h, z + 0.12 * h, 0.05 * h),
                        Ball(x - 0.02 * h, side * 0.13 * h, z + 0.27 * h, 0.012 * h),
                    ),
                    _shaded(self.coat, 0.8),
                )
            )
            parts.append(
                (
                    (Ball(x + 0.15 * h, side * 0.07 * h, z + 0.03 * h, 0.028 * h),),
                    (70.0, 215.0, 190.0),
                )
            )
        parts.append(((Ball(x + 0.15 * h, 0, z - 0.06 * h, 0.06 * h),), self.second))
        return parts

    def _seated(self, phase: float) -> list[Part]:
        h = self.height * 1.15
        parts: list[Part] = [
            (
                (
                    Ball(-0.22 * h, 0, 0.24 * h, 0.24 * h),
                    Ball(-0.1 * h, 0, 0.3 * h, 0.22 * h),
                    Ball(0.12 * h, 0, 0.75 * h, 0.15 * h),
                ),
                self.coat,
            ),
        ]
        for side in (1.0, -1.0):
            parts.append(
                (
                    (
                        Ball(0.17 * h, side * 0.08 * h, 0.6 * h, 0.06 * h),
                        Ball(0.22 * h, side * 0.08 * h, 0.05 * h, 0.05 * h),
                    ),
                    self.coat,
                )
            )
        parts += self._face(0.2 * h, 0.98 * h, h)
        curl = 0.1 * h * math.sin(phase * 0.5)
        parts.append(
            (
                (
                    Ball(-0.4 * h, 0, 0.08 * h, 0.06 * h),
                    Ball(-0.5 * h, 0.3 * h, 0.06 * h, 0.05 * h),
                ),
                self.coat,
            )
        )
        parts.append(
            (
                (
                    Ball(-0.5 * h, 0.3 * h, 0.06 * h, 0.05 * h),
                    Ball(-0.3 * h, 0.5 * h + curl, 0.06 * h, 0.04 * h),
                ),
                self.coat,
            )
        )
        return parts


def _leg(x: float, y: float, swing: float, h: float, radius: float, coat: Paint) -> list[Part]:
    knee = Ball(x + 0.3 * h * math.sin(swing), y, 0.4 * h, radius)
    foot_x = x + 0.55 * h * math.sin(swing)
    foot = Ball(foot_x, y, max(0.05 * h, 0.12 * h * abs(swing)), radius * 0.8)
    tone = _shaded(coat, 0.9)
    return [
        ((Ball(x, y, 0.72 * h, radius * 1.6), knee), tone),
        ((knee, foot, Ball(foot_x + 0.06 * h, y, foot.z, radius * 0.8)), tone),
    ]


def make_dog(rng: np.random.Generator) -> Dog:
    """A dog of random size and coat."""
    coat = _coat(DOG_COATS, rng)
    return Dog(
        height=float(rng.uniform(0.4, 0.66)),
        coat=coat,
        second=_coat(DOG_COATS, rng) if rng.random() < 0.5 else _shaded(coat, 0.8),
        collar=((50.0, 50.0, 210.0), (190.0, 110.0, 40.0), (60.0, 190.0, 220.0))[rng.integers(3)],
        floppy=bool(rng.random() < 0.55),
        snout=float(rng.uniform(0.28, 0.42)),
    )


def make_cat(rng: np.random.Generator) -> Cat:
    """A cat of random coat and posture."""
    coat = _coat(CAT_COATS, rng)
    return Cat(
        height=float(rng.uniform(0.26, 0.34)),
        coat=coat,
        second=_shaded(coat, 0.7) if rng.random() < 0.6 else (225.0, 228.0, 230.0),
        sitting=bool(rng.random() < 0.35),
        tail_up=bool(rng.random() < 0.6),
    )
