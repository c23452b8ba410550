"""A COCO annotation file with its folder of images, as a data set of boxes or masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from trt_perception.errors import EvaluationError, SourceError
from trt_perception.evaluation.dataset import Dataset, Sample, TrueObjects
from trt_perception.evaluation.images import read_image
from trt_perception.evaluation.run_lengths import from_annotation
from trt_perception.families import Task


class _Image(msgspec.Struct, frozen=True):
    id: int
    file_name: str
    width: int
    height: int


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Annotation(msgspec.Struct, frozen=True):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int = 0
    segmentation: Any = None


class _File(msgspec.Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class CocoDataset(Dataset):
    """The images that an annotation file lists."""

    def __init__(self, annotations: Path, images: Path, task: Task) -> None:
        """Read and check the annotation file.

        Args:
            annotations: the JSON file.
            images: the folder that its file names are relative to.
            task: 'detect' for boxes, 'instance' for boxes and masks.

        Raises:
            EvaluationError: the file or the folder is missing, or the file is not COCO's JSON,
                names what it does not hold, or lacks masks that are asked for.
        """
        file = _read(annotations)
        names = tuple(category.name for category in file.categories)
        super().__init__(f'coco:{annotations.name}', task, names)
        if not images.is_dir():
            raise EvaluationError(f'data set coco: there is no folder of images {images}')
        _check(annotations, file, masks=task == 'instance')
        self._folder = images
        self._images = sorted(file.images, key=lambda image: image.id)
        self._index = {category.id: i for i, category in enumerate(file.categories)}
        self._objects: dict[int, list[_Annotation]] = {image.id: [] for image in file.images}
        for annotation in file.annotations:
            self._objects[annotation.image_id].append(annotation)

    def __len__(self) -> int:
        return len(self._images)

    def label(self, index: int) -> str:
        """See `Dataset`."""
        return self._images[index].file_name

    def read(self, index: int) -> Sample:
        """See `Dataset`."""
        image = self._images[index]
        frame = read_image(self._folder / image.file_name)
        if (frame.width, frame.height) != (image.width, image.height):
            raise SourceError(
                f'{image.file_name}: has {frame.width}x{frame.height} pixels, the annotations '
                f'say {image.width}x{image.height}'
            )
        return Sample(image.file_name, frame, self._truth(image))

    def _truth(self, image: _Image) -> TrueObjects:
        entries = self._objects[image.id]
        boxes = np.array([e.bbox for e in entries], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        areas = [e.bbox[2] * e.bbox[3] if e.area is None else e.area for e in entries]
        masks = None
        if self.task == 'instance':
            masks = tuple(_runs(entry, image) for entry in entries)
        return TrueObjects(
            boxes,
            np.array([self._index[e.category_id] for e in entries], np.int64),
            np.array([bool(e.iscrowd) for e in entries], np.bool_),
            np.array(areas, np.float64),
            masks,
        )


def _runs(entry: _Annotation, image: _Image) -> dict[str, Any]:
    try:
        return from_annotation(entry.segmentation, (image.width, image.height))
    except (ValueError, TypeError) as error:
        raise SourceError(f'{image.file_name}: annotation {entry.id}: {error}') from error


def _read(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise EvaluationError(f'data set coco: {path}: cannot be read: {error}') from error
    except msgspec.DecodeError as error:
        raise EvaluationError(
            f'data set coco: {path}: {error}. Expected an object with images (id, file_name, '
            'width, height), annotations (id, image_id, category_id, bbox) and categories '
            '(id, name)'
        ) from error


def _check(path: Path, file: _File, *, masks: bool) -> None:
    where = f'data set coco: {path}'
    if not file.images:
        raise EvaluationError(f'{where}: lists no images')
    kinds: tuple[tuple[str, Iterable[object]], ...] = (
        ('image id', (image.id for image in file.images)),
        ('category id', (category.id for category in file.categories)),
        ('category name', (category.name for category in file.categories)),
        ('annotation id', (annotation.id for annotation in file.annotations)),
    )
    for what, values in kinds:
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise EvaluationError(f'{where}: {what} {twice[0]!r} stands there twice')
    for image in file.images:
        name = PurePosixPath(image.file_name)
        if name.is_absolute() or '..' in name.parts:
            raise EvaluationError(f'{where}: file name {image.file_name!r} leaves the folder')
    image_ids = {image.id for image in file.images}
    category_ids = {category.id for category in file.categories}
    for entry in file.annotations:
        fault = _fault(entry, image_ids, category_ids, masks)
        if fault:
            raise EvaluationError(f'{where}: annotation {entry.id} {fault}')


def _fault(entry: _Annotation, images: set[int], categories: set[int], masks: bool) -> str:
    if entry.image_id not in images:
        return f'is of image {entry.image_id}, which is not listed'
    if entry.category_id not in categories:
        return f'is of category {entry.category_id}, which is not listed'
    if not all(map(np.isfinite, entry.bbox)) or min(entry.bbox[2:]) < 0:
        return f'has the box {list(entry.bbox)}; expected x, y, width and height, not negative'
    if masks and not entry.segmentation:
        return 'has no segmentation, which measuring masks needs'
    return ''


def open_coco(rest: str, task: Task) -> CocoDataset:
    """From what stands behind 'coco:', ANNOTATIONS.json:IMAGES.

    Raises:
        EvaluationError: see `CocoDataset`.
    """
    annotations, _, images = rest.rpartition(':')
    if not annotations or not images:
        raise EvaluationError(
            f'data set coco:{rest}: name both, as in coco:instances_val.json:IMAGES'
        )
    return CocoDataset(Path(annotations).expanduser(), Path(images).expanduser(), task)
