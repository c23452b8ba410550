"""What every data set with known answers offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.families import Task
from trt_perception.frames import Frame

IGNORED = 255
"""Pixels that are not judged, in semantic truth."""


@dataclass(frozen=True)
class TrueObjects:
    """The objects of one image.

    Attributes:
        boxes: float64 [N, 4], x1 y1 x2 y2 in pixels.
        class_ids: int64 [N], indices into the data set's classes.
        crowd: bool [N], True for a region of many that need not be found one by one.
        areas: float64 [N], pixels.
        masks: run lengths as the COCO tools have them, one per object; None without masks.
    """

    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    masks: tuple[dict[str, Any], ...] | None = None


Truth = TrueObjects | NDArray[np.uint8]
"""Objects, or uint8 [H, W] indices into the data set's classes with `IGNORED`."""


@dataclass(frozen=True)
class Sample:
    """One image with its answers."""

    name: str
    frame: Frame
    truth: Truth


class Dataset(ABC):
    """Images with known answers, for one task.

    Attributes:
        name: as the user wrote it.
        task: what the answers are for.
        class_names: of the classes that are judged.
        categories: category of each class, by class name; empty where there are none.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        class_names: tuple[str, ...],
        categories: Mapping[str, str] | None = None,
    ) -> None:
        """State what is in it."""
        self.name = name
        self.task = task
        self.class_names = class_names
        self.categories = dict(categories or {})

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def label(self, index: int) -> str:
        """Name of an image, without reading it."""

    @abstractmethod
    def read(self, index: int) -> Sample:
        """One image with its answers.

        Raises:
            SourceError: the image or its answers cannot be read.
        """
