"""What an overlay shows, and how large."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trt_perception.errors import ParameterError


@dataclass(frozen=True)
class OverlayStyle:
    """What is drawn into a picture.

    Attributes:
        boxes: the frames around objects.
        labels: plates with the class name.
        scores: the score on the plates.
        track_ids: the track id on the plates, where there is one.
        masks: instance masks and semantic classes, blended in.
        key_points: the points of poses and faces, and the lines of their skeleton.
        status: the line at the top with frame rate, latency, model and backend.
        legend: the classes' colours, for semantic models.
        mask_opacity: 0 shows the image only, 1 the masks only.
        line_width: pixels; 0 takes what suits the image's width.
        font_scale: times the size that suits the image's width, above 0 and at most 10.

    Raises:
        ParameterError: a number is outside its range.
    """

    boxes: bool = True
    labels: bool = True
    scores: bool = True
    track_ids: bool = True
    masks: bool = True
    key_points: bool = True
    status: bool = True
    legend: bool = False
    mask_opacity: float = 0.45
    line_width: int = 0
    font_scale: float = 1.0

    def __post_init__(self) -> None:
        checks = (
            (0 <= self.mask_opacity <= 1, 'mask_opacity', 'must lie in 0..1'),
            (0 <= self.line_width <= 50, 'line_width', 'must lie in 0..50, 0 being automatic'),
            (0 < self.font_scale <= 10, 'font_scale', 'must be above 0 and at most 10'),
        )
        for holds, name, rule in checks:
            if not holds:
                raise ParameterError(f'overlay style: {name} is {getattr(self, name)}; it {rule}')

    def line_px(self, width: int) -> int:
        """Width of lines in an image of `width` pixels: 2 at 640, 3 at 1920."""
        return self.line_width or max(1, round(1.8 * math.sqrt(width / 640)))

    def font_px(self, width: int) -> int:
        """Height of letters in an image of `width` pixels: 13 at 640, 23 at 1920."""
        return max(8, round(13 * math.sqrt(width / 640) * self.font_scale))
