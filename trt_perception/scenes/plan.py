"""The plan of one street: where road, pavements and houses lie, and where the camera stands.

All positions are x in metres from the middle of the road, on the right positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.camera import Camera

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Flank:
    """One side of the street; distances from the middle of the road outwards, metres."""

    side: float
    parking: bool
    kerb: float
    verge: float
    pavement: float
    wall: float

    @property
    def walk(self) -> tuple[float, float]:
        """Where people walk: from and to, distances from the middle of the road."""
        return self.kerb + self.verge + 0.35, self.kerb + self.verge + self.pavement - 0.3

    @property
    def front(self) -> float:
        """Outer edge of the pavement, where gardens and hedges begin."""
        return self.kerb + self.verge + self.pavement


@dataclass(frozen=True)
class Plan:
    """The street: `travel` is 1 where traffic keeps to the right, -1 where it keeps left."""

    lanes: int
    lane_width: float
    travel: float
    left: Flank
    right: Flank
    end: float
    crossing: float | None
    walkers_cross: bool
    from_car: bool

    def flank(self, side: float) -> Flank:
        """The flank on the left (negative) or right (positive)."""
        return self.right if side > 0 else self.left

    def either_flank(self, rng: np.random.Generator) -> Flank:
        """One of the two, by lot."""
        return self.right if rng.random() < 0.5 else self.left

    def lane_middles(self) -> list[tuple[float, float]]:
        """Middle of each lane and its direction, 1 away from the camera, -1 towards it."""
        middles = []
        for i in range(self.lanes):
            x = (i - (self.lanes - 1) / 2.0) * self.lane_width
            middles.append((x, math.copysign(1.0, x) * self.travel))
        return middles


def make_plan(rng: np.random.Generator) -> Plan:
    """Draw the plan of a street."""
    lanes = 2 if rng.random() < 0.72 else 4
    lane_width = float(rng.uniform(3.1, 3.6))
    flanks = []
    for side in (-1.0, 1.0):
        parking = bool(rng.random() < 0.5)
        kerb = lanes * lane_width / 2 + (2.2 if parking else 0.25)
        verge = float(rng.uniform(1.2, 2.2)) if rng.random() < 0.35 else 0.0
        pavement = float(rng.uniform(2.4, 4.2))
        garden = float(rng.uniform(1.5, 4.0)) if rng.random() < 0.5 else 0.0
        wall = kerb + verge + pavement + garden
        flanks.append(Flank(side, parking, kerb, verge, pavement, wall))
    crossing = float(rng.uniform(7.5, 15.0)) if rng.random() < 0.55 else None
    return Plan(
        lanes=lanes,
        lane_width=lane_width,
        travel=1.0 if rng.random() < 0.6 else -1.0,
        left=flanks[0],
        right=flanks[1],
        end=float(rng.uniform(50.0, 85.0)),
        crossing=crossing,
        walkers_cross=crossing is not None and bool(rng.random() < 0.6),
        from_car=bool(rng.random() < 0.6),
    )


def make_camera(plan: Plan, size: tuple[int, int], rng: np.random.Generator) -> Camera:
    """Put the camera on a car in its lane, or on a robot on the pavement."""
    focal = float(rng.uniform(0.74, 1.0)) * size[0]
    if plan.from_car:
        own = [x for x, direction in plan.lane_middles() if direction > 0]
        x = own[int(rng.integers(len(own)))] + rng.uniform(-0.4, 0.4)
        height = rng.uniform(1.3, 1.9)
        yaw = rng.normal(0.0, 0.05)
    else:
        side = 1.0 if rng.random() < 0.5 else -1.0
        low, high = plan.flank(side).walk
        x = side * rng.uniform(low - 0.2, 0.5 * (low + high))
        height = rng.uniform(0.7, 1.3)
        yaw = -side * rng.uniform(0.02, 0.24)
    pitch = rng.uniform(0.0, 0.085)
    return Camera(size, focal, (float(x), 0.0, float(height)), float(yaw), float(pitch))
