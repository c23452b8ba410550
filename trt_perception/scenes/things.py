"""Everything that stands or moves in the street, under one interface."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.animals import Cat, Dog
from trt_perception.scenes.atmosphere import Atmosphere
from trt_perception.scenes.canvas import Canvas
from trt_perception.scenes.classes import BUILDING, VEGETATION, semantic_id
from trt_perception.scenes.figure_drawing import draw_figure
from trt_perception.scenes.figures import Cyclist, Pedestrian
from trt_perception.scenes.furniture import Pole, TrafficLight, Tree
from trt_perception.scenes.motion import Motion, Place, Still
from trt_perception.scenes.signs import TrafficSign
from trt_perception.scenes.vehicle_drawing import Vehicle
from trt_perception.scenes.view import Extent, View

Floats = NDArray[np.float64]
Shadow = tuple[Floats, float]
"""Ground points (x, y) [N, 2] whose hull is dark, and how dark, 0 to 1."""

_TURN = np.linspace(0, 2 * math.pi, 10, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


class Thing(Protocol):
    """Something to draw; `semantic` indexes SEMANTIC_CLASSES, `still` things never change."""

    @property
    def semantic(self) -> int:
        """Class of its pixels."""

    @property
    def still(self) -> bool:
        """Whether it looks the same at all times."""

    def place(self, time_s: float) -> Place:
        """Where it is."""

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """Shadows on the ground."""


def _cast(air: Atmosphere) -> Floats:
    """Where the shadow of a point one metre up falls, relative to the point below it."""
    x, y, z = air.sun_direction
    return np.array([-x, -y]) / max(float(z), 0.35)


@dataclass(frozen=True)
class VehicleThing:
    """A car or a lorry."""

    semantic: int
    vehicle: Vehicle
    motion: Motion
    braking: bool = False

    @property
    def still(self) -> bool:
        """Parked and waiting vehicles never change."""
        return isinstance(self.motion, Still)

    def place(self, time_s: float) -> Place:
        """Where it is."""
        return self.motion.at(time_s)

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""
        spot = self.motion.at(time_s)
        return self.vehicle.draw(canvas, view, (spot.x, spot.y, spot.heading), owner, self.braking)

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """A dark gap below and, in the sun, a long shadow."""
        vehicle = self.vehicle
        base = vehicle.footprint(place.x, place.y, place.heading, -0.02)
        found = [(base, 0.72)]
        if air.shadows:
            top = vehicle.footprint(place.x, place.y, place.heading, -0.2)
            found.append((np.concatenate([base, top + _cast(air) * vehicle.height]), 0.45))
        else:
            wide = vehicle.footprint(place.x, place.y, place.heading, 0.25)
            found.append((wide, 0.2))
        return found


@dataclass(frozen=True)
class FigureThing:
    """A person, cyclist, dog or cat; `stride` metres make one cycle of its gait."""

    semantic: int
    figure: Pedestrian | Cyclist | Dog | Cat
    motion: Motion
    height: float
    reach: float
    stride: float
    phase: float

    @property
    def still(self) -> bool:
        """Figures always stir."""
        return False

    def place(self, time_s: float) -> Place:
        """Where it is."""
        return self.motion.at(time_s)

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""
        spot = self.motion.at(time_s)
        idle = 1.2 * time_s if not spot.moving else 0.0
        phase = self.phase + 2 * math.pi * spot.walked / self.stride + idle
        where = (spot.x, spot.y, spot.heading)
        return draw_figure(canvas, view, self.figure, where, (phase, spot.moving), owner)

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """A dark patch around the feet and, in the sun, a long shadow."""
        foot = np.array([place.x, place.y])
        along = np.array([math.cos(place.heading), math.sin(place.heading)]) * self.reach
        small = _CIRCLE * 0.2 * min(self.height, 1.2)
        base = np.concatenate([foot + along + small, foot - along + small])
        found = [(base, 0.42)]
        if air.shadows:
            head = foot + _cast(air) * self.height
            cast = [foot + along * 0.8 + small * 0.7, foot - along * 0.8 + small * 0.7]
            cast += [head + along * 0.6 + small * 0.6, head - along * 0.6 + small * 0.6]
            found.append((np.concatenate(cast), 0.42))
        return found


@dataclass(frozen=True)
class TreeThing:
    """A tree."""

    tree: Tree
    semantic: int = VEGETATION
    still: bool = True

    def place(self, time_s: float) -> Place:
        """Where it is."""
        return Place(self.tree.x, self.tree.y, 0.0)

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""
        return self.tree.draw(canvas, view, owner)

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """The crown's shadow in the sun, a small patch otherwise."""
        foot = np.array([place.x, place.y])
        if not air.shadows:
            return [(foot + _CIRCLE * 0.4, 0.3)]
        middle, across, tall = self.tree.shadow()
        cast = _cast(air)
        crown = foot + cast * middle + _CIRCLE * across
        crown = np.concatenate([crown + cast * tall * 0.6, crown - cast * tall * 0.6])
        trunk = np.concatenate([foot + _CIRCLE * 0.15, foot + cast * middle + _CIRCLE * 0.1])
        return [(crown, 0.36), (trunk, 0.4)]


@dataclass(frozen=True)
class PoleThing:
    """A pole, street lamp, bollard or bin."""

    pole: Pole
    semantic: int = BUILDING
    still: bool = True

    def place(self, time_s: float) -> Place:
        """Where it is."""
        return Place(self.pole.x, self.pole.y, 0.0)

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""
        return self.pole.draw(canvas, view, owner)

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """A thin shadow in the sun."""
        foot = np.array([place.x, place.y])
        small = _CIRCLE * max(self.pole.radius, 0.05)
        if not air.shadows:
            return [(foot + 2 * small, 0.3)]
        top = foot + _cast(air) * self.pole.height
        return [(np.concatenate([foot + small, top + small]), 0.36)]


@dataclass(frozen=True)
class LightThing:
    """The housing of a traffic light."""

    light: TrafficLight
    semantic: int = semantic_id('traffic_light')
    still: bool = False

    def place(self, time_s: float) -> Place:
        """Where it is; just before its pole."""
        return Place(self.light.x, self.light.y - 0.15, 0.0)

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""
        return self.light.draw(canvas, view, time_s, owner)

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """None: it hangs high."""
        return []


@dataclass(frozen=True)
class SignThing:
    """The board of a traffic sign."""

    sign: TrafficSign
    semantic: int = semantic_id('traffic_sign')
    still: bool = True

    def place(self, time_s: float) -> Place:
        """Where it is; just before its post."""
        return Place(self.sign.x, self.sign.y - 0.1, 0.0)

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw it; its extent in pixels, None when out of view."""
        return self.sign.draw(canvas, view, owner)

    def shadows(self, place: Place, air: Atmosphere) -> list[Shadow]:
        """None: it hangs high."""
        return []
