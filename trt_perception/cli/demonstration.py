"""The demonstration: starts the nodes, waits for their work, and writes what came of it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tqdm import tqdm

from trt_perception.cli.demonstration_nodes import EXECUTABLES, command_of, parameters_of
from trt_perception.cli.demonstration_results import (
    DetectionsFile,
    clear,
    what_is_left,
    work_table,
)
from trt_perception.cli.film import Film
from trt_perception.cli.isolation import isolated
from trt_perception.cli.main import NOTHING_WORKED, OK
from trt_perception.cli.node_processes import NodeProcesses
from trt_perception.errors import MissingDependencyError, ParameterError, PerceptionError
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.nodes.abandoned_memory import remove_abandoned_segments
from trt_perception.nodes.transport import choose_transport
from trt_perception.sources.opening import open_source

if TYPE_CHECKING:
    from trt_perception.nodes.demo_graph import DemoGraph

_TASKS = ('detect', 'instance', 'semantic')
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
    clear(out)
    print(f'ROS domain {environment["ROS_DOMAIN_ID"]}, on this machine only; {transport.reason}')
    with NodeProcesses(out / 'log') as processes:
        _start(processes, arguments, specs, environment)
        film = Film(out, arguments.rate, arguments.video_seconds)
        file = DetectionsFile(out / 'detections.json', arguments, specs[0])
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
    print(work_table(graph))
    print(what_is_left(out))
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
