"""Draws the vehicles of `vehicles.py`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.canvas import Canvas, to_corners
from trt_perception.scenes.vehicle_shape import BEAM, RUBBER, TAIL_LIT, Shape
from trt_perception.scenes.view import Extent, View, extent_of

Floats = NDArray[np.float64]

_DETAIL_PX = 9.0
_FINE_PX = 26.0
"""Heights in pixels below which details and fine details are left out."""

_TYRE_POINTS = 8


class Vehicle:
    """One vehicle's polygons as arrays, ready to be placed and drawn."""

    def __init__(self, shape: Shape) -> None:
        self.length, self.width, self.height = shape.length, shape.width, shape.height
        tyres = [_tyre(shape, x, side) for x, _ in shape.wheels for side in (1.0, -1.0)]
        self._tyres = len(tyres)
        self._corners = np.concatenate(tyres + shape.corners)
        first = 2 * _TYRE_POINTS * self._tyres
        self._starts = [first + start for start in shape.starts]
        self._ends = [first + end for end in shape.ends]
        self._normals = np.array(shape.normals)
        self._points = np.array(shape.points)
        self._paints = np.array(shape.paints)
        self._kinds = shape.kinds
        self._levels = np.array([{'fine': 2, 'face': 0}.get(kind, 1) for kind in shape.kinds])
        self._volumes = np.array(shape.volumes)
        self._heads = np.array([kind == 'head' for kind in shape.kinds])
        self._tails = np.array([kind == 'tail' for kind in shape.kinds])
        self._middles = [
            self._points[self._volumes == volume].mean(0) for volume in range(shape.volume + 1)
        ]
        self._is_car = shape.height < 2.2

    def footprint(self, x: float, y: float, heading: float, margin: float = 0.0) -> Floats:
        """World corners [4, 2] of the ground below the vehicle."""
        half, wide = self.length / 2 + margin, self.width / 2 + margin
        local = np.array([[half, wide], [half, -wide], [-half, -wide], [-half, wide]])
        cos, sin = math.cos(heading), math.sin(heading)
        return np.asarray(local @ np.array([[cos, sin], [-sin, cos]]) + np.array([x, y]))

    def draw(
        self,
        canvas: Canvas,
        view: View,
        place: tuple[float, float, float],
        owner: int,
        braking: bool = False,
    ) -> Extent | None:
        """Draw at (x, y, heading in radians from the x axis); the extent, None when out of view."""
        x, y, heading = place
        camera = view.camera
        cos, sin = math.cos(heading), math.sin(heading)
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        pixels, depths = camera.project(self._corners @ turn + np.array([x, y, 0.0]))
        if float(depths.max()) < 1.2:
            return None
        extent = extent_of(pixels)
        if extent[2] < 0 or extent[0] > camera.width or extent[1] > camera.height:
            return None
        depth = max(camera.depth_of(x, y), 1.0)
        eye = turn @ (camera.position - np.array([x, y, 0.0]))
        seen = ((eye - self._points) * self._normals).sum(1) > 0
        size = self.height * view.scale(depth)
        seen &= self._levels <= (0 if size < _DETAIL_PX else 1 if size < _FINE_PX else 2)
        tones = self._tones(view, turn, (x, y), depth, braking)
        corners = to_corners(pixels)
        step = 2 * _TYRE_POINTS
        black = view.tone(np.array([RUBBER]), view.atmosphere.ambient, depth)[0]
        for i in range(self._tyres):
            canvas.fill_hull(corners[i * step : (i + 1) * step], black, owner)
        for volume in self._order(eye):
            for i in np.flatnonzero(seen & (self._volumes == volume)).tolist():
                part = corners[self._starts[i] : self._ends[i]]
                canvas.fill(part, tones[i], 0 if self._levels[i] else owner)
        if view.atmosphere.lights_on or braking:
            self._shine(canvas, view, pixels, seen, depth, braking)
        return extent

    def _order(self, eye: Floats) -> list[int]:
        if self._is_car:
            return [0, 1]
        away = [float(np.linalg.norm((eye - middle)[:2])) for middle in self._middles]
        return sorted(range(len(away)), key=lambda volume: -away[volume])

    def _tones(
        self, view: View, turn: Floats, place: tuple[float, float], depth: float, braking: bool
    ) -> list[list[float]]:
        air = view.atmosphere
        normals = self._normals @ turn
        light = air.shade(normals) + air.local_light(*place) * (
            0.6 + 0.4 * np.maximum(-normals[:, 1:2], 0.0)
        )
        paints, glowing = self._paints, np.zeros(len(self._paints), dtype=np.bool_)
        if air.lights_on or braking:
            paints = paints.copy()
            if air.lights_on:
                paints[self._heads] = BEAM
                glowing |= self._heads
            paints[self._tails] = TAIL_LIT if braking else np.array(TAIL_LIT) * 0.8
            glowing |= self._tails
        return view.tone(paints, light, depth, glowing)

    def _shine(
        self,
        canvas: Canvas,
        view: View,
        pixels: Floats,
        seen: NDArray[np.bool_],
        depth: float,
        braking: bool,
    ) -> None:
        """Halos of the lamps that face the camera, and their mirror image on a wet road."""
        air, size = view.atmosphere, view.scale(depth)
        clear = 1.0 - air.haze(depth)
        for lamps, colour, reach in (
            (self._heads, BEAM, 0.75),
            (self._tails, TAIL_LIT, 0.42 if braking else 0.3),
        ):
            if lamps is self._heads and not air.lights_on:
                continue
            strength = clear * (0.75 if air.lights_on else 0.3)
            tone = (colour[0] * strength, colour[1] * strength, colour[2] * strength)
            for i in np.flatnonzero(seen & lamps).tolist():
                spot = pixels[self._starts[i] : self._ends[i]].mean(0)
                canvas.glow(float(spot[0]), float(spot[1]), reach * size, tone)
                if air.wetness > 0:
                    weak = 0.45 * air.wetness
                    mirrored = (tone[0] * weak, tone[1] * weak, tone[2] * weak)
                    down = float(spot[1]) + 1.5 * size
                    canvas.glow(float(spot[0]), down, 0.6 * reach * size, mirrored, 2.6)


def _tyre(shape: Shape, x: float, side: float) -> Floats:
    """Both rims of a tyre [2 * _TYRE_POINTS, 3]; its outline is their hull."""
    turn = np.linspace(0, 2 * math.pi, _TYRE_POINTS, endpoint=False)
    ring_x = x + shape.wheel_radius * np.cos(turn)
    ring_z = shape.wheel_radius * (1.0 + np.sin(turn))
    outer = side * (shape.width / 2 - 0.02)
    inner = side * (shape.width / 2 - 0.24)
    return np.concatenate(
        [np.column_stack([ring_x, np.full(_TYRE_POINTS, y), ring_z]) for y in (outer, inner)]
    )
