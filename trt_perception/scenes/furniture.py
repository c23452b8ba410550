"""Trees, poles, street lamps, traffic lights and traffic signs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.canvas import SHIFT, Canvas, to_corners
from trt_perception.scenes.view import Extent, View, extent_of

Floats = NDArray[np.float64]
Paint = tuple[float, float, float]

LEAVES = (
    (45, 120, 60),
    (40, 95, 45),
    (60, 140, 90),
    (35, 85, 60),
    (30, 110, 120),
    (40, 120, 170),
    (50, 100, 40),
)


@dataclass(frozen=True)
class Tree:
    """A broad-leaved tree: `puffs` [N, 6] holds place, radius and two shades of each tuft."""

    x: float
    y: float
    trunk: float
    crown: float
    tall: float
    leaves: Paint
    puffs: Floats

    def draw(self, canvas: Canvas, view: View, owner: int) -> Extent | None:
        """Draw trunk and crown; the extent, None when out of view."""
        depth = view.camera.depth_of(self.x, self.y)
        if depth < 1.5:
            return None
        scale = view.scale(depth)
        base, _ = view.camera.project(
            np.array([[self.x, self.y, 0.0], [self.x, self.y, self.trunk + self.tall * 0.4]])
        )
        light = view.atmosphere.shade(np.array([[0.0, -0.5, 0.8]]))[0]
        light = light + 0.6 * view.atmosphere.local_light(self.x, self.y)
        wide = (0.06 + 0.05 * self.crown) * scale
        trunk = np.array(
            [
                [base[0, 0] - wide, base[0, 1]],
                [base[0, 0] + wide, base[0, 1]],
                [base[1, 0] + wide * 0.6, base[1, 1]],
                [base[1, 0] - wide * 0.6, base[1, 1]],
            ]
        )
        bark = view.tone(np.array([[50.0, 62.0, 78.0], [35.0, 44.0, 58.0]]), light, depth)
        canvas.fill(to_corners(trunk), bark[0], owner)
        trunk[1:3, 0] = (trunk[0, 0] + trunk[1, 0]) / 2, (trunk[3, 0] + trunk[2, 0]) / 2
        canvas.fill(to_corners(trunk), bark[1])
        middle = base[1] - np.array([0.0, 0.25 * self.tall * scale])
        centres = middle + self.puffs[:, :2] * np.array([self.crown, self.tall * 0.5]) * scale
        radii = self.puffs[:, 3] * self.crown * scale
        step = 1 if scale * self.crown > 40 else 2
        sun = float(np.sign(view.atmosphere.sun_direction[0] + 1e-9))
        bright = 0.62 + 0.22 * self.puffs[:, 4] - 0.2 * self.puffs[:, 1]
        bright += 0.14 * self.puffs[:, 0] * sun + 0.16 * self.puffs[:, 2]
        paints = np.array(self.leaves) * bright[:, None]
        tones = view.tone(paints, light, depth)
        _draw_puffs(
            canvas,
            centres[::step],
            radii[::step] * (1.0 if step == 1 else 1.3),
            tones[::step],
            owner,
        )
        edge = np.concatenate([centres - radii[:, None], centres + radii[:, None], trunk])
        return extent_of(edge)

    def shadow(self) -> tuple[float, float, float]:
        """Crown's middle height, radius across and half height, for its shadow."""
        return self.trunk + 0.5 * self.tall, self.crown * 0.95, self.tall * 0.45


def _draw_puffs(
    canvas: Canvas, centres: Floats, radii: Floats, tones: list[list[float]], owner: int
) -> None:
    offset = np.array(canvas.origin, dtype=np.float64)
    spots = to_corners(centres - offset).tolist()
    sizes = np.maximum(np.rint(radii * (1 << SHIFT)), 8).astype(int).tolist()
    for spot, size, tone in zip(spots, sizes, tones, strict=True):
        cv2.circle(canvas.image, spot, size, (*tone, 255.0), -1, cv2.LINE_AA, SHIFT)
        if owner:
            cv2.circle(canvas.owners, spot, size, owner, -1, cv2.LINE_8, SHIFT)


def make_puffs(count: int, rng: np.random.Generator) -> Floats:
    """Tufts in a unit ball, the far and low ones first: x, y (down), z, radius, two shades."""
    spots = rng.normal(size=(count, 3))
    spots /= np.linalg.norm(spots, axis=1, keepdims=True)
    spots *= rng.uniform(0.25, 0.95, (count, 1)) ** 0.6
    order = np.argsort(spots[:, 2] - 0.7 * spots[:, 1], kind='stable')
    size = rng.uniform(0.16, 0.34, (count, 1)) * (1.15 - 0.4 * np.abs(spots[:, 2:3]))
    return np.column_stack([spots[order], size, rng.uniform(-1, 1, (count, 2))])


def make_tree(x: float, y: float, rng: np.random.Generator) -> Tree:
    """A tree of random kind and size."""
    b, g, r = LEAVES[int(rng.integers(len(LEAVES)))]
    shade = rng.uniform(0.85, 1.15)
    narrow = rng.random() < 0.25
    return Tree(
        x=x,
        y=y,
        trunk=float(rng.uniform(2.3, 3.0)),
        crown=float(rng.uniform(0.8, 1.1) if narrow else rng.uniform(1.3, 2.2)),
        tall=float(rng.uniform(3.6, 5.0) if narrow else rng.uniform(2.6, 4.2)),
        leaves=(b * shade, g * shade, r * shade),
        puffs=make_puffs(110, rng),
    )


def upright(x: float, y: float, points: Floats, yaw: float = 0.0) -> Floats:
    """Points (across, height) [N, 2] of a board at (x, y) facing the camera, in the world."""
    return np.column_stack(
        [
            x + points[:, 0] * math.cos(yaw),
            y + points[:, 0] * math.sin(yaw),
            points[:, 1],
        ]
    )


@dataclass(frozen=True)
class Pole:
    """A pole, post or bin; with `arm` metres of lamp arm towards the road."""

    x: float
    y: float
    height: float
    radius: float
    paint: Paint
    arm: float = 0.0

    def draw(self, canvas: Canvas, view: View, owner: int) -> Extent | None:
        """Draw the pole; the extent, None when out of view."""
        depth = view.camera.depth_of(self.x, self.y)
        if depth < 1.5:
            return None
        reach = max(self.radius, 0.3 / view.scale(depth))
        outline = np.array(
            [[-reach, 0.0], [reach, 0.0], [reach * 0.8, self.height], [-reach * 0.8, self.height]]
        )
        lit_side = outline.copy()
        lit_side[1:3, 0] *= 0.1
        top = self.height
        arm = np.array([[0.0, top - 0.12], [self.arm, top], [self.arm, top + 0.09], [0.0, top]])
        tip = np.sign(self.arm) * 0.3
        head = np.array(
            [
                [self.arm - tip, top - 0.05],
                [self.arm + tip, top - 0.02],
                [self.arm + tip, top + 0.09],
                [self.arm - tip, top + 0.14],
            ]
        )
        points = upright(self.x, self.y, np.concatenate([outline, lit_side, arm, head]))
        pixels, _ = view.camera.project(points)
        light = view.atmosphere.shade(np.array([[0.0, -1.0, 0.0]]))[0]
        light = light + view.atmosphere.local_light(self.x, self.y)
        paints = np.array([self.paint, np.array(self.paint) * 1.25 + 8])
        tones = view.tone(paints, light, depth)
        corners = to_corners(pixels)
        canvas.fill(corners[:4], tones[0], owner)
        canvas.fill(corners[4:8], tones[1])
        if self.arm:
            canvas.fill(corners[8:12], tones[0], owner)
            canvas.fill(corners[12:], tones[1], owner)
            self._shine(canvas, view, pixels[12:], depth)
        return extent_of(pixels if self.arm else pixels[:8])

    def _shine(self, canvas: Canvas, view: View, lamp: Floats, depth: float) -> None:
        air = view.atmosphere
        if not air.lights_on:
            return
        spot, scale = lamp[:2].mean(0), view.scale(depth)
        clear = 1.0 - 0.8 * air.haze(depth)
        colour = np.minimum(air.lamp_colour * 250.0, 255.0)
        canvas.fill(to_corners(lamp), (235.0, 248.0, 255.0))
        tone = (colour[0] * clear * 0.9, colour[1] * clear * 0.9, colour[2] * clear * 0.9)
        wide = 1.0 if air.weather in ('clear', 'overcast') else 1.6
        canvas.glow(float(spot[0]), float(spot[1]), 1.1 * wide * scale, tone)


LAMP_OFF = ((30.0, 34.0, 30.0), (24.0, 38.0, 42.0), (24.0, 22.0, 48.0))
LAMP_ON = ((140.0, 235.0, 90.0), (60.0, 195.0, 255.0), (50.0, 50.0, 255.0))
"""Colours of the green, amber and red lamp."""


@dataclass(frozen=True)
class TrafficLight:
    """The housing of a traffic light with its three lamps; its pole is a thing apart."""

    x: float
    y: float
    low: float
    width: float
    yaw: float
    back: bool
    border: Paint
    period: float
    start: float

    @property
    def height(self) -> float:
        """Height of the housing in metres."""
        return self.width * 2.6

    def lit(self, time_s: float) -> tuple[bool, bool, bool]:
        """Whether the green, amber and red lamp burn."""
        part = ((time_s + self.start) / self.period) % 1.0
        if part < 0.45:
            return True, False, False
        if part < 0.54:
            return False, True, False
        return False, part > 0.94, True

    def draw(self, canvas: Canvas, view: View, time_s: float, owner: int) -> Extent | None:
        """Draw the housing; the extent, None when out of view."""
        depth = view.camera.depth_of(self.x, self.y)
        if depth < 1.5:
            return None
        half, high = self.width / 2, self.height
        plate = _rounded(half, high, 0.22) + np.array([0.0, self.low])
        inner = _rounded(half * 0.82, high * 0.93, 0.2) + np.array([0.0, self.low + high * 0.035])
        turn = np.linspace(0, 2 * math.pi, 12, endpoint=False)
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * half * 0.58
        lamps = [ring + np.array([0.0, self.low + high * part]) for part in (0.2, 0.5, 0.8)]
        hoods = [
            np.concatenate(
                [lamp[:7] * np.array([1.18, 1.0]), lamp[6::-1] + np.array([0.0, -half * 0.25])]
            )
            for lamp in lamps
        ]
        local = np.concatenate([plate, inner, *lamps, *hoods])
        pixels, _ = view.camera.project(upright(self.x, self.y, local, self.yaw))
        light = view.atmosphere.shade(np.array([[0.0, -1.0, 0.0]]))[0]
        light = light + 0.8 * view.atmosphere.local_light(self.x, self.y)
        state = (False, False, False) if self.back else self.lit(time_s)
        paints = [self.border, (38.0, 36.0, 34.0)]
        paints += [LAMP_ON[i] if state[i] else LAMP_OFF[i] for i in range(3)]
        glowing = np.array([False, False, *state])
        tones = view.tone(np.array(paints), light, depth, glowing)
        corners = to_corners(pixels)
        canvas.fill(corners[:8], tones[0], owner)
        canvas.fill(corners[8:16], tones[1])
        if not self.back:
            self._lamps(canvas, view, corners, pixels, tones, state, depth)
        return extent_of(pixels[:8])

    def _lamps(
        self,
        canvas: Canvas,
        view: View,
        corners: NDArray[np.int32],
        pixels: Floats,
        tones: list[list[float]],
        state: tuple[bool, bool, bool],
        depth: float,
    ) -> None:
        for i in range(3):
            canvas.fill(corners[16 + 12 * i : 28 + 12 * i], tones[2 + i])
            canvas.fill(corners[52 + 14 * i : 66 + 14 * i], [value * 0.6 for value in tones[1]])
            if state[i]:
                spot = pixels[16 + 12 * i : 28 + 12 * i].mean(0)
                power = (0.75 if view.atmosphere.lights_on else 0.35) * (
                    1.0 - view.atmosphere.haze(depth)
                )
                b, g, r = LAMP_ON[i]
                canvas.glow(
                    float(spot[0]),
                    float(spot[1]),
                    self.width * view.scale(depth),
                    (b * power, g * power, r * power),
                )


def _rounded(half: float, height: float, cut: float) -> Floats:
    """Outline of a board with cut corners (across, height) [8, 2]."""
    c = half * cut
    return np.array(
        [
            [-half + c, 0],
            [half - c, 0],
            [half, c],
            [half, height - c],
            [half - c, height],
            [-half + c, height],
            [-half, height - c],
            [-half, c],
        ]
    )
