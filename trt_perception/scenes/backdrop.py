"""What never changes in a scene: sky, houses and ground, lit and seen through the air."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes import facades
from trt_perception.scenes.canvas import Canvas, to_corners
from trt_perception.scenes.classes import BUILDING, SKY, VEGETATION
from trt_perception.scenes.ground import GroundPainter, first_ground_row, paint_ground
from trt_perception.scenes.noise import sample, soft_noise
from trt_perception.scenes.plan import Plan
from trt_perception.scenes.sky import hill_outline, paint_sky
from trt_perception.scenes.view import View

Image = NDArray[np.float32]

_CLASSES = np.full(16, BUILDING, dtype=np.uint8)
_CLASSES[0] = SKY
_CLASSES[facades.LEAF] = VEGETATION
_CLASSES[facades.FAR] = VEGETATION


class Backdrop:
    """The picture behind all things: `image` uint8 BGR, `semantic` uint8 and `ground` bool."""

    def __init__(self, view: View, plan: Plan, rng: np.random.Generator) -> None:
        self._view = view
        camera = view.camera
        top = min(first_ground_row(view), camera.height)
        sky = np.clip(paint_sky(view, rng), 0, 255).astype(np.uint8)
        image = sky.copy()
        surface = np.zeros(image.shape[:2], dtype=np.uint16)
        canvas = Canvas(image, surface)
        canvas.fill(to_corners(hill_outline(view, rng)), (70.0, 96.0, 84.0), facades.FAR)
        soil = paint_ground(view, plan, top, rng) if top < camera.height else None
        if soil is not None:
            image[top:] = np.clip(soil.colour, 0, 255).astype(np.uint8)
            surface[top:] = facades.GROUND
        self._draw_houses(canvas, plan, rng)
        open_sky = (surface == 0).astype(np.uint8)
        # Soft edges mix wall and sky, which are lit apart: take them back, smooth them afterwards.
        cv2.copyTo(sky, open_sky, image)
        depth, x, y = self._where(plan, surface, soil, top)
        lit = self._light(image, surface, x, y, soft_noise(rng, (16, 64, 128)), depth)
        edge = cv2.morphologyEx(open_sky, cv2.MORPH_GRADIENT, np.ones((2, 2), dtype=np.uint8))
        cv2.copyTo(cv2.blur(lit, (3, 3)), edge, lit)
        self.semantic = np.take(_CLASSES, surface)
        self.ground = surface == facades.GROUND
        if soil is not None:
            np.copyto(self.semantic[top:], soil.classes.astype(np.uint8), where=self.ground[top:])
        if view.atmosphere.wetness > 0 and soil is not None:
            self._reflect(lit, top)
        self.image = np.clip(lit, 0, 255).astype(np.uint8)

    def _draw_houses(self, canvas: Canvas, plan: Plan, rng: np.random.Generator) -> None:
        builder = facades.Builder(canvas, self._view, rng)
        facades.draw_street_end(builder, plan)
        for flank in (plan.left, plan.right):
            for house in reversed(facades.make_houses(plan.end, rng)):
                facades.draw_house(builder, house, flank)
            facades.draw_hedges(builder, flank, min(plan.end, 45.0))

    def _where(
        self, plan: Plan, surface: NDArray[np.uint16], soil: GroundPainter | None, top: int
    ) -> tuple[Image, Image, Image]:
        """Depth, x and y in metres of what each pixel shows."""
        camera = self._view.camera
        aside, ahead, _ = camera.rays(0, camera.height)
        bounded = np.where(np.abs(aside) < 1e-3, np.float32(1e-3), aside)
        # Lit panes and end walls stand close to the wall line: its depth serves them too.
        upright = (surface >= facades.FRONT) & (surface <= facades.LEAF)
        depth = np.full(surface.shape, plan.end + 9.0, dtype=np.float32)
        for wall, code in (
            (-plan.left.wall, facades.LEFT_WALL),
            (plan.right.wall, facades.RIGHT_WALL),
        ):
            reach = np.float32(wall - camera.position[0]) / bounded
            near = (reach > 0.3) & (reach < depth)
            np.copyto(depth, reach, where=near & (upright | (surface == code)))
        if soil is not None:
            np.copyto(
                depth[top:], np.minimum(soil.depth, 400.0), where=surface[top:] == facades.GROUND
            )
        x = aside * depth + np.float32(camera.position[0])
        y = ahead * depth
        return depth, x, y

    def _light(
        self,
        image: NDArray[np.uint8],
        surface: NDArray[np.uint16],
        x: Image,
        y: Image,
        pattern: Image,
        depth: Image,
    ) -> Image:
        """Light surfaces, add their grain and put the air before them."""
        air = self._view.atmosphere
        normals = np.zeros((8, 3))
        normals[facades.LEFT_WALL, 0], normals[facades.RIGHT_WALL, 0] = 1.0, -1.0
        normals[facades.FRONT, 1] = normals[facades.LEAF, 1] = -1.0
        normals[facades.GROUND, 2] = 1.0
        table = air.shade(normals).astype(np.float32)
        table[0] = table[facades.LIT] = 1.0
        table[facades.FAR] = air.ambient
        factor = np.take(table, surface, axis=0)
        local = self._local_light(x, y)
        shaded = (surface != 0) & (surface != facades.LIT)
        if air.lights_on:
            factor += local * shaded[:, :, None]
        camera = self._view.camera
        rows = np.arange(camera.height, dtype=np.float32)[:, None] - np.float32(camera.horizon)
        high = rows * depth / np.float32(camera.focal)
        grain = sample(pattern, y * 7.0, high * 7.0) - np.float32(0.5)
        walls = (surface >= facades.LEFT_WALL) & (surface <= facades.FRONT)
        grain *= np.float32(0.16) * walls
        grain += np.float32(1.0)
        # OpenCV takes 40 times as long for factors of two types, and gives the same.
        lit = cv2.multiply(factor, image.astype(np.float32), dst=factor)
        lit = cv2.multiply(lit, cv2.merge([grain] * 3), dst=lit)
        clear = np.exp(np.float32(-air.fog_density) * depth)
        clear[surface == 0] = 1.0
        fog = cv2.merge([np.full_like(clear, value) for value in air.fog_colour])
        lit = cv2.subtract(np.minimum(lit, np.float32(252.0), out=lit), fog, dst=lit)
        lit = cv2.multiply(lit, cv2.merge([clear] * 3), dst=lit)
        return np.asarray(cv2.add(lit, fog, dst=lit), dtype=np.float32)

    def _local_light(self, x: Image, y: Image) -> Image:
        """Light of lamps and headlights [H, W, 3], worked out on every fourth pixel."""
        air = self._view.atmosphere
        height, width = x.shape
        if not air.lights_on:
            return np.zeros((1, 1, 3), dtype=np.float32)
        px, py = x[::4, ::4], y[::4, ::4]
        total = np.zeros(px.shape, dtype=np.float32)
        for lamp in air.lamps:
            square = (px - np.float32(lamp.x)) ** 2 + (py - np.float32(lamp.y)) ** 2
            reach = np.float32((0.9 * lamp.height) ** 2)
            total += np.float32(lamp.strength) / (1.0 + square / reach) ** 1.5
        light = total[:, :, None] * air.lamp_colour.astype(np.float32)
        if air.beam > 0:
            ahead = np.maximum(py - np.float32(air.beam_origin[1]), 0.0)
            aside = (px - np.float32(air.beam_origin[0])) / (0.32 * ahead + 1.0)
            beam = np.float32(air.beam) * np.exp(-aside * aside - ahead / 22.0)
            beam *= np.clip(ahead * 0.25, 0.0, 1.0)
            light += beam[:, :, None] * np.array([0.88, 0.97, 1.0], dtype=np.float32)
        large = cv2.resize(
            light, (4 * px.shape[1], 4 * px.shape[0]), interpolation=cv2.INTER_LINEAR
        )
        return np.asarray(large[:height, :width], dtype=np.float32)

    def _reflect(self, lit: Image, top: int) -> None:
        """Mirror the upper picture in the wet ground, more so towards the horizon."""
        camera = self._view.camera
        rows = np.arange(top, camera.height)
        mirrored = np.clip(np.rint(2 * camera.horizon - rows), 0, camera.height - 1).astype(int)
        blur = max(3, camera.height // 14) | 1
        glass = cv2.blur(lit[mirrored], (max(3, camera.width // 160) | 1, blur))
        steep = np.clip((rows - camera.horizon) / camera.focal, 0.0, 1.0)
        share = self._view.atmosphere.wetness * (0.1 + 0.5 * np.exp(-steep * 6.0))
        part = share[:, None] * self.ground[top:]
        lit[top:] *= (1.0 - 0.22 * self._view.atmosphere.wetness * self.ground[top:])[:, :, None]
        lit[top:] += part[:, :, None].astype(np.float32) * (glass - lit[top:])
