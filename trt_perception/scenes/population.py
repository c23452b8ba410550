"""Who is in the street: vehicles, people and animals by the plan of a scene."""

from __future__ import annotations

import math

import numpy as np

from trt_perception.scenes.animals import make_cat, make_dog
from trt_perception.scenes.cars import make_car
from trt_perception.scenes.classes import semantic_id
from trt_perception.scenes.figures import make_cyclist, make_pedestrian
from trt_perception.scenes.lorries import make_lorry
from trt_perception.scenes.motion import ALONG, Cross, Drive, Motion, Still, Stroll
from trt_perception.scenes.plan import Flank, Plan
from trt_perception.scenes.roadside import signs, traffic_lights, trees_and_bins
from trt_perception.scenes.things import FigureThing, Thing, VehicleThing
from trt_perception.scenes.vehicle_drawing import Vehicle


class Population:
    """Draws lots for the things of a scene, one kind after the other."""

    def __init__(
        self, plan: Plan, own_x: float, rain: bool, density: float, rng: np.random.Generator
    ) -> None:
        self._plan = plan
        self._own_x = own_x
        self._rain = rain
        self._density = density
        self._rng = rng
        self.things: list[Thing] = []

    def fill(self) -> list[Thing]:
        """Every thing but the street lamps."""
        self.things += trees_and_bins(self._plan, self._rng)
        if self._density > 0:
            self._parked()
            self._traffic()
            self.things += signs(self._plan, self._rng, self._count(1.9))
            self.things += traffic_lights(self._plan, self._rng, self._density)
            self._walkers()
            self._animals()
            self._cyclists()
        return self.things

    def _count(self, mean: float) -> int:
        return int(self._rng.poisson(mean * self._density))

    def _vehicle(self, lorry_share: float) -> tuple[int, Vehicle]:
        if self._rng.random() < lorry_share:
            return semantic_id('lorry'), Vehicle(make_lorry(self._rng))
        return semantic_id('car'), Vehicle(make_car(self._rng))

    def _parked(self) -> None:
        plan, rng = self._plan, self._rng
        for flank in (plan.left, plan.right):
            if not flank.parking:
                continue
            share = min(float(rng.uniform(0.15, 0.6)) * self._density, 0.85)
            y = float(rng.uniform(3.0, 8.0))
            while y < min(plan.end - 6.0, 42.0):
                blocked = plan.crossing is not None and abs(y - plan.crossing) < 6.0
                if rng.random() < share and not blocked:
                    kind, vehicle = self._vehicle(0.12 if y > 10 else 0.0)
                    along = flank.side * plan.travel > 0
                    x = flank.side * (flank.kerb - 1.1 + rng.uniform(-0.1, 0.1))
                    spot = Still(x, y + vehicle.length / 2 - 2.0, ALONG if along else -ALONG)
                    self.things.append(VehicleThing(kind, vehicle, spot))
                    y += max(vehicle.length - 4.0, 0.0)
                y += 6.2

    def _traffic(self) -> None:
        plan, rng = self._plan, self._rng
        for x, direction in plan.lane_middles():
            own = plan.from_car and abs(x - self._own_x) < 1.6
            if plan.walkers_cross or own:
                self._queue(x, direction, own)
                continue
            if rng.random() > 0.85 * min(self._density, 1.1):
                continue
            far = plan.end - 1.0
            near = -14.0
            speed = float(rng.uniform(5.0, 11.0)) * direction
            gap = float(rng.uniform(20.0, 45.0)) / min(max(self._density, 0.3), 1.6)
            span = far - near
            count = max(int(span / gap), 1)
            first = float(rng.uniform(0.0, span))
            for i in range(count):
                kind, vehicle = self._vehicle(0.36)
                start = near + (first + i * span / count + rng.uniform(0, 0.2) * gap) % span
                motion = Drive(x + float(rng.normal(0, 0.12)), start, speed, near, far)
                self.things.append(VehicleThing(kind, vehicle, motion))

    def _queue(self, x: float, direction: float, own: bool) -> None:
        """Vehicles that wait: before the crossing, or ahead in the own lane."""
        plan, rng = self._plan, self._rng
        if rng.random() > 0.8 * min(self._density, 1.1):
            return
        if direction > 0:
            # What is on the near side of the crossing would stand in the camera.
            y = (
                (plan.crossing + 3.5)
                if plan.crossing is not None
                else float(rng.uniform(6.0, 16.0))
            )
            y += float(rng.uniform(0.0, 12.0))
        else:
            y = (
                (plan.crossing if plan.crossing is not None else 8.0)
                + 3.2
                + float(rng.uniform(0, 2))
            )
        for _ in range(int(rng.integers(1, 4 if own else 5))):
            kind, vehicle = self._vehicle(0.36)
            middle = y + vehicle.length / 2
            if middle > plan.end - 5.0:
                return
            spot = Still(x + float(rng.normal(0, 0.12)), middle, ALONG if direction > 0 else -ALONG)
            self.things.append(VehicleThing(kind, vehicle, spot, braking=bool(rng.random() < 0.8)))
            y += vehicle.length + float(rng.uniform(1.5, 6.0))

    def _walkers(self) -> None:
        plan, rng = self._plan, self._rng
        for _ in range(self._count(3.6)):
            flank = self._plan.either_flank(self._rng)
            self._add_walker(self._pavement_motion(flank, 0.9, 1.7, 34.0))
        if plan.walkers_cross and plan.crossing is not None:
            for _ in range(int(rng.integers(1, 5))):
                motion = Cross(
                    -plan.left.kerb - 0.9,
                    plan.right.kerb + 0.9,
                    plan.crossing + float(rng.uniform(-1.3, 1.3)),
                    float(rng.uniform(0.9, 1.6)),
                    float(rng.uniform(1.0, 6.0)),
                    float(rng.uniform(0.0, 30.0)),
                )
                self._add_walker(motion)

    def _pavement_motion(self, flank: Flank, slow: float, fast: float, far: float) -> Motion:
        rng = self._rng
        low, high = flank.walk
        x = flank.side * float(rng.uniform(low, max(high, low + 0.2)))
        # Nobody walks through the camera.
        if abs(x - self._own_x) < 0.8:
            x = flank.side * (abs(self._own_x) + (0.9 if rng.random() < 0.75 else -0.9))
        if rng.random() < 0.15:
            return Still(x, float(rng.uniform(4.0, far * 0.8)), float(rng.uniform(0, 2 * math.pi)))
        reach = float(rng.uniform(0.7, 1.0)) * min(far, self._plan.end - 4.0)
        return Stroll(
            x, float(rng.uniform(0.0, 2 * reach)), float(rng.uniform(slow, fast)), 0.0, reach
        )

    def _add_walker(self, motion: Motion) -> None:
        person = make_pedestrian(self._rng, self._rain)
        self.things.append(
            FigureThing(
                semantic_id('pedestrian'),
                person,
                motion,
                person.height,
                0.08,
                0.78 * person.height,
                float(self._rng.uniform(0, 2 * math.pi)),
            )
        )

    def _cyclists(self) -> None:
        plan, rng = self._plan, self._rng
        for _ in range(self._count(2.2)):
            flank = self._plan.either_flank(self._rng)
            direction = flank.side * plan.travel
            x = flank.side * (plan.lanes * plan.lane_width / 2 - 0.45 - float(rng.uniform(0, 0.3)))
            motion: Motion
            if abs(x - self._own_x) < 1.3 or plan.walkers_cross or rng.random() < 0.25:
                motion = self._pavement_motion(flank, 2.2, 4.0, 38.0)
                if isinstance(motion, Still):
                    motion = Stroll(motion.x, motion.y, 3.0, 0.0, 30.0)
            else:
                far = min(plan.end - 2.0, 46.0)
                speed = direction * float(rng.uniform(3.0, 6.0))
                motion = Drive(x, float(rng.uniform(3.0, far)), speed, -4.0, far)
            cyclist = make_cyclist(rng)
            self.things.append(
                FigureThing(
                    semantic_id('cyclist'),
                    cyclist,
                    motion,
                    1.7,
                    0.7,
                    5.0,
                    float(rng.uniform(0, 2 * math.pi)),
                )
            )

    def _animals(self) -> None:
        rng = self._rng
        for _ in range(self._count(1.7)):
            dog = make_dog(rng)
            motion = self._animal_motion(0.7, 2.2, 21.0)
            self.things.append(
                FigureThing(
                    semantic_id('dog'),
                    dog,
                    motion,
                    dog.height,
                    0.5 * dog.length,
                    1.3 * dog.height,
                    float(rng.uniform(0, 2 * math.pi)),
                )
            )
        for _ in range(self._count(1.9)):
            cat = make_cat(rng)
            motion = self._animal_motion(0.3, 1.0, 14.0)
            if cat.sitting:
                at = motion.at(0.0)
                motion = Still(at.x, max(at.y, 3.5), float(rng.uniform(0, 2 * math.pi)))
            self.things.append(
                FigureThing(
                    semantic_id('cat'),
                    cat,
                    motion,
                    cat.height,
                    0.4 * cat.length,
                    1.4 * cat.height,
                    float(rng.uniform(0, 2 * math.pi)),
                )
            )

    def _animal_motion(self, slow: float, fast: float, far: float) -> Motion:
        """Along a pavement, or straight across the street as animals do."""
        plan, rng = self._plan, self._rng
        if rng.random() < 0.55:
            return self._pavement_motion(self._plan.either_flank(self._rng), slow, fast, far)
        return Cross(
            -plan.left.kerb - 1.0,
            plan.right.kerb + 1.0,
            float(rng.uniform(4.5, 0.75 * far)),
            float(rng.uniform(slow, fast)),
            float(rng.uniform(0.0, 4.0)),
            float(rng.uniform(0.0, 40.0)),
        )
