"""Runs several networks of one model over a data set, image by image, and adds up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import EvaluationError, FrameError, SourceError
from trt_perception.evaluation.average_precision import (
    LEAST_SCORE,
    MOST_AN_IMAGE,
    PrecisionTruth,
    found_objects,
    precision_figures,
)
from trt_perception.evaluation.class_mapping import ClassMapping
from trt_perception.evaluation.dataset import Dataset, Sample, TrueObjects
from trt_perception.evaluation.machine_load import LoadWatch, MachineLoad
from trt_perception.evaluation.networks import Network
from trt_perception.evaluation.object_confusion import object_confusion
from trt_perception.evaluation.overlap import confusion_of, overlap_figures
from trt_perception.evaluation.run_lengths import faster_coco_eval
from trt_perception.results import DecodeSettings, Detections, SegmentationMap


@dataclass(frozen=True)
class Measured:
    """What one network reached.

    Attributes:
        network: which one.
        accuracy: 'boxes' and, with masks, 'masks', see `precision_figures`; or 'semantic', see
            `overlap_figures`. Shares of 0..1.
        confusion: int64, by true class (row) and found class (column).
        frame_ms: from image to results, one image at a time.
        infer_ms: the network alone.
    """

    network: Network
    accuracy: dict[str, dict[str, Any]]
    confusion: NDArray[np.int64]
    frame_ms: tuple[float, ...]
    infer_ms: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """What came of a whole run.

    Attributes:
        images: how many were looked at.
        skipped: name and reason of those that could not be used.
        measured: one per network, in their order.
        load: what else the machine did meanwhile.
    """

    images: int
    skipped: tuple[tuple[str, str], ...]
    measured: tuple[Measured, ...]
    load: MachineLoad


@dataclass
class _Sums:
    """What is added up for one network."""

    confusion: NDArray[np.int64]
    found: list[dict[str, Any]] = field(default_factory=list)
    frame_ms: list[float] = field(default_factory=list)
    infer_ms: list[float] = field(default_factory=list)


def evaluate(
    networks: Sequence[Network],
    dataset: Dataset,
    classes: ClassMapping,
    *,
    limit: int | None = None,
    on_image: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Measure networks of one model side by side: each image is read once.

    For objects the thresholds of the pipelines are replaced by those that are usual for average
    precision. Images that cannot be used are passed over and listed.

    Args:
        networks: at least one, all of one model.
        dataset: images with truth for the model's task.
        classes: how its classes meet the model's.
        limit: most images.
        on_image: called after each image.

    Raises:
        EvaluationError: over half of the images cannot be used.
        MissingDependencyError: average precision needs faster-coco-eval.
        InferenceError, ModelOutputError: a network fails.
    """
    run = _Run(networks, dataset, classes)
    watch = LoadWatch()
    total = min(len(dataset), limit or len(dataset))
    skipped: list[tuple[str, str]] = []
    for index in range(total):
        try:
            run.look(dataset.read(index))
        except (SourceError, FrameError) as error:
            skipped.append((dataset.label(index), str(error)))
            if len(skipped) > total / 2:
                break
        on_image()
    if len(skipped) > total / 2:
        reasons = '; '.join(reason for _, reason in skipped[:3])
        raise EvaluationError(
            f'data set {dataset.name}: {len(skipped)} of {total} images cannot be used, more '
            f'than half. The first: {reasons}'
        )
    load = watch.so_far()
    return Evaluation(total - len(skipped), tuple(skipped), run.figures(), load)


class _Run:
    """One pass over a data set."""

    def __init__(
        self, networks: Sequence[Network], dataset: Dataset, classes: ClassMapping
    ) -> None:
        self._networks = networks
        self._dataset = dataset
        self._classes = classes
        count = len(classes.names)
        self._semantic = dataset.task == 'semantic'
        shape = (count, count + 1) if self._semantic else (count + 1, count + 1)
        self._sums = [_Sums(np.zeros(shape, np.int64)) for _ in networks]
        self._truth = PrecisionTruth(classes.names)
        thresholds = networks[0].pipeline.spec.thresholds
        self._score = thresholds.score
        if not self._semantic:
            faster_coco_eval()  # found missing before the work, not after it
            settings = DecodeSettings(LEAST_SCORE, thresholds.iou, MOST_AN_IMAGE)
            for network in networks:
                network.pipeline.settings = settings

    def look(self, sample: Sample) -> None:
        """Add one image to all networks' sums."""
        done, passed_ms = [], []
        for network in self._networks:
            start = time.perf_counter()
            done += network.pipeline.process([sample.frame])
            passed_ms.append((time.perf_counter() - start) * 1e3)
        image = -1
        if isinstance(sample.truth, TrueObjects):
            image = self._truth.add(sample.truth, done[0].result.size, self._classes.truth)
        for sums, perceived, frame_ms in zip(self._sums, done, passed_ms, strict=True):
            sums.frame_ms.append(frame_ms)
            sums.infer_ms.append(perceived.stages_ms['infer'])
            if isinstance(perceived.result, SegmentationMap):
                self._add_pixels(sums, sample.truth, perceived.result)
            elif isinstance(perceived.result, Detections):
                self._add_objects(sums, sample.truth, perceived.result, image)

    def _add_pixels(self, sums: _Sums, truth: Any, found: SegmentationMap) -> None:
        sums.confusion += confusion_of(
            self._classes.truth[truth],
            self._classes.found[found.class_ids],
            len(self._classes.names),
        )

    def _add_objects(self, sums: _Sums, truth: Any, found: Detections, image: int) -> None:
        sums.found += found_objects(found, image, self._classes.found)
        sums.confusion += object_confusion(
            truth,
            found,
            len(self._classes.names),
            score=self._score,
            truth_classes=self._classes.truth,
            found_classes=self._classes.found,
        )

    def figures(self) -> tuple[Measured, ...]:
        """What each network reached."""
        return tuple(
            Measured(
                network,
                self._accuracy(sums),
                sums.confusion,
                tuple(sums.frame_ms),
                tuple(sums.infer_ms),
            )
            for network, sums in zip(self._networks, self._sums, strict=True)
        )

    def _accuracy(self, sums: _Sums) -> dict[str, dict[str, Any]]:
        names = self._classes.names
        if self._semantic:
            categories: Mapping[str, str] = self._dataset.categories
            return {'semantic': overlap_figures(sums.confusion, names, categories)}
        accuracy = {'boxes': precision_figures(self._truth, sums.found, 'bbox')}
        if self._dataset.task == 'instance':
            accuracy['masks'] = precision_figures(self._truth, sums.found, 'segm')
        return accuracy
