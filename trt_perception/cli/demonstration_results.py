"""What the demonstration leaves: its files, and the table of what each node did."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from trt_perception.cli.demonstration_nodes import EXECUTABLES
from trt_perception.cli.results_file import ResultsFile, model_head
from trt_perception.cli.tables import aligned, counted
from trt_perception.errors import OutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.statistics import Snapshot

if TYPE_CHECKING:
    from trt_perception.nodes.demo_graph import DemoGraph, Detected

_RESULTS = {
    'overlay.mp4': 'video of the first pictures',
    'overlay.png': 'the picture that shows most',
    'detections.json': 'what detect_node found, frame by frame',
    'bag': 'images, detections and masks: `ros2 bag play`, or bag.mcap in Foxglove',
    'log': 'parameters and output of each node',
}
_HEADINGS = (
    'node', 'frames in', 'processed', 'dropped', 'lost', 'fps', 'stage', 'p50 ms', 'p99 ms',
)  # fmt: skip


def clear(out: Path) -> None:
    """Remove what an earlier demonstration left.

    Raises:
        OutputError: the folder cannot be made, or something in it cannot be removed.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _RESULTS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f'{out}: cannot be used for the results: {error}') from error


class DetectionsFile(ResultsFile):
    """What detect_node published, in the form of docs/command_line.md, as it comes."""

    def __init__(self, path: Path, arguments: argparse.Namespace, spec: ModelSpec) -> None:
        self._size: tuple[int, int] = arguments.size
        self._ids = {name: index for index, name in enumerate(spec.class_names)}
        self._index = 0
        super().__init__(path, model_head(spec, arguments.source))

    def detected(self, frame: Detected) -> None:
        """Append one frame."""
        width, height = self._size
        detections = [
            {
                'class_id': self._ids[name],
                'class': name,
                'score': round(score, 4),
                'box': [round(value, 2) for value in box],
            }
            for name, score, box in frame.found
        ]
        self.add(
            {
                'name': f'{self._index:06d}',
                'stamp_ns': frame.stamp_ns,
                'frame_id': frame.frame_id,
                'width': width,
                'height': height,
                'detections': detections,
            }
        )
        self._index += 1


def work_table(graph: DemoGraph) -> str:
    """What each node did, and how long each of its stages took."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    sent = graph.figures('camera_node').frames_out
    for name in EXECUTABLES:
        figures = graph.figures(name)
        lost = 0 if name == 'camera_node' else max(0, sent - figures.frames_in)
        first = (
            name,
            str(figures.frames_in),
            str(figures.frames_out),
            str(sum(figures.drops.values())),
            str(lost),
            f'{figures.rate_hz:.1f}',
        )
        rows += _stage_rows(first, figures)
    notes = [f'{name} runs {graph.runs(name)}' for name in EXECUTABLES if graph.runs(name)]
    for name in EXECUTABLES:
        drops = graph.figures(name).drops
        if drops:
            notes.append(f'{name} dropped {counted(drops)}')
    return '\n'.join(['', aligned(rows, '<>>>>><>>'), '', *notes])


def _stage_rows(first: tuple[str, ...], figures: Snapshot) -> list[tuple[str, ...]]:
    stages = [(s.stage, f'{s.p50_ms:.1f}', f'{s.p99_ms:.1f}') for s in figures.stages]
    empty = ('',) * len(first)
    return [
        (*(first if index == 0 else empty), *cells)
        for index, cells in enumerate(stages or [('', '', '')])
    ]


def what_is_left(out: Path) -> str:
    """The files that there are now."""
    lines = ['', f'Results in {out}:']
    for name, meaning in _RESULTS.items():
        path = out / name
        if path.exists():
            files = [path] if path.is_file() else list(path.rglob('*'))
            size = sum(file.stat().st_size for file in files if file.is_file())
            lines.append(f'  {name:<16} {size / 1e6:6.1f} MB  {meaning}')
    return '\n'.join(lines)
