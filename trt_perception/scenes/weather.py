"""What lies between the street and the picture: rain, blur, exposure and sensor noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.view import View

_SLACK = 64
"""Pixels by which the noise pattern exceeds the picture, so that it can be shifted."""


class Lens:
    """Turns the clean picture of a moment into what a camera would deliver."""

    def __init__(self, view: View, rng: np.random.Generator) -> None:
        self._view = view
        air, camera = view.atmosphere, view.camera
        self._seed = int(rng.integers(1 << 31))
        shape = (camera.height + _SLACK, camera.width + _SLACK, 3)
        grain = rng.standard_normal((shape[0], shape[1]), dtype=np.float32)
        grain *= np.float32(air.noise)
        tint = np.roll(grain, (7, 13), (0, 1))
        mixed = cv2.addWeighted(grain, 0.8, tint, 0.6, 0.0)
        planes = [np.rint(plane).astype(np.int16) for plane in (grain, mixed, tint)]
        self._noise = np.asarray(cv2.merge(planes), dtype=np.int16)
        self._levels = rng.uniform(0.05, 0.12)
        self._phase = float(rng.uniform(0, 6.28))
        self._rain = _rain_layers(view, rng) if air.weather == 'rain' else []
        self._kernel = _blur_kernel(view, rng)

    def apply(self, image: NDArray[np.uint8], time_s: float) -> NDArray[np.uint8]:
        """The picture uint8 [H, W, 3] as the camera sees it at a time."""
        if self._kernel is not None:
            image = np.asarray(cv2.filter2D(image, -1, self._kernel), dtype=np.uint8)
        for layer, speed, drift in self._rain:
            down = int(time_s * speed) % layer.shape[0]
            aside = int(time_s * drift) % layer.shape[1]
            _add_rolled(image, layer, down, aside)
        gain = self._view.atmosphere.exposure * (
            1.0 + self._levels * float(np.sin(0.7 * time_s + self._phase))
        )
        curve = np.arange(256) / 255.0 * gain
        # Highlights bend instead of being cut off.
        curve = np.where(curve > 0.8, 0.8 + 0.2 * np.tanh((curve - 0.8) / 0.2), curve)
        table = np.clip(np.rint(255.0 * curve), 0, 255).astype(np.uint8)
        cv2.LUT(image, table, dst=image)
        # The instant in microseconds picks the noise, so that any moment can be drawn by itself.
        shift = np.random.Generator(
            np.random.PCG64([self._seed, round(time_s * 1e6) & 0xFFFFFFFF])
        ).integers(0, _SLACK, 2)
        height, width = image.shape[:2]
        noise = self._noise[shift[0] : shift[0] + height, shift[1] : shift[1] + width]
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), dtype=np.uint8)


def _add_rolled(image: NDArray[np.uint8], layer: NDArray[np.uint8], down: int, aside: int) -> None:
    """Add a layer of the picture's size, shifted with wrap-around."""
    height, width = image.shape[:2]
    for y0, y1, sy in ((0, down, height - down), (down, height, 0)):
        for x0, x1, sx in ((0, aside, width - aside), (aside, width, 0)):
            if y0 < y1 and x0 < x1:
                patch = image[y0:y1, x0:x1]
                cv2.add(patch, layer[sy : sy + y1 - y0, sx : sx + x1 - x0], dst=patch)


def _rain_layers(
    view: View, rng: np.random.Generator
) -> list[tuple[NDArray[np.uint8], float, float]]:
    """Streaks, near and far: a picture to add, its speed down and aside in pixels per second."""
    camera, air = view.camera, view.atmosphere
    bright = {'day': 46.0, 'dusk': 34.0, 'night': 22.0}[air.light]
    slant = float(rng.uniform(-0.2, 0.2))
    layers: list[tuple[NDArray[np.uint8], float, float]] = []
    for count, length, share in ((420, 0.035, 0.55), (130, 0.09, 1.0)):
        layer = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
        count = int(count * rng.uniform(0.5, 1.2))
        spots = rng.random((count, 2)) * [camera.width, camera.height]
        sizes = rng.uniform(0.5, 1.3, count) * length * camera.height
        for (x, y), size in zip(spots.tolist(), sizes.tolist(), strict=True):
            tone = bright * share * (0.5 + 0.5 * size / (1.3 * length * camera.height))
            start = (round(x * 16), round(y * 16))
            stop = (round((x + slant * size) * 16), round((y + size) * 16))
            thick = max(1, camera.height // 500)
            cv2.line(layer, start, stop, (tone, tone, tone), thick, cv2.LINE_AA, 4)
        layers.append((layer, camera.height * (1.2 + share), slant * camera.height))
    return layers


def _blur_kernel(view: View, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """A streak for a camera that shook, None when it stood still."""
    reach = view.atmosphere.blur * view.camera.width / 640.0 * 2.2
    if reach < 0.4:
        return None
    angle = rng.uniform(-0.5, 0.5)
    side = 2 * int(np.ceil(reach)) + 1
    kernel = np.zeros((side, side), dtype=np.uint8)
    middle = side // 2
    offset = np.array([np.cos(angle), np.sin(angle)]) * reach
    start = np.rint((middle - offset) * 16).astype(int).tolist()
    stop = np.rint((middle + offset) * 16).astype(int).tolist()
    cv2.line(kernel, start, stop, 255, 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / float(kernel.sum()), dtype=np.float32)
