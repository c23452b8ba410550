"""The folders of the Cityscapes data set: leftImg8bit and gtFine, semantic truth.

Layout, label ids and categories: cityscapes-dataset.com and its public scripts (labels.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import EvaluationError, SourceError
from trt_perception.evaluation.dataset import IGNORED, Dataset, Sample
from trt_perception.evaluation.images import read_image


class Label(NamedTuple):
    """One class that the benchmark judges; its place in `LABELS` is the train id."""

    name: str
    label_id: int
    category: str


LABELS = (
    Label('road', 7, 'flat'),
    Label('sidewalk', 8, 'flat'),
    Label('building', 11, 'construction'),
    Label('wall', 12, 'construction'),
    Label('fence', 13, 'construction'),
    Label('pole', 17, 'object'),
    Label('traffic light', 19, 'object'),
    Label('traffic sign', 20, 'object'),
    Label('vegetation', 21, 'nature'),
    Label('terrain', 22, 'nature'),
    Label('sky', 23, 'sky'),
    Label('person', 24, 'human'),
    Label('rider', 25, 'human'),
    Label('car', 26, 'vehicle'),
    Label('truck', 27, 'vehicle'),
    Label('bus', 28, 'vehicle'),
    Label('train', 31, 'vehicle'),
    Label('motorcycle', 32, 'vehicle'),
    Label('bicycle', 33, 'vehicle'),
)
IMAGE_END = '_leftImg8bit.png'
LABEL_ENDS = ('_gtFine_labelIds.png', '_gtFine_labelTrainIds.png')
"""Endings of the truth's files; where both are there, the first is read."""


def _tables() -> dict[str, NDArray[np.uint8]]:
    by_label_id = np.full(256, IGNORED, np.uint8)
    by_train_id = np.full(256, IGNORED, np.uint8)
    for index, label in enumerate(LABELS):
        by_label_id[label.label_id] = index
        by_train_id[index] = index
    return {LABEL_ENDS[0]: by_label_id, LABEL_ENDS[1]: by_train_id}


_TABLES = _tables()
"""From a pixel of the file to an index into `LABELS`, by the file's ending."""


class CityscapesDataset(Dataset):
    """One split of the data set."""

    def __init__(self, folder: Path, split: str) -> None:
        """List the split's images.

        Args:
            folder: holds leftImg8bit and gtFine.
            split: such as 'val'.

        Raises:
            EvaluationError: the folders are missing or hold no images.
        """
        super().__init__(
            f'cityscapes:{split}',
            'semantic',
            tuple(label.name for label in LABELS),
            {label.name: label.category for label in LABELS},
        )
        for part in ('leftImg8bit', 'gtFine'):
            if not (folder / part / split).is_dir():
                raise EvaluationError(
                    f'data set cityscapes: there is no folder {folder / part / split}. Expected '
                    'FOLDER/leftImg8bit/SPLIT/CITY and FOLDER/gtFine/SPLIT/CITY; name the split '
                    'as in cityscapes:FOLDER:val'
                )
        images = folder / 'leftImg8bit' / split
        self._truth = folder / 'gtFine' / split
        self._files = sorted(images.glob(f'*/*{IMAGE_END}'))
        if not self._files:
            raise EvaluationError(f'data set cityscapes: {images} holds no files CITY/*{IMAGE_END}')

    def __len__(self) -> int:
        return len(self._files)

    def label(self, index: int) -> str:
        """See `Dataset`."""
        return self._files[index].name.removesuffix(IMAGE_END)

    def read(self, index: int) -> Sample:
        """See `Dataset`."""
        name = self.label(index)
        frame = read_image(self._files[index])
        truth = self._labels(self._truth / self._files[index].parent.name, name)
        if truth.shape != (frame.height, frame.width):
            raise SourceError(
                f'{name}: the truth has {truth.shape[1]}x{truth.shape[0]} pixels, the image '
                f'{frame.width}x{frame.height}'
            )
        return Sample(name, frame, truth)

    def _labels(self, folder: Path, name: str) -> NDArray[np.uint8]:
        for ending in LABEL_ENDS:
            path = folder / f'{name}{ending}'
            if not path.is_file():
                continue
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if image is None or image.ndim != 2 or image.dtype != np.uint8:
                raise SourceError(f'{path}: is not a picture of one channel of 8 bits')
            return np.asarray(_TABLES[ending][image])
        raise SourceError(
            f'{folder}: holds neither {name}{LABEL_ENDS[0]} nor {name}{LABEL_ENDS[1]}'
        )


def open_cityscapes(rest: str) -> CityscapesDataset:
    """From what stands behind 'cityscapes:', a folder and perhaps ':' and a split.

    Raises:
        EvaluationError: see `CityscapesDataset`.
    """
    whole = Path(rest).expanduser()
    head, colon, split = rest.rpartition(':')
    if whole.is_dir() or not colon:
        return CityscapesDataset(whole, 'val')
    return CityscapesDataset(Path(head).expanduser(), split)
