"""People and animals as hulls of balls on a moving skeleton.

A figure's own axes: x forward, y to its left, z up from the ground; metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Paint = tuple[float, float, float]

SKIN = ((165, 195, 235), (120, 155, 210), (85, 115, 170), (55, 78, 120), (140, 175, 225))
HAIR = ((25, 28, 35), (30, 50, 80), (60, 110, 170), (110, 110, 115), (40, 60, 120), (190, 195, 200))
CLOTHES = (
    (40, 40, 170),
    (150, 70, 30),
    (50, 120, 50),
    (40, 160, 220),
    (225, 225, 225),
    (60, 50, 50),
    (120, 60, 130),
    (180, 150, 60),
    (60, 110, 200),
    (90, 90, 95),
    (35, 60, 90),
    (150, 90, 190),
    (80, 200, 210),
    (200, 180, 150),
)
TROUSERS = (
    (90, 60, 40),
    (45, 42, 40),
    (60, 75, 95),
    (110, 105, 100),
    (70, 45, 30),
    (120, 140, 160),
    (35, 32, 50),
)


@dataclass
class Ball:
    """A ball of the skeleton: its place and radius in metres."""

    x: float
    y: float
    z: float
    r: float


Part = tuple[tuple[Ball, ...], Paint]
"""Balls whose common hull is one part of the figure, and its colour."""


def _pick(paints: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> Paint:
    b, g, r = paints[int(rng.integers(len(paints)))]
    shade = float(rng.uniform(0.85, 1.12))
    return (min(b * shade, 245.0), min(g * shade, 245.0), min(r * shade, 245.0))


@dataclass(frozen=True)
class Pedestrian:
    """Looks of one person on foot."""

    height: float
    build: float
    skin: Paint
    hair: Paint
    jacket: Paint
    trousers: Paint
    shoes: Paint
    long_hair: bool
    skirt: bool
    bag: Paint | None
    hat: Paint | None
    umbrella: Paint | None

    def parts(self, phase: float, moving: bool) -> list[Part]:
        """The figure at a phase of its gait, radians."""
        h, wide = self.height, self.build
        swing = 0.42 * math.sin(phase) if moving else 0.05
        bob = 0.012 * h * abs(math.cos(phase)) if moving else 0.0
        hip, chest = 0.52 * h + bob, 0.8 * h + bob
        parts: list[Part] = []
        for side, angle in ((1.0, swing), (-1.0, -swing)):
            parts += self._leg(side, angle, hip, moving, phase)
            parts += self._arm(side, -angle * 0.9, chest)
        shoulder, waist = 0.1 * h * wide, 0.062 * h * wide
        torso = (
            Ball(0, shoulder, chest, 0.042 * h),
            Ball(0, -shoulder, chest, 0.042 * h),
            Ball(0, waist, hip + 0.02 * h, 0.06 * h),
            Ball(0, -waist, hip + 0.02 * h, 0.06 * h),
        )
        parts.append((torso, self.jacket))
        if self.skirt:
            hem = 0.3 * h
            skirt = (
                Ball(0, waist, hip, 0.055 * h),
                Ball(0, -waist, hip, 0.055 * h),
                Ball(0.03 * h, 0.1 * h, hem, 0.045 * h),
                Ball(-0.03 * h, -0.1 * h, hem, 0.045 * h),
            )
            parts.append((skirt, self.trousers))
        parts += self._head(chest)
        if self.bag is not None:
            bag = (
                Ball(-0.1 * h, 0, chest - 0.02 * h, 0.07 * h),
                Ball(-0.1 * h, 0, chest - 0.17 * h, 0.08 * h),
            )
            parts.append((bag, self.bag))
        return parts

    def _leg(self, side: float, angle: float, hip: float, moving: bool, phase: float) -> list[Part]:
        h, y = self.height, side * 0.055 * self.height
        bend = (0.25 + 0.55 * max(0.0, math.cos(phase) * side)) if moving else 0.03
        knee_x, knee_z = 0.26 * h * math.sin(angle), hip - 0.25 * h * math.cos(angle)
        foot_x = knee_x + 0.25 * h * math.sin(angle - bend)
        foot_z = max(knee_z - 0.25 * h * math.cos(angle - bend), 0.03 * h)
        knee = Ball(knee_x, y, knee_z, 0.04 * h)
        ankle = Ball(foot_x, y, foot_z, 0.028 * h)
        cover = self.skin if self.skirt else self.trousers
        return [
            ((Ball(0, y, hip, 0.058 * h), knee), cover),
            ((knee, ankle), cover),
            (
                (
                    Ball(foot_x, y, foot_z - 0.005 * h, 0.026 * h),
                    Ball(foot_x + 0.07 * h, y, foot_z - 0.01 * h, 0.022 * h),
                ),
                self.shoes,
            ),
        ]

    def _arm(self, side: float, angle: float, chest: float) -> list[Part]:
        h, y = self.height, side * (0.135 * self.height * self.build)
        if self.umbrella is not None and side > 0:
            hand = Ball(0.12 * h, y * 0.6, chest - 0.06 * h, 0.024 * h)
            elbow = Ball(0.03 * h, y, chest - 0.16 * h, 0.028 * h)
        else:
            elbow = Ball(0.15 * h * math.sin(angle), y, chest - 0.15 * h, 0.03 * h)
            hand = Ball(elbow.x + 0.14 * h * math.sin(angle + 0.35), y, chest - 0.31 * h, 0.024 * h)
        top = Ball(0, y * 0.95, chest + 0.005 * h, 0.034 * h)
        sleeve = (self.jacket[0] * 0.88, self.jacket[1] * 0.88, self.jacket[2] * 0.88)
        return [((top, elbow), sleeve), ((elbow, hand), sleeve), ((hand,), self.skin)]

    def _head(self, chest: float) -> list[Part]:
        h, z = self.height, chest + 0.125 * self.height
        parts: list[Part] = [
            ((Ball(0.01 * h, 0, z - 0.1 * h, 0.03 * h), Ball(0.01 * h, 0, z, 0.03 * h)), self.skin),
            (
                (Ball(0.012 * h, 0, z, 0.056 * h), Ball(0.012 * h, 0, z - 0.025 * h, 0.048 * h)),
                self.skin,
            ),
        ]
        if self.long_hair:
            parts.append(
                (
                    (
                        Ball(-0.025 * h, 0, z + 0.015 * h, 0.057 * h),
                        Ball(-0.045 * h, 0, z - 0.09 * h, 0.045 * h),
                    ),
                    self.hair,
                )
            )
        else:
            parts.append(((Ball(-0.018 * h, 0, z + 0.02 * h, 0.056 * h),), self.hair))
        if self.hat is not None:
            parts.append(
                (
                    (
                        Ball(0.0, 0, z + 0.035 * h, 0.06 * h),
                        Ball(0.05 * h, 0, z + 0.03 * h, 0.03 * h),
                    ),
                    self.hat,
                )
            )
        if self.umbrella is not None:
            top = z + 0.26 * h
            rim = [
                Ball(0.3 * h * math.cos(a), 0.3 * h * math.sin(a), top - 0.11 * h, 0.008 * h)
                for a in np.linspace(0, 2 * math.pi, 8, endpoint=False)
            ]
            parts.append(
                (
                    (Ball(0.1 * h, 0.05 * h, chest, 0.008), Ball(0, 0, top, 0.008)),
                    (60.0, 60.0, 60.0),
                )
            )
            parts.append(((*rim, Ball(0, 0, top, 0.05 * h)), self.umbrella))
        return parts


def make_pedestrian(rng: np.random.Generator, rain: bool) -> Pedestrian:
    """A person of random size and clothes, with an umbrella now and then when it rains."""
    child = rng.random() < 0.15
    return Pedestrian(
        height=float(rng.uniform(1.1, 1.4) if child else rng.uniform(1.58, 1.92)),
        build=float(rng.uniform(0.9, 1.2)),
        skin=_pick(SKIN, rng),
        hair=_pick(HAIR, rng),
        jacket=_pick(CLOTHES, rng),
        trousers=_pick(TROUSERS, rng),
        shoes=_pick(((30, 30, 32), (220, 220, 220), (40, 60, 100)), rng),
        long_hair=bool(rng.random() < 0.4),
        skirt=bool(rng.random() < 0.2),
        bag=_pick(CLOTHES, rng) if rng.random() < 0.25 else None,
        hat=_pick(CLOTHES, rng) if rng.random() < 0.2 else None,
        umbrella=_pick(CLOTHES, rng) if rain and rng.random() < 0.5 else None,
    )


_CRANK, _SEAT, _BAR = (-0.06, 0.3), (-0.2, 0.92), (0.42, 1.0)
_HIP, _CHEST = (-0.2, 1.0), (0.14, 1.46)
"""Places (x, z) on a bicycle and of its rider, metres."""


@dataclass(frozen=True)
class Cyclist:
    """Looks of one person on a bicycle."""

    person: Pedestrian
    frame: Paint
    helmet: Paint | None

    wheel_radius = 0.34
    wheel_places = (-0.52, 0.53)

    def parts(self, phase: float, moving: bool) -> list[Part]:
        """Bicycle frame and rider at a phase of the pedals, radians; wheels are apart."""
        del moving
        sides = self._side(1.0, phase) + self._side(-1.0, phase + math.pi)
        return self._bicycle() + sides + self._trunk()

    def _bicycle(self) -> list[Part]:
        rear, front = (-0.52, 0.34), (0.53, 0.34)
        tubes = (
            (rear, _SEAT),
            (rear, _CRANK),
            (_CRANK, _SEAT),
            (_CRANK, (0.38, 0.82)),
            (_SEAT, (0.38, 0.84)),
            (front, _BAR),
        )
        parts: list[Part] = []
        for a, b in tubes:
            parts.append(((Ball(a[0], 0, a[1], 0.026), Ball(b[0], 0, b[1], 0.026)), self.frame))
        x, z = _BAR
        parts.append(((Ball(x, 0.24, z, 0.022), Ball(x, -0.24, z, 0.022)), (40.0, 40.0, 42.0)))
        return parts

    def _side(self, side: float, turn: float) -> list[Part]:
        """Leg and arm of one side; `turn` is the angle of its pedal."""
        person, y = self.person, side * 0.1
        jacket = person.jacket
        sleeve = (jacket[0] * 0.88, jacket[1] * 0.88, jacket[2] * 0.88)
        foot = (_CRANK[0] + 0.16 * math.cos(turn), _CRANK[1] + 0.16 * math.sin(turn))
        knee = _knee(_HIP, foot, 0.44, 0.45)
        thigh = (Ball(_HIP[0], y, _HIP[1], 0.085), Ball(knee[0], y, knee[1], 0.062))
        shin = (Ball(knee[0], y, knee[1], 0.06), Ball(foot[0], y, foot[1] + 0.04, 0.042))
        heel, toe = (
            Ball(foot[0] - 0.05, y, foot[1], 0.04),
            Ball(foot[0] + 0.12, y, foot[1] - 0.01, 0.035),
        )
        shoulder = Ball(_CHEST[0], side * 0.19, _CHEST[1], 0.055)
        elbow = Ball(0.3, side * 0.24, 1.18, 0.042)
        hand = Ball(_BAR[0], side * 0.22, _BAR[1], 0.04)
        return [
            (thigh, person.trousers),
            (shin, person.trousers),
            ((heel, toe), person.shoes),
            ((shoulder, elbow), sleeve),
            ((elbow, hand), sleeve),
        ]

    def _trunk(self) -> list[Part]:
        person = self.person
        trunk = (
            Ball(_HIP[0], 0.08, _HIP[1], 0.1),
            Ball(_HIP[0], -0.08, _HIP[1], 0.1),
            Ball(_CHEST[0], 0.15, _CHEST[1], 0.075),
            Ball(_CHEST[0], -0.15, _CHEST[1], 0.075),
        )
        x, z = 0.27, 1.69
        cover = person.hair if self.helmet is None else self.helmet
        return [
            (trunk, person.jacket),
            ((Ball(0.17, 0, 1.52, 0.05), Ball(x, 0, z, 0.1)), person.skin),
            ((Ball(x - 0.03, 0, z + 0.05, 0.105), Ball(x + 0.05, 0, z + 0.06, 0.075)), cover),
        ]


def _knee(
    hip: tuple[float, float], foot: tuple[float, float], thigh: float, shin: float
) -> tuple[float, float]:
    """Where two links of a leg meet, forward of the line from hip to foot."""
    dx, dz = foot[0] - hip[0], foot[1] - hip[1]
    reach = min(math.hypot(dx, dz), thigh + shin - 1e-3)
    along = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    aside = math.sqrt(max(thigh**2 - along**2, 0.0))
    ux, uz = dx / reach, dz / reach
    return hip[0] + along * ux - aside * uz, hip[1] + along * uz + aside * ux


def make_cyclist(rng: np.random.Generator) -> Cyclist:
    """A cyclist with random clothes and bicycle."""
    return Cyclist(
        person=make_pedestrian(rng, rain=False),
        frame=_pick(CLOTHES, rng),
        helmet=_pick(CLOTHES, rng) if rng.random() < 0.6 else None,
    )
