"""COCO's average precision of boxes and masks, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.evaluation.dataset import IGNORED, TrueObjects
from trt_perception.evaluation.run_lengths import encoded, faster_coco_eval, placed
from trt_perception.results import Detections

Kind = Literal['bbox', 'segm']
MOST_AN_IMAGE = 100
"""Detections an image that COCO's measure looks at."""

LEAST_SCORE = 0.005
"""Detections below add nothing that could be told to the curve, and a lot of work."""


class PrecisionTruth:
    """The true objects of all images, in COCO's terms. Shared by all that is measured on them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Start without images; `names` are those of the classes judged."""
        self.names = names
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(
        self, truth: TrueObjects, size: tuple[int, int], classes: NDArray[np.uint8] | None = None
    ) -> int:
        """Append an image of `size` (width, height); returns its number.

        Args:
            truth: its objects.
            size: of the image.
            classes: uint8 [256], from the truth's class ids to those judged; None keeps them.
        """
        image = len(self.images)
        self.images.append({'id': image, 'width': size[0], 'height': size[1]})
        for index, kind in enumerate(truth.class_ids):
            judged = int(kind) if classes is None else int(classes[kind])
            if judged == IGNORED:
                continue
            x1, y1, x2, y2 = (float(value) for value in truth.boxes[index])
            entry: dict[str, Any] = {
                'id': len(self.annotations) + 1,
                'image_id': image,
                'category_id': judged,
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'area': float(truth.areas[index]),
                'iscrowd': int(truth.crowd[index]),
            }
            if truth.masks is not None:
                entry['segmentation'] = truth.masks[index]
            self.annotations.append(entry)
        return image


def found_objects(
    result: Detections, image: int, classes: NDArray[np.uint8] | None = None
) -> list[dict[str, Any]]:
    """Detections as COCO results, with masks where they have masks.

    Args:
        result: what was found.
        image: number of the image.
        classes: uint8 [256], from the model's class ids to those judged; others are left out.
    """
    objects = []
    for index, kind in enumerate(result.class_ids):
        judged = int(kind) if classes is None else int(classes[kind])
        if judged == IGNORED:
            continue
        x1, y1, x2, y2 = (float(value) for value in result.boxes[index])
        entry: dict[str, Any] = {
            'image_id': image,
            'category_id': judged,
            'bbox': [x1, y1, x2 - x1, y2 - y1],
            'score': float(result.scores[index]),
        }
        if result.masks is not None:
            entry['segmentation'] = encoded(placed(result.masks[index], result.size))
        objects.append(entry)
    return objects


def precision_figures(
    truth: PrecisionTruth, found: list[dict[str, Any]], kind: Kind
) -> dict[str, Any]:
    """Average precision of boxes ('bbox') or masks ('segm'), each figure in 0..1.

    Args:
        truth: of all images.
        found: from `found_objects`, of all images.
        kind: what is compared.

    Returns:
        `map50_95` and `map50`, means over the classes that the truth holds, and `by_class`, the
        mean over the thresholds 0.50 to 0.95 by name; None where there is nothing to find.

    Raises:
        MissingDependencyError: faster-coco-eval is not installed.
    """
    library = faster_coco_eval()
    names = truth.names
    present = {entry['category_id'] for entry in truth.annotations if not entry['iscrowd']}
    # IoU threshold, recall, class. -1 stands where there is nothing to find, as in COCO's tools.
    precision: NDArray[np.float64] = np.full((10, 101, len(names)), -1.0)
    precision[:, :, sorted(present)] = 0.0
    if found and present:
        content = {
            'images': truth.images,
            'annotations': [dict(entry) for entry in truth.annotations],
            'categories': [{'id': i, 'name': name} for i, name in enumerate(names)],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco = library.COCO(content)
            results = coco.loadRes([dict(entry) for entry in found])
            evaluation = library.COCOeval_faster(coco, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
        # Objects of all sizes, at most 100 an image.
        precision = np.asarray(evaluation.eval['precision'])[:, :, :, 0, 2]
    return {
        'map50_95': _mean(precision),
        'map50': _mean(precision[0]),
        'by_class': {name: _mean(precision[:, :, index]) for index, name in enumerate(names)},
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    told = values[values > -1]
    return float(told.mean()) if told.size else None
