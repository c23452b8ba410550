"""Does the work of a replay on the machines of a Ray cluster, which see the same files."""

from __future__ import annotations

from typing import Any

from trt_perception.errors import InferenceError, MissingDependencyError, PerceptionError
from trt_perception.replaying.part_work import Tell
from trt_perception.replaying.replay import Replay, Work

_AHEAD = 2
"""Pieces of work that wait at the cluster for each one that it can do at a time."""


def run_on_ray(replay: Replay, tell: Tell, threads: int) -> None:
    """Do all work in tasks of Ray: on the cluster of RAY_ADDRESS, one that runs, or a new one here.

    Args:
        replay: the work.
        tell: told of images that are done, once a part is.
        threads: CPUs that a task takes.

    Raises:
        MissingDependencyError: Ray is not installed.
        PerceptionError: what a task raised, or that the cluster failed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            '--cluster ray needs Ray, which is not installed. '
            "Install it with: pip install 'trt_perception[ray]'"
        ) from error
    try:
        ray.init(log_to_driver=False, logging_level='ERROR')
    except Exception as error:  # of the address, the network, the versions
        raise InferenceError(f'Ray cannot be reached or started: {error}') from error
    try:
        _run(ray, replay, tell, threads)
    except ray.exceptions.RayError as error:
        raise InferenceError(
            f'a task of the Ray cluster failed: {str(error).strip()}. '
            'The same command goes on where this one stopped'
        ) from error
    finally:
        ray.shutdown()


def _run(ray: Any, replay: Replay, tell: Tell, threads: int) -> None:
    remote = ray.remote(do).options(num_cpus=threads)
    cpus = ray.cluster_resources().get('CPU', 0)
    if cpus < threads:
        raise InferenceError(
            f'no task can run: it needs {threads} CPUs, the Ray cluster has {cpus:g} in all. '
            'Lower --threads'
        )
    room = _AHEAD * int(cpus // threads)
    running: dict[Any, Work] = {}
    while True:
        while len(running) < room and (work := replay.next()) is not None:
            running[remote.remote(work)] = work
        if not running:
            return
        ready, _ = ray.wait(list(running))
        for reference in ready:
            outcome = ray.get(reference)
            if isinstance(outcome, PerceptionError):
                raise outcome
            tell(outcome)
            replay.done(running.pop(reference))


def do(work: Work) -> int | PerceptionError:
    """What a task does.

    Returns:
        How many images were looked at, or why it failed.
    """
    images = 0

    def count(more: int) -> None:
        nonlocal images
        images += more

    try:
        work.run(count)
    except PerceptionError as error:
        return error
    return images
