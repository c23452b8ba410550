"""Measures a model on scenes that were never trained on, through the package's pipeline.

    python -m training.evaluate street_detect --scenes 500
    python -m training.evaluate street_detect --latency

Detection and instance models: COCO-style average precision by faster-coco-eval, of boxes and
masks. Semantic models: intersection over union from a confusion matrix. One image a scene, at
the network's own size. Things that the truth leaves out as too small or too hidden count as
mistakes when they are found. Prints JSON and, with `--out`, writes it. How fast the network is
can only be told on a machine that does nothing else, so `--latency` measures that alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from trt_perception.evaluation import average_precision as coco
from trt_perception.evaluation import overlap
from trt_perception.evaluation.average_precision import (
    Kind,
    PrecisionTruth,
    precision_figures,
)
from trt_perception.evaluation.overlap import confusion_of
from trt_perception.evaluation.run_lengths import encoded
from trt_perception.evaluation.synthetic import MOMENT_S
from trt_perception.frames import Frame
from trt_perception.pipeline.perception import PerceptionPipeline, open_pipeline
from trt_perception.results import DecodeSettings, Detections, SegmentationMap
from trt_perception.scenes import SceneFrame, Split, StreetScene, scene_seed


def scene_frames(split: Split, count: int, size: tuple[int, int]) -> Iterator[SceneFrame]:
    """One frame of `size` (width, height) of each of the first `count` scenes of a split."""
    for number in range(count):
        yield StreetScene(scene_seed(split, number), size).render(MOMENT_S)


def average_precision(
    pipeline: PerceptionPipeline, frames: Iterable[SceneFrame], *, masks: bool
) -> dict[str, dict[str, Any]]:
    """`coco_figures` of boxes ('bbox') and, with `masks`, of masks ('segm').

    Replaces the pipeline's thresholds by those that are usual for average precision.
    """
    names = pipeline.spec.class_names
    pipeline.settings = DecodeSettings(score=0.005, iou=0.6, max_detections=100)
    truth: dict[str, Any] = {
        'images': [],
        'annotations': [],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(names)],
    }
    found: list[dict[str, Any]] = []
    for number, frame in enumerate(frames):
        height, width = frame.image.shape[:2]
        truth['images'].append({'id': number, 'width': width, 'height': height})
        truth['annotations'] += true_objects(frame, number, len(truth['annotations']) + 1, masks)
        result = pipeline.process([Frame.from_bgr(frame.image)])[0].result
        assert isinstance(result, Detections)
        found += found_objects(result, number, masks)
    kinds: list[Kind] = ['bbox', 'segm'] if masks else ['bbox']
    return {kind: coco_figures(truth, found, kind, names) for kind in kinds}


def true_objects(frame: SceneFrame, image: int, first_id: int, masks: bool) -> list[dict[str, Any]]:
    """The scene's things as COCO annotations, numbered from `first_id`."""
    objects = []
    for index, (box, kind) in enumerate(zip(frame.boxes, frame.class_ids, strict=True)):
        x1, y1, x2, y2 = (float(value) for value in box)
        entry: dict[str, Any] = {
            'id': first_id + index,
            'image_id': image,
            'category_id': int(kind),
            'bbox': [x1, y1, x2 - x1, y2 - y1],
            'area': (x2 - x1) * (y2 - y1),
            'iscrowd': 0,
        }
        if masks:
            mask = frame.instance_ids == index + 1
            entry |= {'segmentation': encoded(mask), 'area': int(mask.sum())}
        objects.append(entry)
    return objects


def found_objects(result: Detections, image: int, masks: bool) -> list[dict[str, Any]]:
    """Detections as COCO results, without their masks unless `masks`."""
    return coco.found_objects(result if masks else replace(result, masks=None), image)


def coco_figures(
    truth: dict[str, Any], found: list[dict[str, Any]], kind: Kind, names: tuple[str, ...]
) -> dict[str, Any]:
    """`precision_figures` of COCO documents; the category ids are the places of `names`."""
    known = PrecisionTruth(names)
    known.images += truth['images']
    known.annotations += truth['annotations']
    return precision_figures(known, found, kind)


def semantic_figures(pipeline: PerceptionPipeline, frames: Iterable[SceneFrame]) -> dict[str, Any]:
    """Intersection over union of all pixels of all frames; see `overlap_figures`."""
    count = len(pipeline.spec.classes)
    confusion = np.zeros((count, count + 1), np.int64)
    for frame in frames:
        result = pipeline.process([Frame.from_bgr(frame.image)])[0].result
        assert isinstance(result, SegmentationMap)
        confusion += confusion_of(frame.semantic, result.class_ids, count)
    return overlap_figures(confusion, pipeline.spec.class_names)


def overlap_figures(confusion: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Any]:
    """`miou`, `pixel_accuracy` and IoU `by_class`; see `trt_perception.evaluation.overlap`."""
    figures = overlap.overlap_figures(confusion, names)
    return {key: figures[key] for key in ('miou', 'pixel_accuracy', 'by_class')}


def latency_ms(pipeline: PerceptionPipeline, frames: int = 200) -> dict[str, float]:
    """Median and 99th percentile of the network alone, in milliseconds, once it is warm."""
    width, height = pipeline.spec.input.size
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    frame = Frame.from_bgr(image)
    times = [pipeline.process([frame])[0].stages_ms['infer'] for _ in range(frames + 10)][10:]
    return {'p50': float(np.percentile(times, 50)), 'p99': float(np.percentile(times, 99))}


def accuracy(pipeline: PerceptionPipeline, split: Split, scenes: int) -> dict[str, Any]:
    """What was measured, on how many scenes, of which file and with which libraries."""
    frames = scene_frames(split, scenes, pipeline.spec.input.size)
    file = pipeline.spec.onnx
    figures: dict[str, Any] = {
        'model': pipeline.spec.name,
        'split': split.name,
        'scenes': scenes,
        'file_bytes': file.stat().st_size,
        'file_sha256': hashlib.sha256(file.read_bytes()).hexdigest(),
        'onnxruntime': onnxruntime.__version__,
        'opencv': cv2.__version__,
    }
    if pipeline.spec.task == 'semantic':
        return figures | semantic_figures(pipeline, frames)
    masks = pipeline.spec.task == 'instance'
    return figures | average_precision(pipeline, frames, masks=masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', help='name of a model, or path of a YAML file')
    parser.add_argument('--scenes', type=int, default=500)
    parser.add_argument('--split', default='TEST', choices=[split.name for split in Split])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--latency', action='store_true', help='measure only how long it takes')
    parser.add_argument('--out', type=Path, help='write the figures as JSON; keeps other figures')
    arguments = parser.parse_args()
    pipeline = open_pipeline(arguments.model, backend='onnxruntime-cpu', threads=arguments.threads)
    figures: dict[str, Any]
    if arguments.latency:
        figures = {'network_ms': latency_ms(pipeline), 'threads': arguments.threads}
    else:
        began = time.monotonic()
        figures = accuracy(pipeline, Split[arguments.split], arguments.scenes)
        figures['seconds'] = round(time.monotonic() - began)
    if arguments.out and arguments.out.is_file():
        figures = json.loads(arguments.out.read_text()) | figures
    print(json.dumps(figures, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=1) + '\n')


if __name__ == '__main__':
    main()
