"""What the package finds in one image. Coordinates are pixels of the source image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_perception.palette import color_mask

UNLABELLED = 255
"""Class id of a pixel that no class claims, in semantic maps."""


@dataclass(frozen=True)
class InstanceMask:
    """The mask of one object, cut out to its box.

    Attributes:
        x, y: source pixel of the cut's upper left corner.
        bits: bool [h, w], True where the object is; may be [0, 0].
    """

    x: int
    y: int
    bits: NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """Objects found in one image, in order of falling score.

    Attributes:
        boxes: float32 [N, 4], x1 y1 x2 y2 in source pixels, inside the image.
        scores: float32 [N], in 0..1.
        class_ids: int64 [N], indices into the model's classes.
        size: (width, height) of the source image.
        masks: one per object for instance segmentation, else None.
        track_ids: int64 [N], -1 where untracked; None when no tracker runs.
        key_points: float32 [N, K, 3], x and y in source pixels (they may lie outside the image)
            and the confidence in 0..1, for pose and face models; else None.
        rotated_boxes: float32 [N, 5], centre x, centre y, width, height in source pixels and the
            angle in radians, for oriented boxes; else None. The angle turns the x axis towards
            the y axis, which is clockwise in the picture. `boxes` then enclose these.
        embeddings: float32 [N, D], of length 1, what each object looks like; else None.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    size: tuple[int, int]
    masks: Sequence[InstanceMask] | None = None
    track_ids: NDArray[np.int64] | None = None
    key_points: NDArray[np.float32] | None = None
    rotated_boxes: NDArray[np.float32] | None = None
    embeddings: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, size: tuple[int, int], *, with_masks: bool = False) -> Detections:
        """No objects in an image of `size` (width, height)."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            size,
            [] if with_masks else None,
        )

    def id_image(self) -> NDArray[np.uint16]:
        """uint16 [H, W]: value i belongs to object i-1, 0 to none; higher scores lie on top."""
        width, height = self.size
        image = np.zeros((height, width), np.uint16)
        masks = self.masks or ()
        for index in range(len(masks) - 1, -1, -1):
            mask = masks[index]
            rows, columns = mask.bits.shape
            cut = image[mask.y : mask.y + rows, mask.x : mask.x + columns]
            cut[mask.bits] = index + 1
        return image


@dataclass(frozen=True)
class ColoredMap:
    """A class map in colours that was made where the map was made.

    Attributes:
        pixels: uint8 [H, W, 3] RGB, as of `SegmentationMap.color_image`.
        class_ids: the map that it shows.
        colors: uint8 [N, 3] RGB, one per class, in which it shows them.
    """

    pixels: NDArray[np.uint8]
    class_ids: NDArray[np.uint8]
    colors: NDArray[np.uint8]


@dataclass(frozen=True)
class SegmentationMap:
    """The class of every pixel of one image.

    Attributes:
        class_ids: uint8 [H, W], index into the model's classes, 255 unlabelled.
        colored: the same in colours, where a GPU has made that beside it.
    """

    class_ids: NDArray[np.uint8]
    colored: ColoredMap | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the source image."""
        return self.class_ids.shape[1], self.class_ids.shape[0]

    def color_image(self, colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB; black where unlabelled. Made now unless a GPU has made it.

        Args:
            colors: uint8 [N, 3] RGB, one per class.
        """
        made = self.ready_image(colors)
        return color_mask(self.class_ids, colors) if made is None else made

    def ready_image(self, colors: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """What `color_image` gives, if it is there already; else None."""
        made = self.colored
        if made is None or made.class_ids is not self.class_ids:
            return None
        return made.pixels if np.array_equal(made.colors, colors) else None


@dataclass(frozen=True)
class Classification:
    """What one image shows as a whole, the most likely class first.

    Attributes:
        class_ids: int64 [K], indices into the model's classes.
        scores: float32 [K], in 0..1, falling.
        size: (width, height) of the source image.
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    size: tuple[int, int]


@dataclass(frozen=True)
class Embedding:
    """What one image looks like, as a direction: similar images have a cosine near 1.

    Attributes:
        vector: float32 [D], of length 1.
        size: (width, height) of the source image.
    """

    vector: NDArray[np.float32]
    size: tuple[int, int]


Result = Detections | SegmentationMap | Classification | Embedding
"""What a decoder may find in one image."""


@dataclass(frozen=True)
class DecodeSettings:
    """What may change while the pipeline runs.

    Attributes:
        score: objects below it are left out, 0..1.
        iou: of two boxes of one class that overlap more, the lower score is left out, 0..1.
        max_detections: at most so many objects an image, at least 1.
        class_filter: only these class ids are kept; None keeps all.
    """

    score: float = 0.25
    iou: float = 0.6
    max_detections: int = 300
    class_filter: frozenset[int] | None = field(default=None)
