"""Sky, clouds, stars and the hills at the end of the street."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.noise import sample, soft_noise
from trt_perception.scenes.view import View

Image = NDArray[np.float32]


def paint_sky(view: View, rng: np.random.Generator) -> Image:
    """The sky as float32 BGR [H, W, 3] over the whole picture."""
    camera, air = view.camera, view.atmosphere
    height, width = camera.height, camera.width
    rows = (camera.horizon - np.arange(height, dtype=np.float32)) / camera.focal
    rise = np.clip(rows / 0.55, 0.0, 1.0)[:, None, None] ** 0.7
    sky = air.sky_low * (1.0 - rise) + air.sky_top * rise
    sky = np.repeat(sky.astype(np.float32), width, axis=1)
    pattern = soft_noise(rng, (4, 8, 16, 32, 64))
    clear_rows = int(np.clip(np.ceil(camera.horizon), 0, height))
    if clear_rows > 2:
        _clouds(view, sky, pattern, clear_rows)
    if air.light == 'night' and air.weather == 'clear':
        _stars(view, sky, rng)
    return sky


def _clouds(view: View, sky: Image, pattern: Image, rows: int) -> None:
    camera, air = view.camera, view.atmosphere
    x, y, z = (part[::2, ::2] for part in camera.rays(0, rows))
    rise = np.float32(34.0) / (np.maximum(z, np.float32(0.01)) + np.float32(0.06))
    cloud = sample(pattern, x * rise, y * rise)
    level = 1.0 - air.cloud_cover
    cover = np.clip((cloud - level * 0.75 - 0.12) * 3.2, 0.0, 1.0)
    cover *= np.clip(z * np.float32(14.0), 0.0, 1.0)
    cover = cv2.resize(cover, (sky.shape[1], rows), interpolation=cv2.INTER_LINEAR)
    if air.light == 'day':
        bright = np.array([250.0, 248.0, 246.0]) if air.weather == 'clear' else air.sky_low * 0.93
    elif air.light == 'dusk':
        bright = 0.45 * air.sky_low + 0.3 * air.sky_top
    else:
        bright = air.sky_low * 0.9
    share = (0.85 * cover)[:, :, None]
    part = sky[:rows]
    part += share * (bright.astype(np.float32) - part)


def _stars(view: View, sky: Image, rng: np.random.Generator) -> None:
    height, width = sky.shape[:2]
    spots = rng.random((60, 2))
    levels = rng.uniform(50, 170, 60)
    for (u, v), level in zip(spots.tolist(), levels.tolist(), strict=True):
        row = int(v * max(view.camera.horizon * 0.8, 1.0))
        if 0 <= row < height:
            sky[row, int(u * (width - 1))] += level


def hill_outline(view: View, rng: np.random.Generator) -> NDArray[np.float64]:
    """Outline [N, 2] in pixels of trees and hills that close the view far behind the street."""
    camera = view.camera
    steps = 48
    across = np.linspace(-0.05 * camera.width, 1.05 * camera.width, steps)
    bumps = rng.uniform(0.4, 1.0, steps) + 0.8 * np.sin(
        np.linspace(0, rng.uniform(3, 9), steps) + rng.uniform(0, 6)
    )
    top = camera.horizon - camera.focal * 0.018 * (1.6 + bumps)
    line = np.column_stack([across, top])
    low = camera.horizon + 4.0
    return np.concatenate([line, [[across[-1], low], [across[0], low]]])
