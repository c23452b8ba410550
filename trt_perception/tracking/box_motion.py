"""Where boxes move: a Kalman filter for all tracks at once.

The state is that of SORT (Bewley et al. 2016) and DeepSORT (Wojke et al. 2017): centre, size and
their speeds. No noise couples two of the four, so that the filter of eight numbers falls apart
into four of two numbers each, and all tracks are a few array operations. Time is in seconds and
not in frames, because frames get dropped. Speeds wander and fade: they follow an
Ornstein-Uhlenbeck process, so that what is hidden for long does not fly off (Bar-Shalom, Li and
Kirubarajan 2001, sections 6.2.2 and 8.2.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MotionNoise:
    """How far measured boxes lie off and how suddenly things move, as shares of a box's size.

    Found on the validation streets, see docs/tracking.md.

    Attributes:
        box: standard deviation of a measured centre or size, as a share of width or height.
        speed: standard deviation of a new track's speed, sizes a second.
        acceleration: of the wandering of the speed, sizes a second and square root of seconds.
        growth: speed and acceleration of width and height, as shares of those of the centre.
        fading: seconds after which an unseen speed has fallen to 37 %.
    """

    box: float = 0.04
    speed: float = 1.0
    acceleration: float = 0.1
    growth: float = 0.5
    fading: float = 4.0


class BoxMotion:
    """Centre, size and their speeds of N boxes, with the uncertainty of each.

    Attributes:
        places: float64 [N, 4], centre x, centre y, width, height in pixels, expected.
        speeds: float64 [N, 4], of these, pixels a second.
        place_variance, covariance, speed_variance: float64 [N, 4]: of each place, of the place
            with its speed, and of the speed.
    """

    def __init__(self, noise: MotionNoise | None = None) -> None:
        """Start without boxes."""
        self.noise = noise or MotionNoise()
        self._shares = np.array([1.0, 1.0, self.noise.growth, self.noise.growth])
        self.places: Floats = np.zeros((0, 4))
        self.speeds: Floats = np.zeros((0, 4))
        self.place_variance: Floats = np.zeros((0, 4))
        self.covariance: Floats = np.zeros((0, 4))
        self.speed_variance: Floats = np.zeros((0, 4))

    def __len__(self) -> int:
        return len(self.places)

    def add(self, boxes: Floats) -> None:
        """Begin with measured boxes, float64 [M, 4] x1 y1 x2 y2, whose speed is unknown."""
        places = to_places(boxes)
        nothing = np.zeros_like(places)
        self.places = np.concatenate([self.places, places])
        self.speeds = np.concatenate([self.speeds, nothing])
        self.covariance = np.concatenate([self.covariance, nothing])
        self.place_variance = np.concatenate([self.place_variance, self.measured_variance(places)])
        self.speed_variance = np.concatenate([self.speed_variance, self._any_speed(places)])

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget all boxes but those of these rows, bool [N]."""
        self.places = self.places[rows]
        self.speeds = self.speeds[rows]
        self.place_variance = self.place_variance[rows]
        self.covariance = self.covariance[rows]
        self.speed_variance = self.speed_variance[rows]

    def predict(self, seconds: float) -> None:
        """Let time pass; `seconds` of at least 0."""
        if not len(self) or seconds == 0:
            return
        fading = self.noise.fading
        left = math.exp(-seconds / fading)
        lasting = fading * (1 - left)
        squared = fading * (1 - left * left) / 2
        wandered = max(fading**2 * (seconds - 2 * lasting + squared), 0.0)
        strength = np.square(self.noise.acceleration * self._shares) * _areas(self.places)
        self.places = self.places + lasting * self.speeds
        self.places[:, 2:] = np.maximum(self.places[:, 2:], 1.0)
        self.speeds = left * self.speeds
        self.place_variance = (
            self.place_variance
            + 2 * lasting * self.covariance
            + lasting**2 * self.speed_variance
            + wandered * strength
        )
        coupled = left * lasting * self.speed_variance + lasting**2 / 2 * strength
        self.covariance = left * self.covariance + coupled
        self.speed_variance = left**2 * self.speed_variance + squared * strength

    def correct(self, rows: NDArray[np.intp], boxes: Floats) -> None:
        """Take in measured boxes.

        Args:
            rows: [M], which boxes were measured, none of them twice.
            boxes: float64 [M, 4], x1 y1 x2 y2.
        """
        measured = to_places(boxes)
        before, covariance = self.place_variance[rows], self.covariance[rows]
        total = before + self.measured_variance(measured)
        surprise = (measured - self.places[rows]) / total
        self.places[rows] += before * surprise
        self.places[rows, 2:] = np.maximum(self.places[rows, 2:], 1.0)
        self.speeds[rows] += covariance * surprise
        self.place_variance[rows] = before - before * before / total
        self.covariance[rows] = covariance - before * covariance / total
        self.speed_variance[rows] -= covariance * covariance / total

    def shift(self, moved: Floats) -> None:
        """Move everything with the picture.

        Args:
            moved: float64 [2, 3], the turn, scale and shift of the picture, [s R | t].
        """
        turn = moved[:, :2]
        scale = math.sqrt(abs(float(np.linalg.det(turn))))
        self.places[:, :2] = self.places[:, :2] @ turn.T + moved[:, 2]
        self.speeds[:, :2] = self.speeds[:, :2] @ turn.T
        self.places[:, 2:] *= scale
        self.speeds[:, 2:] *= scale
        for variance in (self.place_variance, self.covariance, self.speed_variance):
            variance *= scale * scale

    @property
    def boxes(self) -> Floats:
        """float64 [N, 4], x1 y1 x2 y2, where they are expected."""
        half = self.places[:, 2:] / 2
        return np.concatenate([self.places[:, :2] - half, self.places[:, :2] + half], axis=1)

    def measured_variance(self, places: Floats) -> Floats:
        """Variance of measured places [M, 4]; float64 [M, 4]."""
        sizes = np.maximum(places[:, 2:], 1.0)
        variance: Floats = np.square(self.noise.box * np.concatenate([sizes, sizes], axis=1))
        return variance

    def turned_variance(self, seconds: Floats) -> Floats:
        """Variance of places, float64 [N, 4], had each its speed changed `seconds` [N] ago."""
        variance: Floats = self._any_speed(self.places) * np.square(seconds)[:, None]
        return variance

    def _any_speed(self, places: Floats) -> Floats:
        """Variance of the speed of boxes of which no more than their place is known."""
        variance: Floats = np.square(self.noise.speed * self._shares) * _areas(places)
        return variance


def to_places(boxes: Floats) -> Floats:
    """float64 [N, 4], centre and size of boxes x1 y1 x2 y2."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def _areas(places: Floats) -> Floats:
    """float64 [N, 1], square pixels, at least one: the square of the size that speeds follow."""
    sizes = np.maximum(places[:, 2:], 1.0)
    areas: Floats = sizes[:, :1] * sizes[:, 1:]
    return areas
