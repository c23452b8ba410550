"""What `trt_perception replay` does."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from trt_perception.building.onnx_graph import graph_digest
from trt_perception.cli.main import INTERRUPTED, NOTHING_WORKED, OK
from trt_perception.cli.tables import aligned, counted
from trt_perception.cli.thresholds import settings_of
from trt_perception.cli.tracking_arguments import tracker_settings
from trt_perception.errors import MissingDependencyError, ParameterError, PerceptionError
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.model_store import find_model
from trt_perception.pipeline.appearance import check_embeds
from trt_perception.replaying.parts_folder import read_run
from trt_perception.replaying.plan import BagPlan, outputs_of, plan_bag
from trt_perception.replaying.processes import run_here, run_in_processes
from trt_perception.replaying.recipe import Recipe
from trt_perception.replaying.replay import Replay
from trt_perception.runtime.selection import choose_backend
from trt_perception.tracking.assignment import require_solver
from trt_perception.tracking.settings import TrackerSettings

_NO_ROS = (
    'replay: the messages of ROS 2 are missing here ({error}). Run it in the environment of `make '
    'setup`, or source a ROS 2 distribution and the workspace with this package'
)
_HEADINGS = ('bag', 'frames', 'skipped', 'seconds')


def replay_bags(arguments: argparse.Namespace) -> int:
    """Work on all bags; returns the exit status.

    Raises:
        PerceptionError: the model, an argument or every bag cannot be used, or the work failed.
    """
    spec = load_model_spec(find_model(arguments.model))
    choice = choose_backend(arguments.backend, arguments.precision)
    plans, refused = _plans(arguments)
    follows = tracker_settings(arguments).kind != 'none'
    # Objects are followed from part to part, so that only bags can be done at the same time.
    pieces = len(plans) if follows else sum(len(plan.parts) for plan in plans)
    jobs, threads = _shares(arguments, on_cpu=choice.backend == 'onnxruntime-cpu', pieces=pieces)
    recipe = _recipe(arguments, spec, threads)
    model = {
        'model': spec.name,
        'network': graph_digest(spec.onnx)[:16],
        'runs_on': choice.backend,
        'description': _digest(find_model(arguments.model)),
    }
    started = time.perf_counter()
    with Replay(plans, recipe, model, with_images=arguments.with_images) as replay:
        earlier = sum(plan.images for plan in replay.already) + replay.images_done()
        try:
            with _progress(plans, earlier, arguments) as progress:
                _work(replay, progress, arguments, jobs, threads)
        except KeyboardInterrupt:
            print('\ninterrupted; the same command goes on from here', file=sys.stderr)
            return INTERRUPTED
    frames = sum((read_run(plan.out) or {}).get('frames', 0) for plan in plans)
    if not arguments.quiet:
        print(_summary(plans, replay.already, earlier, time.perf_counter() - started))
    for error in refused:
        print(f'trt_perception: {error}', file=sys.stderr)
    return NOTHING_WORKED if refused or not frames else OK


def _plans(arguments: argparse.Namespace) -> tuple[list[BagPlan], list[PerceptionError]]:
    """What is to be done, and why some bags cannot be used.

    Raises:
        PerceptionError: none can.
    """
    bags: Sequence[Path] = arguments.bags
    seen = Counter(bag.expanduser().resolve() for bag in bags)
    twice = [str(bag) for bag, times in seen.items() if times > 1]
    if twice:
        raise ParameterError(f'{", ".join(twice)}: named more than once')
    plans, refused = [], []
    for bag, out in zip(bags, outputs_of(bags, arguments.out), strict=True):
        try:
            plans.append(plan_bag(bag, out, arguments.topic))
        except MissingDependencyError:
            raise
        except PerceptionError as error:
            refused.append(error)
    if not plans:
        for reason in refused[:-1]:
            print(f'trt_perception: {reason}', file=sys.stderr)
        raise refused[-1]
    return plans, refused


def _shares(arguments: argparse.Namespace, *, on_cpu: bool, pieces: int) -> tuple[int, int]:
    """How many processes, and how many threads for each."""
    cores = len(os.sched_getaffinity(0))
    if arguments.cluster:
        return 0, arguments.threads or 1
    jobs = min(arguments.jobs or (cores if on_cpu else 1), pieces)
    return jobs, arguments.threads or max(1, cores // jobs)


def _recipe(arguments: argparse.Namespace, spec: ModelSpec, threads: int) -> Recipe:
    """What is done to each image.

    Raises:
        MissingDependencyError: ROS 2 is not there.
        ModelSpecError, ParameterError: see `settings_of`.
    """
    settings = settings_of(spec, arguments)
    try:
        from trt_perception.nodes.recorded_outputs import recorded_outputs
        from trt_perception.nodes.recorder import foreign_definitions
    except ImportError as error:
        raise MissingDependencyError(_NO_ROS.format(error=error)) from error
    embedding_model = _everywhere(arguments.embedding_model)
    if embedding_model:
        check_embeds(load_model_spec(find_model(embedding_model)))
    return Recipe(
        model=_everywhere(arguments.model),
        backend=arguments.backend,
        precision=arguments.precision,
        fallback=arguments.fallback_precision,
        threads=threads,
        settings=settings,
        tracking=_tracking(arguments),
        embedding_model=embedding_model,
        batch=arguments.batch,
        make_messages=recorded_outputs,
        definitions=tuple(foreign_definitions().items()),
        distro=os.environ.get('ROS_DISTRO') or 'jazzy',
    )


def _tracking(arguments: argparse.Namespace) -> TrackerSettings:
    """How objects are followed.

    Raises:
        MissingDependencyError: SciPy, which that takes, is not installed.
        ParameterError: see `tracker_settings`.
    """
    settings = tracker_settings(arguments)
    if settings.kind != 'none':
        require_solver()
    return settings


def _everywhere(model: str) -> str:
    """The name of a model, or the path of one that holds in any folder."""
    return str(find_model(model).absolute()) if Path(model).suffix else str(model)


def _progress(plans: Sequence[BagPlan], earlier: int, arguments: argparse.Namespace) -> tqdm[Any]:
    # Without a terminal there is no bar; without stderr there is not even a place for it.
    disable = True if arguments.quiet or sys.stderr is None else None
    total = sum(plan.images for plan in plans)
    return tqdm(total=total, initial=earlier, unit='frame', disable=disable)


def _work(
    replay: Replay, progress: tqdm[Any], arguments: argparse.Namespace, jobs: int, threads: int
) -> None:
    tell: Callable[[int], object] = progress.update
    if arguments.cluster == 'ray':
        from trt_perception.replaying.ray_cluster import run_on_ray

        run_on_ray(replay, tell, threads)
    elif jobs == 1:
        run_here(replay, tell)
    else:
        run_in_processes(replay, tell, jobs)


def _summary(
    plans: Sequence[BagPlan], already: Sequence[BagPlan], earlier: int, seconds: float
) -> str:
    """A row for each bag, and how fast it was where all was done now."""
    rows = [_HEADINGS]
    for plan in plans:
        run = read_run(plan.out) or {}
        note = ' (was there)' if plan in already else ''
        rows.append(
            (
                f'{plan.out}{note}',
                str(run.get('frames', 0)),
                counted(run.get('skipped', {})),
                f'{plan.seconds:.1f}',
            )
        )
    table = aligned(rows, '<>>>')
    if earlier or not seconds:
        return f'{table}\n{earlier} images were done by an earlier run'
    recorded = sum(plan.seconds for plan in plans)
    speed = recorded / seconds
    return f'{table}\n{recorded:.1f} s of recording in {seconds:.1f} s, {speed:.1f} times real time'


def _digest(path: Path) -> str:
    """Tells one model description from another."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
