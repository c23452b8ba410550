"""The demonstration's nodes under a supervisor, and a look at their memory every few seconds."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml
from memory_growth import private_mb

from trt_perception.cli.demonstration_nodes import EXECUTABLES, command_of, parameters_of
from trt_perception.model_store import find_model
from trt_perception.nodes.abandoned_memory import abandoned_bytes
from trt_perception.nodes.demo_graph import programs
from trt_perception.nodes.launching import RESPAWN_DELAY_S

MODELS = ('street_detect', 'street_instance', 'street_semantic')
_PR_SET_PDEATHSIG = 1
_SETTLE_S = 20.0
"""After its start a process still loads and fills its buffers; that is no growth."""


class Sample(NamedTuple):
    """One look at one process.

    Attributes:
        time_s: of the monotonic clock.
        rss_mb: all that is resident.
        private_mb: without files and memory shared with other processes.
    """

    time_s: float
    rss_mb: float
    private_mb: float
    handles: int
    threads: int


class Crash(NamedTuple):
    """A process that nobody ended, and the last lines that it printed."""

    name: str
    status: int
    seconds: float
    said: list[str]


class Graph:
    """Starts the nodes, and starts one again that has ended, as `respawn` of the launch files does.

    Attributes:
        samples: by the name of the node and the number of its start.
        crashes: processes that ended and were not killed by `kill`.
        loads: of the machine, the load average of one minute, at each look: time and value.
        abandoned_mb: shared memory without an owner, at each look.
    """

    def __init__(self, logs: Path, arguments: argparse.Namespace, every_s: float) -> None:
        self.samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        self.crashes: list[Crash] = []
        self.loads: list[tuple[float, float]] = []
        self.abandoned_mb: list[float] = []
        self._logs = logs
        self._every_s = every_s
        self._next_look_s = time.monotonic()
        self._began_s = time.monotonic()
        self._arguments = arguments
        self._started: dict[str, psutil.Popen] = {}
        self._starts: dict[str, int] = defaultdict(int)
        self._since_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}
        self._killed: set[str] = set()
        self._file = logs / 'parameters.yaml'

    def start(self, environment: Mapping[str, str], *, simulated: bool) -> None:
        """Start all nodes anew; `simulated`: with the time of /clock."""
        self.stop()
        shown = argparse.Namespace(
            size=self._arguments.size, source='synthetic', seed=None, frames=0,
            rate=self._arguments.rate,
        )  # fmt: skip
        parameters = parameters_of(shown, [find_model(name) for name in MODELS])
        parameters['camera_node'] |= {'autostart': True, 'stamp': 'now'}
        text = {
            name: {'ros__parameters': {**values, 'use_sim_time': simulated}}
            for name, values in parameters.items()
        }
        self._file.write_text(yaml.safe_dump(text))
        self._environment = dict(environment)
        for name in EXECUTABLES:
            self._start(name)

    def kill(self, name: str) -> None:
        """Kill -9, to be started again."""
        self._killed.add(name)
        self._started[name].kill()

    def processor_s(self, name: str) -> float:
        """Processor time of a node's process so far."""
        times = self._started[name].cpu_times()
        return float(times.user + times.system)

    def said(self, name: str) -> list[str]:
        """The last lines that a node's process printed."""
        return self._log(name).read_text(errors='replace').splitlines()[-8:]

    def tend(self) -> None:
        """Start again what has ended, and look at all of them when it is time."""
        now = time.monotonic()
        for name, process in self._started.items():
            status = process.poll()
            if status is not None and name not in self._due_s:
                if name in self._killed:
                    self._killed.remove(name)
                else:
                    crash = Crash(name, status, now - self._began_s, self.said(name))
                    self.crashes.append(crash)
                self._due_s[name] = now + RESPAWN_DELAY_S
        for name, due_s in list(self._due_s.items()):
            if now >= due_s:
                del self._due_s[name]
                self._start(name)
        if now >= self._next_look_s:
            self._next_look_s = now + self._every_s
            self._look(now)

    def stop(self) -> None:
        """End all, politely at first."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [p for p in self._started.values() if p.poll() is None]
            for process in running:
                process.send_signal(number)
            psutil.wait_procs(running, timeout=8)
        self._started.clear()
        self._due_s.clear()

    def tracebacks(self) -> list[str]:
        """Names of log files with a traceback in them."""
        return [
            log.name
            for log in sorted(self._logs.glob('*.log'))
            if 'Traceback' in log.read_text(errors='replace')
        ]

    def _start(self, name: str) -> None:
        self._starts[name] += 1
        with self._log(name).open('wb') as output:
            self._started[name] = psutil.Popen(
                command_of(name, programs(), self._file),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )
        self._since_s[name] = time.monotonic()

    def _log(self, name: str) -> Path:
        return self._logs / f'{name}_{self._starts[name]}.log'

    def _look(self, now: float) -> None:
        self.abandoned_mb.append(abandoned_bytes() / 1e6)
        self.loads.append((now, os.getloadavg()[0]))
        for name, process in self._started.items():
            if now - self._since_s[name] < _SETTLE_S:
                continue
            with contextlib.suppress(psutil.Error), process.oneshot():
                memory = process.memory_info()
                self.samples[name, self._starts[name]].append(
                    Sample(
                        now,
                        memory.rss / 1e6,
                        private_mb(memory),
                        process.num_fds(),
                        process.num_threads(),
                    )
                )


def _end_with_parent() -> None:
    """The kernel ends the node if this process dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def environment_of(chosen: Mapping[str, str], logs: Path) -> dict[str, Any]:
    """What the nodes run under."""
    return {**os.environ, **chosen, 'ROS_LOG_DIR': str(logs)}
