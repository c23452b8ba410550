"""Does the work of a replay in this process, or in several of this machine."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from trt_perception.errors import InferenceError, PerceptionError
from trt_perception.replaying.part_work import Tell
from trt_perception.replaying.recipe import let_go
from trt_perception.replaying.replay import Replay, Work

_END_S = 5.0
"""A process may finish the image that it looks at."""


def run_here(replay: Replay, tell: Tell) -> None:
    """Do all work in this process.

    Raises:
        PerceptionError: see `PartWork.run` and `AssemblyWork.run`.
    """
    try:
        while (work := replay.next()) is not None:
            work.run(tell)
            replay.done(work)
    finally:
        let_go()


def run_in_processes(replay: Replay, tell: Tell, jobs: int) -> None:
    """Do all work in `jobs` processes that are started for it.

    They end with this process, however it ends: the pipe to it breaks.

    Raises:
        PerceptionError: what a process raised, or that one ended without a word.
    """
    with _processes(jobs) as idle:
        busy: dict[Connection, Work] = {}
        while True:
            while idle and (work := replay.next()) is not None:
                pipe = idle.pop()
                pipe.send(work)
                busy[pipe] = work
            if not busy:
                return
            for ready in wait(list(busy)):
                pipe = cast(Connection, ready)
                told = _received(pipe)
                if isinstance(told, int):
                    tell(told)
                elif isinstance(told, PerceptionError):
                    raise told
                else:
                    replay.done(busy.pop(pipe))
                    idle.append(pipe)


@contextmanager
def _processes(jobs: int) -> Iterator[list[Connection]]:
    """Starts processes; gives the pipes to them."""
    context = get_context('spawn')  # a fork would copy the threads' locks, and the GPU's context
    started: list[tuple[Any, Connection]] = []
    try:
        for number in range(jobs):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there,), name=f'replay {number}')
            process.start()
            there.close()
            started.append((process, here))
        yield [pipe for _, pipe in started]
    finally:
        for _, pipe in started:
            pipe.close()
        for process, _ in started:
            process.join(_END_S)
            process.terminate()


def _received(pipe: Connection) -> object:
    try:
        received: object = pipe.recv()
    except (EOFError, ConnectionError) as error:
        raise InferenceError(
            'a process of the replay ended without a word, perhaps for want of memory. The same '
            'command goes on where this one stopped; --jobs with fewer processes takes less memory'
        ) from error
    return received


def serve(pipe: Connection) -> None:
    """What a started process does: the work that comes, until the pipe breaks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    logging.basicConfig(format='%(levelname)s: %(message)s', level=logging.WARNING)
    try:
        while True:
            work: Work = pipe.recv()
            try:
                work.run(pipe.send)
            except PerceptionError as error:
                pipe.send(error)
            else:
                pipe.send(None)
    except (EOFError, ConnectionError):
        return
    finally:
        let_go()
