"""How the camera moved between two images, from what stands still in them."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.allowed_values import check_choice

Grey = NDArray[np.uint8]
Points = NDArray[np.float32]
Moved = NDArray[np.float64]

_WIDTH = 320
"""Images are shrunk to this width."""

_SMALLEST = 32
"""Shrunken images with fewer rows or columns show too little."""

_POINTS = 200
_FEWEST = 8
"""Fewer points that agree say nothing about the picture as a whole."""

_TOLERANCE_PX = 1.5
"""Of the shrunken image, for points that agree."""

_MOST_TURN = 0.5
_MOST_ZOOM = 1.5
"""Turn in radians, and zoom, from which on an estimate is taken for a mistake."""


class CameraMotion:
    """Estimates turn, zoom and shift of the picture from one image to the next.

    Corners outside of the objects are followed by sparse optical flow (Lucas and Kanade 1981) or
    found again by ORB (Rublee et al. 2011); RANSAC finds the similarity that most of them agree
    on. BoT-SORT (Aharon et al. 2022) moves its tracks this way.

    Attributes:
        method: 'flow' or 'orb'.
        before: the image before, grey and shrunken, and where its background is; None at first.
    """

    def __init__(self, method: str) -> None:
        """Start without an image.

        Args:
            method: 'flow' or 'orb'.

        Raises:
            ParameterError: it is neither.
        """
        check_choice('camera motion', method, ('flow', 'orb'))
        self.method = method
        self.before: tuple[Grey, Grey] | None = None

    def estimate(self, image: Grey, boxes: NDArray[np.float32]) -> Moved | None:
        """Where the picture went since the last call.

        Args:
            image: uint8 [H, W, 3] BGR.
            boxes: [N, 4] x1 y1 x2 y2 of the objects in it, which may move by themselves: their
                corners are not used.

        Returns:
            float64 [2, 3]: takes a pixel of the image before to its place in this one. None for
            the first image, one of another size, and where too little can be seen.
        """
        height, width = image.shape[:2]
        factor = min(1.0, _WIDTH / width)
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        background = _without(boxes, grey, factor)
        before, self.before = self.before, (grey, background)
        if before is None or before[0].shape != grey.shape or min(grey.shape) < _SMALLEST:
            return None
        if self.method == 'flow':
            origins, found = _by_flow(*before, grey)
        else:
            origins, found = _by_orb(before, (grey, background))
        moved = _similarity(origins, found)
        if moved is not None:
            moved[:, 2] /= factor
        return moved


def _without(boxes: NDArray[np.float32], grey: Grey, factor: float) -> Grey:
    """255 where there is no object, else 0; all 255 where objects fill nearly everything."""
    mask = np.full(grey.shape, 255, np.uint8)
    finite = boxes[np.isfinite(boxes).all(axis=1)] * factor
    limits = np.array([grey.shape[1], grey.shape[0]] * 2)
    for x1, y1, x2, y2 in np.clip(finite, 0, limits).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    if np.count_nonzero(mask) < 0.1 * mask.size:
        mask[:] = 255
    return mask


def _by_flow(before: Grey, background: Grey, after: Grey) -> tuple[Points, Points]:
    """Corners before and after, float32 [N, 2] each."""
    corners = cv2.goodFeaturesToTrack(before, _POINTS, 0.01, 7, mask=background)
    if corners is None:
        return _nothing()
    found, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    good = status[:, 0] == 1
    return corners[good, 0], found[good, 0]


def _by_orb(before: tuple[Grey, Grey], after: tuple[Grey, Grey]) -> tuple[Points, Points]:
    """Corners before and after, float32 [N, 2] each."""
    orb = cv2.ORB.create(_POINTS)
    first, first_looks = orb.detectAndCompute(*before)
    second, second_looks = orb.detectAndCompute(*after)
    if first_looks is None or second_looks is None:
        return _nothing()
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first_looks, second_looks)
    origins = np.array([first[m.queryIdx].pt for m in matches], np.float32).reshape(-1, 2)
    found = np.array([second[m.trainIdx].pt for m in matches], np.float32).reshape(-1, 2)
    return origins, found


def _similarity(origins: Points, found: Points) -> Moved | None:
    """The turn, zoom and shift that most points agree on, float64 [2, 3]."""
    if len(origins) < _FEWEST:
        return None
    moved, agree = cv2.estimateAffinePartial2D(
        origins, found, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE_PX
    )
    if moved is None or np.count_nonzero(agree) < _FEWEST or not np.isfinite(moved).all():
        return None
    turn = math.atan2(moved[1, 0], moved[0, 0])
    zoom = math.hypot(moved[0, 0], moved[1, 0])
    if abs(turn) > _MOST_TURN or not 1 / _MOST_ZOOM < zoom < _MOST_ZOOM:
        return None
    return np.asarray(moved, np.float64)


def _nothing() -> tuple[Points, Points]:
    return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
