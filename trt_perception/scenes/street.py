"""The street scene: renders any moment of a street with exact labels.

Things are painted from far to near, in the picture and, with the same polygons, in a map of
owners; all labels are read off that map. A thing is left out of the boxes and of `instance_ids`
when it would not be fair to ask for it: fewer visible pixels than `SMALLEST_AREA` (scaled with the
picture; `CUT_FACTOR` times that when the picture's edge cuts it), less than `LOWEST_VISIBILITY` of
it to be seen, or almost lost in fog. The semantic map still shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.atmosphere import choose_light, choose_weather, make_atmosphere
from trt_perception.scenes.backdrop import Backdrop
from trt_perception.scenes.canvas import SHIFT, Canvas, Sprite, finish_sprite, to_corners
from trt_perception.scenes.classes import STUFF_CLASSES
from trt_perception.scenes.motion import Place
from trt_perception.scenes.plan import make_camera, make_plan
from trt_perception.scenes.population import Population
from trt_perception.scenes.roadside import street_lamps
from trt_perception.scenes.things import Shadow, Thing
from trt_perception.scenes.view import Extent, View
from trt_perception.scenes.weather import Lens

SMALLEST_AREA = 64.0
"""Visible pixels that a thing needs in a picture of 640x384."""

CUT_FACTOR = 4.0
LOWEST_VISIBILITY = 0.25
THICKEST_HAZE = 0.86
"""Share of fog colour above which a thing counts as hidden."""

LAPS = 1000
"""Track ids of one place in the scene; each lap takes the next."""


@dataclass(frozen=True)
class SceneFrame:
    """One moment of a scene with its labels.

    image: uint8 [H, W, 3] BGR.
    boxes: float32 [N, 4], bounds of the visible part, x1 y1 x2 y2 in pixels, x2 and y2 exclusive.
    class_ids: int64 [N], indices into THING_CLASSES.
    track_ids: int64 [N], the same for one individual at all times.
    visibility: float32 [N] in (0, 1], the share of its pixels in the picture that others leave.
    instance_ids: uint16 [H, W], 0 where there is none, i for the thing at row i - 1.
    semantic: uint8 [H, W], indices into SEMANTIC_CLASSES.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    visibility: NDArray[np.float32]
    instance_ids: NDArray[np.uint16]
    semantic: NDArray[np.uint8]


@dataclass(frozen=True)
class _Drawn:
    """A thing in the picture: owner number, place, extent and pixels before others hid it."""

    owner: int
    place: Place
    extent: Extent
    pixels: int


class StreetScene:
    """A street that can be seen at any time; the same seed gives the same pixels.

    What never changes is drawn when the scene is made; `render` adds what moves.
    """

    def __init__(
        self,
        seed: int,
        size: tuple[int, int] = (640, 384),
        *,
        density: float = 1.0,
        light: str | None = None,
        weather: str | None = None,
    ) -> None:
        """Make the scene of a seed for pictures of `size` (width, height).

        density: factor on the number of things, 0 for an empty street.
        light: 'day', 'dusk' or 'night'; weather: 'clear', 'overcast', 'rain' or 'fog'; None
        leaves them to the seed. ValueError for a size below 32 pixels.
        """
        if min(size) < 32:
            raise ValueError(f'size {size} is too small for a street; use at least 32 x 32 pixels')
        rng = np.random.Generator(np.random.PCG64(seed))
        plan = make_plan(rng)
        camera = make_camera(plan, size, rng)
        posts, lamps = street_lamps(plan, rng)
        chosen_light, chosen_weather = choose_light(rng), choose_weather(rng)
        own_x = float(camera.position[0])
        air = make_atmosphere(
            light or chosen_light,
            weather or chosen_weather,
            lamps,
            (own_x, 0.0) if plan.from_car else None,
            rng,
        )
        self._view = View(camera, air)
        crowd = density * float(rng.uniform(0.45, 1.45))
        rain = air.weather == 'rain'
        self._things: list[Thing] = [
            *posts,
            *Population(plan, own_x, rain, crowd, rng).fill(),
        ]
        classes = [0] + [thing.semantic for thing in self._things]
        self._classes = np.array(classes, dtype=np.uint8)
        # Pictures of different sizes take different amounts of noise from here on.
        self._backdrop = Backdrop(self._view, plan, rng)
        self._lens = Lens(self._view, rng)
        self._bake_shadows()
        self._sprites = self._draw_sprites()

    @property
    def conditions(self) -> tuple[str, str]:
        """Light and weather of the scene."""
        return self._view.atmosphere.light, self._view.atmosphere.weather

    def _bake_shadows(self) -> None:
        """Put the shadows of what stands still into the backdrop."""
        air = self._view.atmosphere
        found: list[Shadow] = []
        for thing in self._things:
            if thing.still:
                found += thing.shadows(thing.place(0.0), air)
        self._darken(self._backdrop.image, found)

    def _darken(self, image: NDArray[np.uint8], shadows: list[Shadow]) -> None:
        """Darken the ground below the hulls of ground points; soft edges, in half resolution."""
        camera = self._view.camera
        height, width = image.shape[:2]
        top = max(int(camera.horizon) // 2 * 2, 0)
        if not shadows or top >= height - 1:
            return
        rows, columns = (height - top + 1) // 2, (width + 1) // 2
        mask = np.zeros((rows, columns), dtype=np.uint8)
        sizes = [len(points) for points, _ in shadows]
        ground = np.concatenate([points for points, _ in shadows])
        pixels, depth = camera.project(np.column_stack([ground, np.zeros(len(ground))]))
        corners = to_corners((pixels - np.array([0.0, top])) * 0.5)
        start = 0
        order = []
        for size, (_, strength) in zip(sizes, shadows, strict=True):
            if float(depth[start : start + size].max()) > 0.5:
                order.append((strength, start, start + size))
            start += size
        for strength, low, high in sorted(order):
            hull = cv2.convexHull(corners[low:high])[:, 0]
            cv2.fillPoly(mask, [hull], strength * 255.0, cv2.LINE_AA, SHIFT)
        used = np.flatnonzero(mask.any(1))
        if len(used) == 0:
            return
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.8, width / 800.0))
        large = cv2.resize(soft, (2 * columns, 2 * rows), interpolation=cv2.INTER_LINEAR)
        first = max(2 * int(used[0]) - 8, 0)
        last = min(2 * int(used[-1]) + 10, height - top)
        part = large[first:last, :width]
        part[~self._backdrop.ground[top + first : top + last]] = 0
        patch = image[top + first : top + last]
        left = cv2.merge([255 - part] * 3)
        cv2.multiply(patch, left, dst=patch, scale=1.0 / 255.0)

    def _draw_sprites(self) -> dict[int, tuple[Sprite, Extent] | None]:
        """Each thing that never changes, by its owner number; None when out of view."""
        camera, air = self._view.camera, self._view.atmosphere
        image = np.zeros((camera.height, camera.width, 4), dtype=np.uint8)
        owners = np.zeros((camera.height, camera.width), dtype=np.uint16)
        sprites: dict[int, tuple[Sprite, Extent] | None] = {}
        for owner, thing in enumerate(self._things, start=1):
            if not thing.still:
                continue
            sprites[owner] = None
            extent = thing.draw(Canvas(image, owners), self._view, 0.0, owner)
            if extent is None:
                continue
            place = thing.place(0.0)
            halo = 2.2 * self._view.scale(max(camera.depth_of(place.x, place.y), 1.5))
            window = _window(extent, owners.shape, int(halo) if air.lights_on else 0)
            if window is not None:
                origin = (window[1].start, window[0].start)
                canvas = Canvas(image[window].copy(), owners[window].copy(), origin)
                sprites[owner] = (finish_sprite(canvas), extent)
                image[window] = 0
                owners[window] = 0
        return sprites

    def render(self, time_s: float) -> SceneFrame:
        """The scene at a time in seconds; any order of times gives the same pictures."""
        backdrop = self._backdrop
        image = backdrop.image.copy()
        owners = np.zeros(image.shape[:2], dtype=np.uint16)
        canvas = Canvas(image, owners)
        places = [thing.place(time_s) for thing in self._things]
        shadows: list[Shadow] = []
        for thing, place in zip(self._things, places, strict=True):
            if not thing.still and -6.0 < place.y < 70.0:
                shadows += thing.shadows(place, self._view.atmosphere)
        self._darken(image, shadows)
        drawn = []
        order = np.argsort([-place.y for place in places], kind='stable')
        for index in order.tolist():
            found = self._draw_thing(canvas, index + 1, places[index], time_s)
            if found is not None:
                drawn.append(found)
        return self._label(self._lens.apply(image, time_s), owners, drawn)

    def _draw_thing(self, canvas: Canvas, owner: int, place: Place, time_s: float) -> _Drawn | None:
        thing = self._things[owner - 1]
        if thing.still:
            cached = self._sprites[owner]
            if cached is None:
                return None
            sprite, extent = cached
            sprite.paste(canvas, owner)
        else:
            found = thing.draw(canvas, self._view, time_s, owner)
            if found is None:
                return None
            extent = found
        if thing.semantic < len(STUFF_CLASSES):
            return None
        window = _window(extent, canvas.owners.shape)
        if window is None:
            return None
        pixels = int(np.count_nonzero(canvas.owners[window] == owner))
        return _Drawn(owner, place, extent, pixels)

    def _label(
        self, image: NDArray[np.uint8], owners: NDArray[np.uint16], drawn: list[_Drawn]
    ) -> SceneFrame:
        """Read all labels off the map of owners."""
        semantic = np.take(self._classes, owners)
        np.copyto(semantic, self._backdrop.semantic, where=owners == 0)
        smallest = SMALLEST_AREA * image.shape[0] * image.shape[1] / (640.0 * 384.0)
        final = np.zeros(len(self._things) + 1, dtype=np.uint16)
        boxes, classes, tracks, shares = [], [], [], []
        for item in drawn:
            window = _window(item.extent, owners.shape)
            if window is None or item.pixels == 0:
                continue
            mine = owners[window] == item.owner
            visible = int(np.count_nonzero(mine))
            share = visible / item.pixels
            depth = self._view.camera.depth_of(item.place.x, item.place.y)
            hidden = self._view.atmosphere.haze(depth) > THICKEST_HAZE
            if visible < max(smallest, 1.0) or share < LOWEST_VISIBILITY or hidden:
                continue
            x0, y0, x1, y1 = _frame(mine)
            top, left = window[0].start, window[1].start
            box = (x0 + left, y0 + top, x1 + left, y1 + top)
            if _cut(box, owners.shape) and visible < CUT_FACTOR * smallest:
                continue
            boxes.append(box)
            classes.append(self._things[item.owner - 1].semantic - len(STUFF_CLASSES))
            tracks.append(item.owner * LAPS + item.place.lap % LAPS)
            shares.append(share)
            final[item.owner] = len(boxes)
        return SceneFrame(
            image=image,
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            class_ids=np.array(classes, dtype=np.int64),
            track_ids=np.array(tracks, dtype=np.int64),
            visibility=np.array(shares, dtype=np.float32),
            instance_ids=np.take(final, owners),
            semantic=semantic,
        )


def _frame(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Tight bounds x0, y0, x1, y1 (exclusive) of the true pixels; zeros when there are none."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _window(extent: Extent, shape: tuple[int, ...], halo: int = 0) -> tuple[slice, slice] | None:
    """The part of the picture in which a thing of this extent has all its pixels."""
    x0, y0 = max(int(extent[0]) - 3 - halo, 0), max(int(extent[1]) - 3 - halo, 0)
    x1 = min(int(extent[2]) + 4 + halo, shape[1])
    y1 = min(int(extent[3]) + 4 + halo, shape[0])
    if x0 >= x1 or y0 >= y1:
        return None
    return slice(y0, y1), slice(x0, x1)


def _cut(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    """Whether a box touches the picture's edge."""
    return box[0] <= 0 or box[1] <= 0 or box[2] >= shape[1] or box[3] >= shape[0]
