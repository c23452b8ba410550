"""Houses along the street, hedges before them, and the house that closes the street."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.canvas import Canvas, to_corners
from trt_perception.scenes.furniture import LEAVES, Paint, make_puffs
from trt_perception.scenes.plan import Flank, Plan
from trt_perception.scenes.view import View

Floats = NDArray[np.float64]

LEFT_WALL, RIGHT_WALL, FRONT, LIT, LEAF, GROUND, FAR = range(1, 8)
"""What a pixel of the backdrop shows; 0 is the sky."""

WALLS = (
    (92, 112, 168),
    (150, 178, 205),
    (196, 208, 214),
    (120, 140, 170),
    (170, 172, 176),
    (142, 180, 196),
    (188, 190, 178),
    (84, 96, 132),
    (206, 214, 222),
    (132, 150, 150),
    (160, 168, 206),
    (178, 162, 138),
)
ROOFS = ((70, 76, 120), (82, 80, 84), (62, 70, 86))
SHOPS = ((60, 60, 170), (120, 70, 30), (60, 110, 60), (50, 50, 54), (40, 130, 200), (110, 60, 110))


@dataclass(frozen=True)
class House:
    """One house: y from `near` to `far`, metres; `back` is how far behind the wall line it is."""

    near: float
    far: float
    height: float
    back: float
    floor: float
    bays: int
    wall: Paint
    frame: Paint
    roof: Paint
    shop: Paint | None
    pitched: bool


def make_houses(end: float, rng: np.random.Generator) -> list[House]:
    """Houses from behind the camera to the end of the street, in order."""
    houses, y = [], -6.0
    while y < end:
        width = float(rng.uniform(8.0, 17.0))
        floors = int(rng.integers(2, 7))
        floor = float(rng.uniform(2.9, 3.5))
        wall = WALLS[int(rng.integers(len(WALLS)))]
        shade = float(rng.uniform(0.82, 1.08))
        frame = (225, 228, 228) if rng.random() < 0.7 else (60, 58, 60)
        shop = SHOPS[int(rng.integers(len(SHOPS)))] if rng.random() < 0.35 else None
        houses.append(
            House(
                near=y,
                far=y + width,
                height=floors * floor + float(rng.uniform(0.6, 1.4)),
                back=float(rng.uniform(0.0, 0.5)) if rng.random() < 0.5 else 0.0,
                floor=floor,
                bays=max(2, int(width / rng.uniform(2.6, 3.8))),
                wall=(wall[0] * shade, wall[1] * shade, wall[2] * shade),
                frame=(float(frame[0]), float(frame[1]), float(frame[2])),
                roof=_float(ROOFS[int(rng.integers(len(ROOFS)))]),
                shop=None if shop is None else _float(shop),
                pitched=bool(rng.random() < 0.5),
            )
        )
        y += width + (float(rng.uniform(2.0, 6.0)) if rng.random() < 0.22 else 0.0)
    return houses


def _float(paint: tuple[int, int, int]) -> Paint:
    return (float(paint[0]), float(paint[1]), float(paint[2]))


class Builder:
    """Draws wall rectangles with an outward side onto the backdrop."""

    def __init__(self, canvas: Canvas, view: View, rng: np.random.Generator) -> None:
        self.canvas = canvas
        self.view = view
        self.rng = rng
        self.lit_share = {'day': 0.0, 'dusk': 0.35, 'night': 0.4}[view.atmosphere.light]

    def quads(
        self, corners: Floats, paints: list[Paint], surface: int | list[int], smallest: float = 0.0
    ) -> None:
        """Paint rectangles [N, 4, 3] of the world, those wider than `smallest` pixels.

        One paint or surface serves all; otherwise there is one for each rectangle.
        """
        surfaces = surface if isinstance(surface, list) else [surface]
        pixels, depth = self.view.camera.project(corners.reshape(-1, 3))
        if float(depth.max()) < 0.4:
            return
        spread = pixels.reshape(-1, 4, 2)
        size = np.minimum(np.ptp(spread[:, :, 0], axis=1), np.ptp(spread[:, :, 1], axis=1))
        shown = (size > smallest) & (depth.reshape(-1, 4).max(1) > 0.4)
        shown &= (spread[:, :, 0].max(1) > -2) & (
            spread[:, :, 0].min(1) < self.view.camera.width + 2
        )
        fixed = to_corners(pixels).reshape(-1, 4, 2)
        for i in np.flatnonzero(shown).tolist():
            self.canvas.fill(fixed[i], paints[i % len(paints)], surfaces[i % len(surfaces)])

    def glass(self, count: int, surface: int) -> tuple[list[Paint], list[int]]:
        """Colours of window panes, and the surface of each: LIT where lamps burn inside."""
        paints: list[Paint] = []
        surfaces: list[int] = []
        for value, mood in self.rng.random((count, 2)).tolist():
            if value < self.lit_share:
                glow = 0.62 + 0.35 * mood
                paints.append((120.0 * glow + 30 * mood, 205.0 * glow, 250.0 * glow))
                surfaces.append(LIT)
            else:
                tone = 62 + 66 * mood
                paints.append((tone * 1.12, tone * 1.0, tone * 0.88))
                surfaces.append(surface)
        return paints, surfaces


def street_rect(
    x: float, y0: NDArray[Any], y1: NDArray[Any], z0: NDArray[Any], z1: NDArray[Any]
) -> Floats:
    """Rectangles [N, 4, 3] on a wall along the street."""
    corners = np.empty((len(y0), 4, 3))
    corners[:, :, 0] = x
    corners[:, 0, 1], corners[:, 1, 1], corners[:, 2, 1], corners[:, 3, 1] = y0, y1, y1, y0
    corners[:, 0, 2], corners[:, 1, 2], corners[:, 2, 2], corners[:, 3, 2] = z0, z0, z1, z1
    return corners


def front_rect(y: float, x0: Floats, x1: Floats, z0: Floats, z1: Floats) -> Floats:
    """Rectangles [N, 4, 3] on a wall across the street."""
    corners = street_rect(y, x0, x1, z0, z1)
    return corners[:, :, [1, 0, 2]]


def _one(*values: float) -> list[Floats]:
    return [np.array([value]) for value in values]


def draw_house(builder: Builder, house: House, flank: Flank) -> None:
    """One house: its end wall, its street wall, windows, shop and roof."""
    side, surface = flank.side, LEFT_WALL if flank.side < 0 else RIGHT_WALL
    x = side * (flank.wall + house.back)
    deep = x + side * 11.0
    end = front_rect(house.near, *_one(min(x, deep), max(x, deep), 0.0, house.height))
    builder.quads(end, [_scaled(house.wall, 0.86)], FRONT)
    if house.pitched:
        _gable(builder, house, x, deep)
    wall = street_rect(x, *_one(house.near, house.far, 0.0, house.height))
    builder.quads(wall, [house.wall], surface)
    base = street_rect(x, *_one(house.near, house.far, 0.0, 0.6))
    builder.quads(base, [_scaled(house.wall, 0.6)], surface)
    ledge = street_rect(x, *_one(house.near, house.far, house.height - 0.45, house.height))
    builder.quads(ledge, [_scaled(house.wall, 0.74)], surface)
    first = 0
    if house.shop is not None:
        _shop(builder, house, x, surface)
        first = 1
    _windows(builder, house, x, surface, first)


def _gable(builder: Builder, house: House, x: float, deep: float) -> None:
    """A pitched roof whose slope rises away from the street."""
    top, ridge = house.height, house.height + 2.6
    middle = (x + deep) / 2
    slope = np.array(
        [
            [
                [x, house.near, top],
                [x, house.far, top],
                [middle, house.far, ridge],
                [middle, house.near, ridge],
            ]
        ]
    )
    gable = np.array(
        [
            [
                [x, house.near, top],
                [deep, house.near, top],
                [middle, house.near, ridge],
                [middle, house.near, ridge],
            ]
        ]
    )
    builder.quads(gable, [_scaled(house.wall, 0.82)], FRONT)
    builder.quads(slope, [house.roof], FRONT)


def _windows(builder: Builder, house: House, x: float, surface: int, first: int) -> None:
    floors = int(house.height / house.floor)
    width = (house.far - house.near) / house.bays
    bay, floor = np.meshgrid(np.arange(house.bays), np.arange(first, floors))
    if bay.size == 0:
        return
    y = house.near + (bay.ravel() + 0.5) * width
    z = floor.ravel() * house.floor + 0.95
    half = min(0.62, width * 0.3) * np.ones(len(y))
    tall = house.floor * 0.5
    low = z.copy()
    if first == 0:
        door = (floor.ravel() == 0) & (bay.ravel() == house.bays // 2)
        low[door] = 0.05
    frames = street_rect(x, y - half - 0.09, y + half + 0.09, low - 0.09, z + tall + 0.09)
    panes = street_rect(x, y - half, y + half, low, z + tall)
    builder.quads(frames, [house.frame], surface, 2.2)
    builder.quads(panes, *builder.glass(len(y), surface), 0.9)
    bars = street_rect(x, y - 0.03, y + 0.03, low, z + tall)
    builder.quads(bars, [house.frame], surface, 1.0)
    sills = street_rect(x, y - half - 0.18, y + half + 0.18, z - 0.2, z - 0.09)
    builder.quads(sills, [_scaled(house.wall, 1.14)], surface, 1.0)


def _shop(builder: Builder, house: House, x: float, surface: int) -> None:
    assert house.shop is not None
    near, far = house.near + 0.5, house.far - 0.5
    builder.quads(street_rect(x, *_one(near, far, 0.1, 2.9)), [_scaled(house.shop, 0.7)], surface)
    count = max(2, house.bays)
    edges = np.linspace(near + 0.25, far - 0.25, count + 1)
    panes = street_rect(
        x, edges[:-1] + 0.12, edges[1:] - 0.12, np.full(count, 0.5), np.full(count, 2.3)
    )
    lit = builder.lit_share > 0 and builder.rng.random() < 0.7
    tone: Paint = (150.0, 215.0, 245.0) if lit else (118.0, 106.0, 92.0)
    builder.quads(panes, [tone], LIT if lit else surface, 1.0)
    board = street_rect(x, *_one(near, far, 2.4, 2.95))
    builder.quads(board, [house.shop], surface)
    letters = np.arange(near + 1.0, min(far - 1.0, near + 5.0), 0.45)
    if len(letters):
        text = street_rect(
            x, letters, letters + 0.28, np.full(len(letters), 2.54), np.full(len(letters), 2.82)
        )
        builder.quads(text, [(230.0, 235.0, 235.0)], surface, 1.0)


def _scaled(paint: Paint, factor: float) -> Paint:
    return (
        min(paint[0] * factor, 250.0),
        min(paint[1] * factor, 250.0),
        min(paint[2] * factor, 250.0),
    )


def draw_street_end(builder: Builder, plan: Plan) -> None:
    """A row of houses across the far end of the street."""
    rng, y, x = builder.rng, plan.end + 9.0, -70.0
    while x < 70.0:
        width, height = float(rng.uniform(9, 18)), float(rng.uniform(6, 15))
        wall = _scaled(_float(WALLS[int(rng.integers(len(WALLS)))]), 0.95)
        builder.quads(front_rect(y, *_one(x, x + width, 0.0, height)), [wall], FRONT)
        bay, floor = np.meshgrid(np.arange(4), np.arange(int(height / 3.1)))
        left = x + (bay.ravel() + 0.3) * width / 4
        low = floor.ravel() * 3.1 + 1.0
        panes = front_rect(y, left, left + width * 0.1, low, low + 1.5)
        builder.quads(panes, *builder.glass(len(left), FRONT), 0.8)
        x += width


def draw_hedges(builder: Builder, flank: Flank, end: float) -> None:
    """Bushes and hedges in the gardens of one side, from the far end to the near one."""
    if flank.wall <= flank.front:
        return
    rng, camera = builder.rng, builder.view.camera
    leaves = np.array(LEAVES[int(rng.integers(len(LEAVES) - 2))], dtype=np.float64)
    puffs = make_puffs(26, rng)
    turn = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    middles = puffs[:, :2] * np.array([1.0, 0.8])
    rings = middles[:, None] + circle * (1.3 * puffs[:, 3])[:, None, None]
    bright = 0.72 + 0.14 * puffs[:, 4] - 0.25 * puffs[:, 1] + 0.1 * puffs[:, 2]
    tones = (leaves * bright[:, None]).tolist()
    x = flank.side * (flank.front + 0.6)
    for y in np.arange(end, 1.5, -1.7).tolist():
        if rng.random() < 0.3:
            continue
        size = float(rng.uniform(0.45, 0.9))
        (spot,), (depth,) = camera.project(np.array([[x, y, size * 0.6]]))
        if depth < 1.0:
            continue
        scale = builder.view.scale(float(depth)) * size
        if scale < 1.5:
            continue
        base = to_corners(
            spot + np.array([[-0.8, 0.7], [0.8, 0.7], [0.7, -0.3], [-0.7, -0.3]]) * scale
        )
        builder.canvas.fill(base, (leaves * 0.55).tolist(), LEAF)
        step = 1 if scale > 14 else 3
        for outline, tone in zip(
            to_corners(spot + rings[::step] * scale), tones[::step], strict=True
        ):
            builder.canvas.fill(outline, tone, LEAF)
