"""Faces turned upright and cut out, as recognition networks were trained on them.

Five landmarks are brought near five reference points by a rotation, one scale and a shift, found
by least squares: "Least-Squares Estimation of Transformation Parameters Between Two Point
Patterns", Umeyama 1991. The reference points are those published with ArcFace for 112x112.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FACE_SIZE = 112
"""Width and height of an aligned face, in pixels."""

REFERENCE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
"""float64 [5, 2]: left eye, right eye, nose, left and right corner of the mouth, where pixel i
has its centre at i."""


def similarity_transform(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The rotation, scale and shift that bring `source` nearest to `target`.

    Args:
        source, target: float [K, 2], K at least 2, finite.

    Returns:
        float64 [2, 3]: target = matrix[:, :2] @ source + matrix[:, 2], without mirroring.

    Raises:
        ValueError: other shapes, numbers that are not finite, or all points of `source` in one
            place.
    """
    one, other = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if one.shape != other.shape or one.ndim != 2 or one.shape[1] != 2 or len(one) < 2:
        raise ValueError(
            f'expected two arrays [K, 2], K at least 2, got {one.shape}, {other.shape}'
        )
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError('points must be finite')
    mean_one, mean_other = one.mean(axis=0), other.mean(axis=0)
    one, other = one - mean_one, other - mean_other
    variance = np.square(one).sum() / len(one)
    if variance <= 1e-12 * max(1.0, float(np.square(mean_one).sum())):
        raise ValueError('all points of the source lie in one place')
    u, d, vt = np.linalg.svd(other.T @ one / len(one))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (d * signs).sum() / variance
    shift = mean_other - scale * rotation @ mean_one
    return np.concatenate([scale * rotation, shift[:, None]], axis=1)


def aligned_face(
    image: NDArray[np.uint8], landmarks: NDArray[Any], size: int = FACE_SIZE
) -> NDArray[np.uint8]:
    """A face, upright and in the place that recognition networks expect.

    Args:
        image: uint8 [H, W, 3].
        landmarks: float [5, 2] or [5, 3], x and y in pixels of `image`, pixel i covering
            [i, i + 1), in the order of `REFERENCE`; as in `Detections.key_points`.
        size: width and height of the result; the reference points are scaled with it.

    Returns:
        uint8 [size, size, 3]; black where the image has no pixels.

    Raises:
        ValueError: the landmarks have another shape, are not finite or lie in one place.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape not in ((5, 2), (5, 3)):
        raise ValueError(f'expected five landmarks [5, 2] or [5, 3], got {points.shape}')
    # OpenCV and the reference points count from pixel centres.
    reference = (REFERENCE + 0.5) * (size / FACE_SIZE) - 0.5
    matrix = similarity_transform(points[:, :2] - 0.5, reference)
    face = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(face, np.uint8)
