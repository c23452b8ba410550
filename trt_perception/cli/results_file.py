"""`detections.json`: what was found, frame by frame. docs/command_line.md describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from trt_perception.cli.coco_rle import encode_mask
from trt_perception.closing import Closing
from trt_perception.errors import FrameError, OutputError
from trt_perception.frames import Frame
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.statistics import Snapshot
from trt_perception.results import UNLABELLED, DecodeSettings, Detections, SegmentationMap

FORMAT = 'trt_perception.detections'
VERSION = 1
"""Counts up when a reader of the file would have to change."""


class ResultsFile(Closing):
    """Writes the JSON document piece by piece, so that its size does not matter.

    Until `close` the file has the ending .part; it is whole JSON only after that.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        """Create the file.

        Args:
            path: of the finished file; overwritten if it exists.
            head: members that come before the frames, see `head_of`.

        Raises:
            OutputError: it cannot be written.
        """
        self.path = path
        self._part = path.with_name(f'{path.name}.part')
        self._frames = 0
        self._tail: Mapping[str, Any] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A file's name need not be text; what is not becomes an escape of JSON.
            self._file: TextIO | None = self._part.open(
                'w', encoding='utf-8', errors='backslashreplace'
            )
        except OSError as error:
            raise OutputError(f'{path}: cannot be written: {error}') from error
        opening = json.dumps(dict(head), ensure_ascii=False, indent=1)
        self._write(opening.removesuffix('\n}') + ',\n "frames": [')

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append one frame, see `entry_of` and `refused_entry`.

        Raises:
            OutputError: the disk is full.
        """
        comma = ',' if self._frames else ''
        self._write(f'{comma}\n  {json.dumps(dict(entry), ensure_ascii=False)}')
        self._frames += 1

    def finish(self, tail: Mapping[str, Any]) -> None:
        """Set the members that come after the frames, see `summary_of`."""
        self._tail = tail

    def close(self) -> None:
        """Complete the document and give it its name. A second call does nothing.

        Raises:
            OutputError: the disk is full.
        """
        if self._file is None:
            return
        closing = json.dumps({'summary': dict(self._tail)}, ensure_ascii=False, indent=1)
        self._write('\n ],' + closing.removeprefix('{') + '\n')
        file, self._file = self._file, None
        try:
            file.close()
            self._part.replace(self.path)
        except OSError as error:
            raise OutputError(f'{self.path}: cannot be written: {error}') from error

    def _write(self, text: str) -> None:
        assert self._file is not None
        try:
            self._file.write(text)
        except OSError as error:
            raise OutputError(f'{self.path}: cannot be written: {error}') from error


def head_of(
    spec: ModelSpec, settings: DecodeSettings, *, backend: str, precision: str, source: str
) -> dict[str, Any]:
    """What holds for all frames."""
    chosen = settings.class_filter
    return {
        'format': FORMAT,
        'version': VERSION,
        'source': source,
        'model': {
            'name': spec.name,
            'version': spec.version,
            'family': spec.family,
            'task': spec.task,
            'classes': list(spec.class_names),
        },
        'backend': backend,
        'precision': precision,
        'settings': {
            'score': settings.score,
            'iou': settings.iou,
            'max_detections': settings.max_detections,
            'classes': None if chosen is None else [spec.class_names[i] for i in sorted(chosen)],
        },
    }


def entry_of(
    frame: Frame,
    result: Detections | SegmentationMap,
    spec: ModelSpec,
    *,
    name: str,
    mask_file: str | None = None,
) -> dict[str, Any]:
    """One frame and what was found in it.

    Args:
        frame: its stamp and frame_id are noted.
        result: what was found.
        spec: the model.
        name: of the frame.
        mask_file: where the classes of a semantic model's pixels were written.
    """
    width, height = result.size
    entry: dict[str, Any] = {
        'name': name,
        'stamp_ns': frame.stamp_ns,
        'frame_id': frame.frame_id,
        'width': width,
        'height': height,
    }
    if isinstance(result, SegmentationMap):
        entry['class_shares'] = _class_shares(result, spec)
        entry['mask_file'] = mask_file
    else:
        entry['detections'] = [_detection(result, index, spec) for index in range(len(result))]
    return entry


def refused_entry(frame: Frame, error: FrameError, *, name: str) -> dict[str, Any]:
    """One frame that could not be used."""
    return {
        'name': name,
        'stamp_ns': frame.stamp_ns,
        'frame_id': frame.frame_id,
        'error': {'cause': error.cause, 'message': str(error)},
    }


def summary_of(
    figures: Snapshot, skipped: Mapping[str, int], *, seconds: float, interrupted: bool
) -> dict[str, Any]:
    """The figures of a whole run."""
    return {
        'frames': figures.frames_out,
        'skipped': dict(skipped),
        'interrupted': interrupted,
        'seconds': round(seconds, 3),
        'stages_ms': {
            s.stage: {'p50': round(s.p50_ms, 3), 'p99': round(s.p99_ms, 3)} for s in figures.stages
        },
    }


def _detection(found: Detections, index: int, spec: ModelSpec) -> dict[str, Any]:
    class_id = int(found.class_ids[index])
    detection: dict[str, Any] = {
        'class_id': class_id,
        'class': spec.class_names[class_id],
        'score': round(float(found.scores[index]), 4),
        'box': [round(float(value), 2) for value in found.boxes[index]],
    }
    if found.track_ids is not None and found.track_ids[index] >= 0:
        detection['track_id'] = int(found.track_ids[index])
    if found.masks is not None:
        detection['mask'] = encode_mask(found.masks[index], found.size)
    return detection


def _class_shares(found: SegmentationMap, spec: ModelSpec) -> dict[str, float]:
    """Share of the pixels of each class that occurs, and of those without a class."""
    counts = np.bincount(found.class_ids.reshape(-1), minlength=256)
    names = {**dict(enumerate(spec.class_names)), UNLABELLED: 'unlabelled'}
    return {
        names[i]: round(float(counts[i]) / found.class_ids.size, 5)
        for i in np.flatnonzero(counts).tolist()
        if i in names
    }
