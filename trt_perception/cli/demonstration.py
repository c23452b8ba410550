"""The demonstration: starts the nodes, waits for their work, and writes what came of it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tqdm import tqdm

from trt_perception.cli.film import Film
from trt_perception.cli.isolation import isolated
from trt_perception.cli.main import NOTHING_WORKED, OK
from trt_perception.cli.node_processes import NodeProcesses
from trt_perception.cli.results_file import FORMAT, VERSION, ResultsFile
from trt_perception.cli.tables import aligned, counted
from trt_perception.errors import (
    MissingDependencyError,
    OutputError,
    ParameterError,
    PerceptionError,
)
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.nodes.abandoned_memory import remove_abandoned_segments
from trt_perception.nodes.transport import choose_transport
from trt_perception.pipeline.statistics import Snapshot
from trt_perception.sources.opening import open_source

if TYPE_CHECKING:
    from trt_perception.nodes.demo_graph import DemoGraph, Detected

_TASKS = ('detect', 'instance', 'semantic')
EXECUTABLES = {
    'camera_node': 'camera_node',
    'detect_node': 'detect_node',
    'instance_node': 'segment_node',
    'semantic_node': 'segment_node',
    'overlay_node': 'overlay_node',
}
"""The program of each node."""

REMAPPINGS = {
    'overlay_node': {
        'detections': 'detect_node/detections',
        'detections_label_info': 'detect_node/label_info',
        'instances': 'instance_node/detections',
        'instances_label_info': 'instance_node/label_info',
        'instance_mask': 'instance_node/mask',
        'mask': 'semantic_node/mask',
        'label_info': 'semantic_node/label_info',
    }
}
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
_READY_S = 60.0
_LAST_RESULTS_S = 3.0
_NO_ROS = (
    'demo: ROS 2 is missing here ({error}). Run `make demo` in a checkout, or source a ROS 2 '
    'distribution and the workspace with this package'
)


def demonstrate(arguments: argparse.Namespace) -> int:
    """Run the demonstration; returns the exit status, which tells whether the nodes did well.

    Raises:
        MissingDependencyError: ROS 2 is not there.
        ParameterError, ModelSpecError, SourceError: an argument is wrong.
        OutputError: a result cannot be written.
    """
    specs = _specs(arguments.models)
    _try_source(arguments)
    remove_abandoned_segments()
    environment = isolated(os.environ)
    transport = choose_transport(environment, len(EXECUTABLES) + 1)
    environment.update(transport.variables)
    # For this process too, before it joins the domain.
    os.environ.update(environment)
    try:
        from trt_perception.nodes.demo_graph import DemoGraph
    except ImportError as error:
        raise MissingDependencyError(_NO_ROS.format(error=error)) from error
    out: Path = arguments.out
    _clear(out)
    print(f'ROS domain {environment["ROS_DOMAIN_ID"]}, on this machine only; {transport.reason}')
    with NodeProcesses(out / 'log') as processes:
        _start(processes, arguments, specs, environment)
        film = Film(out, arguments.rate, arguments.video_seconds)
        file = _DetectionsFile(out / 'detections.json', arguments, specs[0])
        graph = DemoGraph(out / 'bag', film.add, file.detected)
        try:
            _run(graph, processes, arguments.frames)
        except PerceptionError as error:
            print(f'trt_perception demo: {error}', file=sys.stderr)
            return NOTHING_WORKED
        finally:
            figures = graph.figures('detect_node')
            file.finish({'frames': figures.frames_out, 'skipped': dict(figures.drops)})
            graph.close()
            processes.stop()
            film.close()
            file.close()
    print(_table(graph))
    print(_results(out))
    return OK


def _specs(models: str) -> tuple[ModelSpec, ModelSpec, ModelSpec]:
    """The three models; each must be there and do its task."""
    names = models.split(',')
    if len(names) != len(_TASKS):
        raise ParameterError(
            f'--models {models}: name three, with commas between them, for: {", ".join(_TASKS)}'
        )
    specs = [load_model_spec(find_model(name.strip())) for name in names]
    for spec, task in zip(specs, _TASKS, strict=True):
        if spec.task != task:
            raise ParameterError(
                f'--models {models}: {spec.name} does {spec.task}, where {task} is needed. '
                f'The order is: {", ".join(_TASKS)}'
            )
    detect, instance, semantic = specs
    return detect, instance, semantic


def _try_source(arguments: argparse.Namespace) -> None:
    """Open the source as the camera will, so that a wrong one is told before any node starts."""
    open_source(arguments.source, size=arguments.size, rate=arguments.rate).close()


def _clear(out: Path) -> None:
    """Remove what an earlier demonstration left."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _RESULTS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f'{out}: cannot be used for the results: {error}') from error


def _start(
    processes: NodeProcesses,
    arguments: argparse.Namespace,
    specs: Sequence[ModelSpec],
    environment: Mapping[str, str],
) -> None:
    """Start all nodes; all but the camera begin their work at once."""
    from trt_perception.nodes.demo_graph import programs

    file = arguments.out / 'log' / 'parameters.yaml'
    file.parent.mkdir(parents=True, exist_ok=True)
    parameters = parameters_of(
        arguments, [find_model(m.strip()) for m in arguments.models.split(',')]
    )
    file.write_text(
        yaml.safe_dump({name: {'ros__parameters': values} for name, values in parameters.items()}),
        encoding='utf-8',
    )
    for name in EXECUTABLES:
        processes.start(name, command_of(name, programs(), file), environment)


def command_of(name: str, programs: Path, parameters: Path) -> list[str]:
    """How a node of the demonstration is started.

    Args:
        name: one of `EXECUTABLES`.
        programs: folder of the installed executables.
        parameters: YAML file of `parameters_of`, by node.
    """
    command = [sys.executable, str(programs / EXECUTABLES[name])]
    command += ['--ros-args', '-r', f'__node:={name}', '--params-file', str(parameters)]
    for old, new in REMAPPINGS.get(name, {}).items():
        command += ['-r', f'{old}:={new}']
    return command


def parameters_of(
    arguments: argparse.Namespace, models: Sequence[Path]
) -> dict[str, dict[str, Any]]:
    """Parameters of the demonstration by node.

    Args:
        arguments: its `size`, `source`, `seed`, `rate` and `frames`.
        models: for detection, instance masks and semantic masks.
    """
    width, height = arguments.size
    source = arguments.source
    if source == 'synthetic' and arguments.seed is not None:
        source = f'synthetic:{arguments.seed}'
    detect, instance, semantic = (str(model) for model in models)
    return {
        'camera_node': {
            'autostart': False,
            'source': source,
            'size': f'{width}x{height}',
            'rate': arguments.rate,
            'count': arguments.frames,
        },
        'detect_node': {'model': detect},
        'instance_node': {'model': instance},
        'semantic_node': {'model': semantic},
        'overlay_node': {
            'inputs': ['detections', 'instances', 'instance_mask', 'mask'],
            'models': [detect, instance, semantic],
            'timeout': 2.0,
            'mask_opacity': 0.45,
            'legend': True,
        },
    }


def _run(graph: DemoGraph, processes: NodeProcesses, frames: int) -> None:
    """Wait for the nodes, start the camera, and see all its images through."""

    with tqdm(total=frames, unit='frame', desc='starting the nodes') as bar:

        def serve() -> None:
            graph.serve(0.2)
            processes.check()
            if graph.pictures > bar.n:
                bar.update(graph.pictures - bar.n)

        deadline = time.monotonic() + _READY_S
        while not graph.ready():
            if time.monotonic() > deadline:
                raise PerceptionError(
                    f'the nodes were not ready within {_READY_S:.0f} s; see the files in log/'
                )
            serve()
        bar.set_description('starting the camera')
        graph.start_camera()
        bar.set_description('camera to overlay')
        bar.unpause()
        while graph.camera_state != 'finished':
            serve()
            if graph.camera_state == 'lost':
                raise PerceptionError(f'camera_node: {graph.camera_fault}')
        while graph.quiet_s < _LAST_RESULTS_S and graph.pictures < graph.camera_frames:
            serve()
    moment_s = time.monotonic()
    while not graph.reported_since(moment_s) and time.monotonic() < moment_s + _LAST_RESULTS_S:
        graph.serve(0.2)


class _DetectionsFile(ResultsFile):
    """What detect_node published, in the form of docs/command_line.md, as it comes."""

    def __init__(self, path: Path, arguments: argparse.Namespace, spec: ModelSpec) -> None:
        self._size: tuple[int, int] = arguments.size
        self._ids = {name: index for index, name in enumerate(spec.class_names)}
        self._index = 0
        head = {
            'format': FORMAT,
            'version': VERSION,
            'source': arguments.source,
            'model': {
                'name': spec.name,
                'version': spec.version,
                'family': spec.family,
                'task': spec.task,
                'classes': list(spec.class_names),
            },
        }
        super().__init__(path, head)

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


def _table(graph: DemoGraph) -> str:
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


def _results(out: Path) -> str:
    """The files that there are now."""
    lines = ['', f'Results in {out}:']
    for name, meaning in _RESULTS.items():
        path = out / name
        if path.exists():
            files = [path] if path.is_file() else list(path.rglob('*'))
            size = sum(file.stat().st_size for file in files if file.is_file())
            lines.append(f'  {name:<16} {size / 1e6:6.1f} MB  {meaning}')
    return '\n'.join(lines)
