"""What a detector would say of the synthetic street: true boxes with noise, misses and clutter.

The same split, number and rate give the same sequence on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes import THING_CLASSES, Split, StreetScene, scene_seed

SIZE = (640, 384)
RATES_HZ = (10.0, 15.0, 30.0)
"""Frames a second, by turns from sequence to sequence."""

DENSITIES = (1.0, 2.0)
"""Things in the street, by turns: as many as usual, and a crowd."""

JITTER = 0.035
"""Standard deviation of each side of a box, as a share of its width or height."""

MISS_RATE = 0.06
"""Share of well visible objects that are missed, beside those lost in runs."""

MISS_RUNS_HZ = 0.05
MISS_RUN_S = 0.6
"""An object is lost so often, and for so long on average."""

CLUTTER = 0.4
"""False objects in an image on average; each stays for one to three images."""

CONFUSED = 0.01
"""Share of objects that are given another class."""


@dataclass(frozen=True)
class Sequence:
    """Frames of one street; each list has one array a frame.

    Attributes:
        stamps_ns: of the frames.
        true_boxes, true_ids, true_classes: float32 [T, 4], int64 [T], int64 [T].
        boxes, scores, classes: of the detector, float32 [N, 4], float32 [N], int64 [N].
        rate_hz: frames a second.
    """

    stamps_ns: list[int]
    true_boxes: list[NDArray[np.float32]]
    true_ids: list[NDArray[np.int64]]
    true_classes: list[NDArray[np.int64]]
    boxes: list[NDArray[np.float32]]
    scores: list[NDArray[np.float32]]
    classes: list[NDArray[np.int64]]
    rate_hz: float


def make_sequence(split: Split, number: int, frames: int) -> Sequence:
    """The sequence of a scene of a split."""
    rate = RATES_HZ[number % len(RATES_HZ)]
    seed = scene_seed(split, number)
    scene = StreetScene(seed, SIZE, density=DENSITIES[number // len(RATES_HZ) % len(DENSITIES)])
    detector = Detector(seed, rate)
    sequence = Sequence([], [], [], [], [], [], [], rate)
    for index in range(frames):
        truth = scene.render(index / rate)
        found = detector.look(truth.boxes, truth.class_ids, truth.track_ids, truth.visibility)
        sequence.stamps_ns.append(round((index + 1) / rate * 1e9))
        sequence.true_boxes.append(truth.boxes)
        sequence.true_ids.append(truth.track_ids)
        sequence.true_classes.append(truth.class_ids)
        for kept, part in zip(
            (sequence.boxes, sequence.scores, sequence.classes), found, strict=True
        ):
            kept.append(part)
    return sequence


class Detector:
    """Sees what is true, imperfectly: the less of an object is visible, the worse."""

    def __init__(self, seed: int, rate_hz: float) -> None:
        """`seed` settles every mistake; `rate_hz` frames a second."""
        self._random = np.random.Generator(np.random.PCG64(seed + 1))
        self._rate = rate_hz
        self._lost: dict[int, int] = {}
        self._clutter: list[list[float]] = []

    def look(
        self,
        boxes: NDArray[np.float32],
        classes: NDArray[np.int64],
        ids: NDArray[np.int64],
        visibility: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Boxes, scores and classes of one frame, in order of falling score."""
        random = self._random
        small = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) < 16
        clear = np.clip(visibility - 0.15 * small, 0, 1)
        scores = np.clip(0.3 + 0.55 * clear + random.normal(0, 0.09, len(boxes)), 0.05, 0.99)
        missed = random.random(len(boxes)) < MISS_RATE + 0.35 * (1 - clear) ** 2
        missed |= np.array([self._is_lost(name) for name in ids.tolist()], bool)
        sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        noisy = boxes + random.normal(0, 1, boxes.shape) * (JITTER * sizes + 0.4)
        confused = random.random(len(boxes)) < CONFUSED
        others = random.integers(0, len(THING_CLASSES), len(boxes))
        classes = np.where(confused, others, classes)
        kept = ~missed & (scores >= 0.1)
        found = [*np.column_stack([noisy, scores, classes])[kept].tolist(), *self._false()]
        rows = np.array(found, np.float64).reshape(-1, 6)
        rows = rows[np.argsort(-rows[:, 4], kind='stable')]
        limits = np.tile(np.array(SIZE, np.float64), 2)
        whole = np.clip(rows[:, :4], 0, limits).astype(np.float32)
        good = (whole[:, 2:] > whole[:, :2]).all(axis=1)
        return whole[good], rows[good, 4].astype(np.float32), rows[good, 5].astype(np.int64)

    def _is_lost(self, name: int) -> bool:
        left = self._lost.get(name, 0)
        if left == 0 and self._random.random() < MISS_RUNS_HZ / self._rate:
            left = 1 + int(self._random.exponential(MISS_RUN_S) * self._rate)
        self._lost[name] = max(left - 1, 0)
        return left > 0

    def _false(self) -> list[list[float]]:
        """Rows x1 y1 x2 y2 score class of what is not there, most of it with low scores."""
        random = self._random
        self._clutter = [row for row in self._clutter if random.random() < 0.4]
        for _ in range(int(random.poisson(CLUTTER * 0.6))):
            x, y = random.uniform(0, SIZE[0]), random.uniform(SIZE[1] * 0.25, SIZE[1])
            tall = float(np.exp(random.uniform(np.log(14), np.log(110))))
            wide = tall * float(random.uniform(0.4, 2.0))
            score = float(np.clip(0.12 + random.exponential(0.17), 0.1, 0.9))
            box = [x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2]
            self._clutter.append([*box, score, float(random.integers(len(THING_CLASSES)))])
        return [
            [value + float(random.normal(0, 1.5)) for value in row[:4]] + row[4:]
            for row in self._clutter
        ]


def with_drops(sequence: Sequence, seed: int, share: float = 0.2) -> Sequence:
    """The same without a share of its frames, as a busy robot would see it."""
    random = np.random.Generator(np.random.PCG64(seed))
    kept = np.flatnonzero(random.random(len(sequence.boxes)) >= share).tolist()
    return Sequence(
        *([part[index] for index in kept] for part in _frames_of(sequence)),
        rate_hz=sequence.rate_hz,
    )


def crowd(objects: int, frames: int) -> Sequence:
    """Objects that move at random, all of them seen in each frame, to take the time with."""
    random = np.random.Generator(np.random.PCG64(7))
    corners = random.uniform((0, 0), SIZE, (objects, 2))
    sizes = random.uniform(16, 60, (objects, 2))
    speeds = random.normal(0, 1.0, (objects, 2))
    classes = np.arange(objects) % len(THING_CLASSES)
    sequence = Sequence([], [], [], [], [], [], [], 30.0)
    for index in range(frames):
        low = corners + index * speeds + random.normal(0, 1, (objects, 2))
        boxes = np.concatenate([low, low + sizes], axis=1).astype(np.float32)
        made = (round((index + 1) / 30 * 1e9), boxes, np.arange(objects), classes)
        scores = random.uniform(0.3, 0.95, objects).astype(np.float32)
        for part, value in zip(_frames_of(sequence), (*made, boxes, scores, classes), strict=True):
            part.append(value)
    return sequence


def made_up_looks(sequence: Sequence, length: int = 64) -> list[NDArray[np.float32]]:
    """An embedding for each detection, float32 [N, length] a frame.

    Every true object has a direction of its own, with noise of 0.4 of its length (a cosine
    distance of 0.14 between two sights of it); what is false looks like nothing else.
    """
    random = np.random.Generator(np.random.PCG64(11))
    known: dict[int, NDArray[np.float64]] = {}
    looks = []
    for truth, names, boxes in zip(
        sequence.true_boxes, sequence.true_ids, sequence.boxes, strict=True
    ):
        rows = random.normal(0, 1, (len(boxes), length))
        for row, box in enumerate(boxes):
            off = np.abs(truth - box).max(axis=1) if len(truth) else np.zeros(0)
            if len(off) and off.min() < 0.3 * float(max(box[2] - box[0], box[3] - box[1])):
                name = int(names[int(off.argmin())])
                if name not in known:
                    known[name] = random.normal(0, 1, length)
                rows[row] = known[name] + 0.4 * rows[row]
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        looks.append(unit.astype(np.float32))
    return looks


def _frames_of(sequence: Sequence) -> tuple[list[Any], ...]:
    """Its lists, in their order."""
    return (
        sequence.stamps_ns,
        sequence.true_boxes,
        sequence.true_ids,
        sequence.true_classes,
        sequence.boxes,
        sequence.scores,
        sequence.classes,
    )
