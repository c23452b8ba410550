"""How things move: each motion tells the place of a thing at any time, without memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

ALONG = math.pi / 2
"""Heading of what goes away from the camera along the street."""


@dataclass(frozen=True)
class Place:
    """Where a thing is: metres, heading in radians from the x axis, metres walked so far.

    `lap` grows when a thing has left the scene and comes in anew: it is then another individual.
    """

    x: float
    y: float
    heading: float
    walked: float = 0.0
    moving: bool = False
    lap: int = 0


class Motion(Protocol):
    """Anything that knows a thing's place."""

    def at(self, time_s: float) -> Place:
        """The place at a time in seconds."""


@dataclass(frozen=True)
class Still:
    """Stays where it is."""

    x: float
    y: float
    heading: float

    def at(self, time_s: float) -> Place:
        """The same place at any time."""
        return Place(self.x, self.y, self.heading)


@dataclass(frozen=True)
class Drive:
    """Follows a lane from one end of the street to the other, then starts again."""

    x: float
    start: float
    speed: float
    near: float
    far: float

    def at(self, time_s: float) -> Place:
        """The place at a time; a negative speed comes towards the camera."""
        span = self.far - self.near
        walked = self.start - self.near + self.speed * time_s
        lap = math.floor(walked / span)
        heading = ALONG if self.speed > 0 else -ALONG
        y = self.near + walked - lap * span
        return Place(self.x, y, heading, abs(self.speed) * time_s, True, abs(lap))


@dataclass(frozen=True)
class Stroll:
    """Walks along the street and back; turns at the far end and behind the camera."""

    x: float
    start: float
    speed: float
    near: float
    far: float

    def at(self, time_s: float) -> Place:
        """The place at a time; a new lap begins behind the camera."""
        span = self.far - self.near
        walked = self.start + self.speed * time_s
        lap, part = divmod(walked, 2 * span)
        outward = part < span
        y = self.near + (part if outward else 2 * span - part)
        return Place(self.x, y, ALONG if outward else -ALONG, walked, True, int(lap))


@dataclass(frozen=True)
class Cross:
    """Walks across the street, waits on the other side and comes back."""

    left: float
    right: float
    y: float
    speed: float
    wait: float
    start: float

    def at(self, time_s: float) -> Place:
        """The place at a time."""
        width = self.right - self.left
        walk = width / self.speed
        rounds, part = divmod(self.start + time_s, 2 * (walk + self.wait))
        back = part >= walk + self.wait
        part -= (walk + self.wait) if back else 0.0
        moving = part < walk
        done = min(part, walk) * self.speed
        x = self.right - done if back else self.left + done
        walked = (2 * rounds + (1 if back else 0)) * width + done
        return Place(x, self.y, math.pi if back else 0.0, walked, moving)
