"""The synthetic street as a data set: one still of each scene of a split, with exact truth."""

from __future__ import annotations

import numpy as np

from trt_perception.errors import EvaluationError
from trt_perception.evaluation.dataset import Dataset, Sample, TrueObjects
from trt_perception.evaluation.run_lengths import encoded
from trt_perception.families import Task
from trt_perception.frames import Frame
from trt_perception.scenes import (
    SEMANTIC_CLASSES,
    THING_CLASSES,
    SceneFrame,
    Split,
    StreetScene,
    scene_seed,
)

MOMENT_S = 5.0
"""The time within each scene at which it is looked at."""

DEFAULT_SCENES = 500

CATEGORIES = {
    'road': 'flat',
    'pavement': 'flat',
    'building': 'construction',
    'vegetation': 'nature',
    'sky': 'sky',
    'car': 'vehicle',
    'lorry': 'vehicle',
    'pedestrian': 'human',
    'cyclist': 'human',
    'dog': 'animal',
    'cat': 'animal',
    'traffic_light': 'object',
    'traffic_sign': 'object',
}


class SyntheticDataset(Dataset):
    """The first scenes of a split.

    Things that the truth leaves out as too small or too hidden count as mistakes when they are
    found; the semantic truth knows every pixel.
    """

    def __init__(self, split: Split, count: int, size: tuple[int, int], task: Task) -> None:
        """Choose the scenes.

        Args:
            split: which ones.
            count: how many.
            size: (width, height) of the pictures.
            task: what the truth is for.
        """
        names = SEMANTIC_CLASSES if task == 'semantic' else THING_CLASSES
        super().__init__(f'synthetic:{split.name.lower()}:{count}', task, names, CATEGORIES)
        self._split = split
        self._count = count
        self._size = size

    def __len__(self) -> int:
        return self._count

    def label(self, index: int) -> str:
        """See `Dataset`."""
        return f'{index:06d}'

    def read(self, index: int) -> Sample:
        """Render a scene."""
        scene = StreetScene(scene_seed(self._split, index), self._size).render(MOMENT_S)
        frame = Frame.from_bgr(scene.image)
        if self.task == 'semantic':
            return Sample(self.label(index), frame, scene.semantic)
        return Sample(self.label(index), frame, _objects(scene, masks=self.task == 'instance'))


def _objects(scene: SceneFrame, *, masks: bool) -> TrueObjects:
    boxes = scene.boxes.astype(np.float64)
    count = len(boxes)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    runs = None
    if masks:
        of_each = [scene.instance_ids == index + 1 for index in range(count)]
        runs = tuple(encoded(mask) for mask in of_each)
        areas = np.array([mask.sum() for mask in of_each], np.float64)
    return TrueObjects(boxes, scene.class_ids, np.zeros(count, np.bool_), areas, runs)


def open_synthetic(rest: str, size: tuple[int, int], task: Task) -> SyntheticDataset:
    """From what stands behind 'synthetic:', such as 'test' or 'test:100'.

    Raises:
        EvaluationError: no such split, or the number is none.
    """
    name, _, number = rest.partition(':')
    splits = {split.name.lower(): split for split in Split}
    if name not in splits:
        raise EvaluationError(
            f'data set synthetic:{rest}: there is no split {name!r}; choose one of '
            f'{", ".join(splits)}, as in synthetic:test:100'
        )
    if number and (not number.isdecimal() or not int(number)):
        raise EvaluationError(
            f'data set synthetic:{rest}: {number!r} is not a number of scenes of at least 1'
        )
    return SyntheticDataset(splits[name], int(number or DEFAULT_SCENES), size, task)
