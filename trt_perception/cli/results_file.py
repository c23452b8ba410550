"""`detections.json`: what was found, frame by frame. docs/command_line.md describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from trt_perception.closing import Closing
from trt_perception.errors import OutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.statistics import Snapshot
from trt_perception.results import DecodeSettings

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
        """Append one frame, see `results_entries`.

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


def model_head(spec: ModelSpec, source: str) -> dict[str, Any]:
    """Which model looked at what."""
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
    }


def head_of(
    spec: ModelSpec, settings: DecodeSettings, *, backend: str, precision: str, source: str
) -> dict[str, Any]:
    """What holds for all frames."""
    chosen = settings.class_filter
    return {
        **model_head(spec, source),
        'backend': backend,
        'precision': precision,
        'settings': {
            'score': settings.score,
            'iou': settings.iou,
            'max_detections': settings.max_detections,
            'classes': None if chosen is None else [spec.class_names[i] for i in sorted(chosen)],
        },
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
