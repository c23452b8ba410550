"""Light and weather of one scene, and what they do to colours. Colours are BGR, 0 to 255."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LIGHTS = ('day', 'dusk', 'night')
WEATHERS = ('clear', 'overcast', 'rain', 'fog')


@dataclass(frozen=True)
class Lamp:
    """A street lamp: where its light falls, (x, y) in metres, and how strong it is."""

    x: float
    y: float
    height: float
    strength: float


@dataclass(frozen=True)
class Atmosphere:
    """Light and weather. Light values are factors on surface colours, per channel."""

    light: str
    weather: str
    ambient: Floats
    sun: Floats
    sun_direction: Floats
    sky_top: Floats
    sky_low: Floats
    fog_colour: Floats
    fog_density: float
    cloud_cover: float
    wetness: float
    lamp_colour: Floats
    lamps: tuple[Lamp, ...]
    lights_on: bool
    beam: float
    beam_origin: tuple[float, float]
    exposure: float
    noise: float
    blur: float

    @property
    def shadows(self) -> bool:
        """Whether the sun is strong enough to throw shadows."""
        return float(self.sun.max()) > 0.25

    def haze(self, depth: float) -> float:
        """Share of the fog colour in what is seen at a depth in metres."""
        return 1.0 - math.exp(-self.fog_density * max(depth, 0.0))

    def shade(self, normals: Floats) -> Floats:
        """Light factors [N, 3] of surfaces with unit normals [N, 3], without lamps."""
        towards = np.maximum(normals @ self.sun_direction, 0.0)[:, None]
        sky = (0.78 + 0.22 * normals[:, 2])[:, None]
        return np.asarray(self.ambient * sky + self.sun * towards)

    def local_light(self, x: float, y: float) -> Floats:
        """Light factor [3] that lamps and the own headlights add at a place on the ground."""
        if not self.lights_on:
            return np.zeros(3)
        total = 0.0
        for lamp in self.lamps:
            square = (x - lamp.x) ** 2 + (y - lamp.y) ** 2
            total += lamp.strength / (1.0 + square / (0.9 * lamp.height) ** 2) ** 1.5
        return self.lamp_colour * total + self.beam_light(x, y)

    def beam_light(self, x: float, y: float) -> Floats:
        """Light factor [3] of the own headlights at a place on the ground."""
        ahead = y - self.beam_origin[1]
        if self.beam == 0.0 or ahead <= 0.5:
            return np.zeros(3)
        aside = (x - self.beam_origin[0]) / (0.32 * ahead + 1.0)
        value = self.beam * math.exp(-aside * aside) * math.exp(-ahead / 22.0)
        return np.array([0.88, 0.97, 1.0]) * value


def _sky(light: str, weather: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    if light == 'night':
        low = np.array([52.0, 36.0, 30.0]) * rng.uniform(0.7, 1.3)
        return np.array([30.0, 17.0, 12.0]), low
    if light == 'dusk':
        warm = np.array([rng.uniform(105, 150), rng.uniform(140, 170), rng.uniform(215, 250)])
        top = np.array([rng.uniform(120, 150), rng.uniform(80, 105), rng.uniform(70, 105)])
        grey = np.array([150.0, 140.0, 140.0])
        mix = 0.0 if weather == 'clear' else 0.65
        return top * (1 - mix) + grey * 0.75 * mix, warm * (1 - mix) + grey * mix
    if weather == 'clear':
        top = np.array([rng.uniform(205, 240), rng.uniform(140, 175), rng.uniform(70, 115)])
        return top, np.array([245.0, 228.0, 205.0])
    value = rng.uniform(165, 215)
    return np.array([value + 4, value, value - 4]), np.array([value + 22, value + 20, value + 18])


def _light_factors(
    light: str, weather: str, rng: np.random.Generator
) -> tuple[Floats, Floats, float]:
    """Ambient [3], sun [3] and the sun's height above the horizon in radians."""
    elevation = rng.uniform(0.5, 1.05)
    if light == 'night':
        return np.array([0.22, 0.18, 0.165]) * rng.uniform(1.0, 1.6), np.zeros(3), elevation
    if light == 'dusk':
        ambient = np.array([0.60, 0.52, 0.52]) * rng.uniform(0.75, 1.1)
        sun = np.array([0.16, 0.32, 0.52]) if weather == 'clear' else np.zeros(3)
        return ambient, sun, rng.uniform(0.2, 0.38)
    if weather == 'clear':
        return (
            np.array([0.66, 0.60, 0.56]) * rng.uniform(0.9, 1.1),
            np.array([0.46, 0.54, 0.58]) * rng.uniform(0.85, 1.15),
            elevation,
        )
    return np.array([0.90, 0.88, 0.87]) * rng.uniform(0.88, 1.05), np.zeros(3), elevation


def choose_light(rng: np.random.Generator) -> str:
    """One of LIGHTS by its share of scenes."""
    return str(rng.choice(LIGHTS, p=(0.56, 0.2, 0.24)))


def choose_weather(rng: np.random.Generator) -> str:
    """One of WEATHERS by its share of scenes."""
    return str(rng.choice(WEATHERS, p=(0.45, 0.19, 0.21, 0.15)))


def make_atmosphere(
    light: str,
    weather: str,
    lamps: tuple[Lamp, ...],
    beam_origin: tuple[float, float] | None,
    rng: np.random.Generator,
) -> Atmosphere:
    """Draw the details of a light and a weather; `beam_origin` is set for a camera on a car."""
    sky_top, sky_low = _sky(light, weather, rng)
    ambient, sun, elevation = _light_factors(light, weather, rng)
    azimuth = rng.uniform(math.radians(150), math.radians(390))
    direction = np.array(
        [
            math.cos(elevation) * math.sin(azimuth),
            math.cos(elevation) * math.cos(azimuth),
            math.sin(elevation),
        ]
    )
    density = {
        'clear': rng.uniform(0.0008, 0.003),
        'overcast': rng.uniform(0.002, 0.005),
        'rain': rng.uniform(0.005, 0.012),
        'fog': rng.uniform(0.018, 0.042),
    }[weather]
    fog_colour = sky_low * (1.0 if weather == 'fog' else 0.96)
    if weather == 'fog':
        sky_top = 0.25 * sky_top + 0.75 * sky_low
    dark = light != 'day'
    return Atmosphere(
        light=light,
        weather=weather,
        ambient=ambient,
        sun=sun,
        sun_direction=direction,
        sky_top=sky_top,
        sky_low=sky_low,
        fog_colour=fog_colour,
        fog_density=density,
        cloud_cover=rng.uniform(0.15, 0.65) if weather == 'clear' else rng.uniform(0.7, 1.0),
        wetness=rng.uniform(0.55, 1.0) if weather == 'rain' else 0.0,
        lamp_colour=np.array([0.58, 0.84, 1.0]) * rng.uniform(0.8, 1.15),
        lamps=lamps,
        lights_on=dark,
        beam=0.0 if beam_origin is None else {'day': 0.0, 'dusk': 0.25}.get(light, 0.85),
        beam_origin=beam_origin or (0.0, 0.0),
        exposure=float(np.exp(np.clip(rng.normal(0.0, 0.11), -0.25, 0.25))),
        noise=float(rng.uniform(1.0, 3.5) if light == 'day' else rng.uniform(2.0, 7.0)),
        blur=float(rng.uniform(0.0, 1.0) if rng.random() < 0.3 else 0.0),
    )
