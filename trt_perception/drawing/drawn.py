"""What a picture shows: results with the names and colours that drawing takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.drawing.masks import Colors, Masks
from trt_perception.model_spec import ClassSpec
from trt_perception.palette import class_colors
from trt_perception.results import Classification, Detections, SegmentationMap


@dataclass(frozen=True)
class DrawnObjects:
    """Objects as a picture needs them; a list per attribute, one entry per object.

    Attributes:
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of the image.
        names: class names.
        colors: uint8 [N, 3] RGB.
        scores: float32 [N] in 0..1, or None.
        track_ids: '' where untracked; None when no tracker runs.
        masks: an id image of the image's size, or one cut per object; None without masks.
        key_points: float32 [N, K, 3], x, y in pixels and the confidence; None without.
        skeleton: pairs of indices into the K points, joined by lines.
        rotated_boxes: float32 [N, 5], see `results.Detections`; drawn in place of `boxes`.
    """

    boxes: NDArray[np.float32]
    names: Sequence[str]
    colors: Colors
    scores: NDArray[np.float32] | None = None
    track_ids: Sequence[str] | None = None
    masks: Masks | None = None
    key_points: NDArray[np.float32] | None = None
    skeleton: Sequence[tuple[int, int]] = ()
    rotated_boxes: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def of(
        cls,
        detections: Detections,
        classes: Sequence[ClassSpec],
        skeleton: Sequence[tuple[int, int]] = (),
    ) -> DrawnObjects:
        """From a result of a model with these classes and this skeleton."""
        tracks = detections.track_ids
        return cls(
            detections.boxes,
            [classes[index].name for index in detections.class_ids],
            class_colors(classes)[detections.class_ids],
            detections.scores,
            None if tracks is None else ['' if t < 0 else str(t) for t in tracks],
            detections.masks,
            detections.key_points,
            skeleton,
            detections.rotated_boxes,
        )


@dataclass(frozen=True)
class DrawnClasses:
    """The class of every pixel as a picture needs it.

    Attributes:
        class_ids: uint8 [H, W], 255 unlabelled.
        names: one per class.
        colors: uint8 [N, 3] RGB, one per class.
        picture: uint8 [H, W, 3] RGB, the classes in these colours, where that is there already.
    """

    class_ids: NDArray[np.uint8]
    names: Sequence[str]
    colors: Colors
    picture: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, result: SegmentationMap, classes: Sequence[ClassSpec]) -> DrawnClasses:
        """From a result of a model with these classes."""
        colors = class_colors(classes)
        names = [c.name for c in classes]
        return cls(result.class_ids, names, colors, result.ready_image(colors))


@dataclass(frozen=True)
class DrawnCaption:
    """What a picture shows as a whole, a line per class.

    Attributes:
        names: class names, the most likely first.
        scores: float32 [K] in 0..1.
        colors: uint8 [K, 3] RGB.
    """

    names: Sequence[str]
    scores: NDArray[np.float32]
    colors: Colors

    @classmethod
    def of(
        cls, result: Classification, classes: Sequence[ClassSpec], lines: int = 5
    ) -> DrawnCaption:
        """The first `lines` classes of a result of a model with these classes."""
        ids = result.class_ids[:lines]
        names = [classes[index].name for index in ids]
        return cls(names, result.scores[:lines], class_colors(classes)[ids])


@dataclass(frozen=True)
class Status:
    """The figures of the status line; what is None or '' is left out.

    Attributes:
        model: its name.
        backend: such as 'onnxruntime cpu fp32'.
        rate_hz: frames a second.
        latency_ms: of one frame.
        note: anything else.
    """

    model: str = ''
    backend: str = ''
    rate_hz: float | None = None
    latency_ms: float | None = None
    note: str = ''

    @property
    def text(self) -> str:
        """One line."""
        parts = [
            self.model,
            self.backend,
            '' if self.rate_hz is None else f'{self.rate_hz:.1f} fps',
            '' if self.latency_ms is None else f'{self.latency_ms:.1f} ms',
            self.note,
        ]
        return '  ·  '.join(part for part in parts if part)
