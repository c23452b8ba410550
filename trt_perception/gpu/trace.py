"""When the GPU did what, by its own clock, in the format of Chrome's tracing.

Open the file in https://ui.perfetto.dev or chrome://tracing. Format: "Trace Event Format" of the
Chromium project, complete events ("ph": "X"), times in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trt_perception.errors import OutputError
from trt_perception.gpu.cuda_driver import Event


@dataclass(frozen=True)
class Span:
    """One piece of work.

    Attributes:
        lane: where it was done, such as 'copy in'.
        name: what it was.
        batch: number of the batch of frames it belongs to.
        start_ms, end_ms: since the trace began.
    """

    lane: str
    name: str
    batch: int
    start_ms: float
    end_ms: float


class Trace:
    """Collects spans. Events are read in the GPU owner's thread."""

    def __init__(self, origin: Event, place: str = '') -> None:
        """Begin.

        Args:
            origin: an event that has happened, where times begin.
            place: what comes before the name of each lane.
        """
        self._origin = origin
        self._place = place
        self.spans: list[Span] = []

    def beside(self, place: str) -> Trace:
        """Another one with the same origin, for work in another place."""
        return Trace(self._origin, place)

    def add(self, lane: str, name: str, batch: int, start: Event, end: Event) -> None:
        """Note work between two events that have happened."""
        begun, ended = (event.time_since(self._origin) for event in (start, end))
        self.spans.append(Span(self._place + lane, name, batch, begun, ended))

    def release(self) -> None:
        """Let the event go, in the owner's thread; the spans stay."""
        self._origin = None


def chrome_trace(spans: Sequence[Span]) -> dict[str, Any]:
    """The spans as a document for a trace viewer, one row a lane."""
    lanes = list(dict.fromkeys(span.lane for span in spans))
    events: list[dict[str, Any]] = [
        {'ph': 'M', 'name': 'thread_name', 'pid': 1, 'tid': number, 'args': {'name': lane}}
        for number, lane in enumerate(lanes)
    ]
    events += [
        {
            'ph': 'X',
            'name': span.name,
            'cat': span.lane,
            'pid': 1,
            'tid': lanes.index(span.lane),
            'ts': span.start_ms * 1e3,
            'dur': (span.end_ms - span.start_ms) * 1e3,
            'args': {'batch': span.batch},
        }
        for span in spans
    ]
    return {'traceEvents': events, 'displayTimeUnit': 'ms'}


def write_trace(path: Path, spans: Sequence[Span]) -> None:
    """Write a file for a trace viewer.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_text(json.dumps(chrome_trace(spans)))
    except OSError as error:
        raise OutputError(f'{path}: cannot be written: {error}') from error
