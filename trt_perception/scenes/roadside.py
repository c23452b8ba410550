"""What stands beside the street: lamps, trees, signs and traffic lights by the plan of a scene."""

from __future__ import annotations

import numpy as np

from trt_perception.scenes.atmosphere import Lamp
from trt_perception.scenes.furniture import Pole, TrafficLight, make_tree
from trt_perception.scenes.plan import Plan
from trt_perception.scenes.signs import make_sign
from trt_perception.scenes.things import LightThing, PoleThing, SignThing, Thing, TreeThing

STEEL = (105.0, 106.0, 104.0)


def street_lamps(plan: Plan, rng: np.random.Generator) -> tuple[list[PoleThing], tuple[Lamp, ...]]:
    """Lamp posts along the kerbs and the light that they give."""
    posts, lamps = [], []
    spacing = float(rng.uniform(16.0, 26.0))
    height = float(rng.uniform(5.5, 7.5))
    strength = float(rng.uniform(0.55, 0.95))
    start = float(rng.uniform(4.0, 12.0))
    for flank, shift in ((plan.left, 0.0), (plan.right, spacing / 2)):
        for y in np.arange(start + shift, plan.end, spacing).tolist():
            x = flank.side * (flank.kerb + 0.35)
            posts.append(PoleThing(Pole(x, y, height, 0.08, (80.0, 84.0, 80.0), -flank.side * 1.5)))
            lamps.append(Lamp(x - flank.side * 1.5, y, height, strength))
    return posts, tuple(lamps)


def trees_and_bins(plan: Plan, rng: np.random.Generator) -> list[Thing]:
    """Trees, rows of bollards and bins on both sides."""
    things: list[Thing] = []
    for flank in (plan.left, plan.right):
        if flank.verge > 0 or rng.random() < 0.35:
            spacing = float(rng.uniform(8.0, 18.0))
            first = float(rng.uniform(6.0, 14.0))
            for y in np.arange(first, min(plan.end, 60.0), spacing).tolist():
                if rng.random() < 0.8:
                    x = flank.side * (flank.kerb + (0.5 * flank.verge or 0.8))
                    things.append(TreeThing(make_tree(x, y, rng)))
        if rng.random() < 0.3:
            y0 = float(rng.uniform(4.0, 12.0))
            for i in range(int(rng.integers(2, 7))):
                x = flank.side * (flank.kerb + 0.4)
                post = Pole(x, y0 + 1.6 * i, 0.95, 0.07, (70.0, 72.0, 74.0))
                things.append(PoleThing(post))
        if rng.random() < 0.4:
            x = flank.side * (flank.front - 0.35)
            bin_paint = ((60.0, 90.0, 50.0), (60.0, 60.0, 62.0))[int(rng.integers(2))]
            y = float(rng.uniform(4.0, 18.0))
            things.append(PoleThing(Pole(x, y, 1.05, 0.28, bin_paint)))
    return things


def signs(plan: Plan, rng: np.random.Generator, count: int) -> list[Thing]:
    """So many traffic signs, each with its post."""
    things: list[Thing] = []
    for _ in range(count):
        flank = plan.either_flank(rng)
        x = flank.side * (flank.kerb + float(rng.uniform(0.3, 0.7)))
        y = float(rng.uniform(5.5, 27.0))
        sign = make_sign(x, y, rng)
        things.append(PoleThing(Pole(x, y, sign.middle + sign.radius * 0.7, 0.035, STEEL)))
        things.append(SignThing(sign))
    return things


def traffic_lights(plan: Plan, rng: np.random.Generator, density: float) -> list[Thing]:
    """One for each side of the street at most, of one kind."""
    things: list[Thing] = []
    if rng.random() > 0.75 * min(density, 1.2):
        return things
    y = (plan.crossing or float(rng.uniform(9.0, 24.0))) + float(rng.uniform(-1.0, 1.0)) + 2.4
    period, start = float(rng.uniform(12, 24)), float(rng.uniform(0, 24))
    border = (
        (40.0, 38.0, 36.0),
        (38.0, 36.0, 34.0),
        (40.0, 190.0, 235.0),
        (205.0, 205.0, 205.0),
    )[int(rng.integers(4))]
    for flank in (plan.left, plan.right):
        if rng.random() < 0.15:
            continue
        back = flank.side * plan.travel < 0 and rng.random() < 0.4
        width = float(rng.uniform(0.4, 0.5))
        low = float(rng.uniform(2.3, 2.9))
        x = flank.side * (flank.kerb + float(rng.uniform(0.3, 0.6)))
        if plan.lanes == 4 and rng.random() < 0.6:
            low = 4.6
            arm = -flank.side * float(rng.uniform(2.0, 4.5))
            things.append(PoleThing(_gantry(x, y, low + width * 1.3, arm)))
            x += arm
        else:
            things.append(PoleThing(Pole(x, y, low + 0.3, 0.07, STEEL)))
        yaw = float(rng.normal(0.0, 0.12))
        things.append(LightThing(TrafficLight(x, y, low, width, yaw, back, border, period, start)))
    return things


def _gantry(x: float, y: float, height: float, arm: float) -> Pole:
    return Pole(x, y, height, 0.1, STEEL, arm)
