"""Several programs that run together: they end with the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trt_perception.closing import Closing
from trt_perception.errors import PerceptionError

_PR_SET_PDEATHSIG = 1
_SHOWN_LINES = 12


class ProcessDiedError(PerceptionError):
    """One of the programs ended by itself."""


@dataclass
class _Program:
    process: subprocess.Popen[bytes]
    log: Path
    output: IO[bytes]


class NodeProcesses(Closing):
    """Starts programs, each with a log file, and ends them all when its `with` block is left.

    They are ended by SIGINT, as at a terminal, then SIGTERM, then SIGKILL. If this process is
    killed, the kernel sends them SIGTERM. Start them from the main thread: the kernel watches
    the thread that started them.
    """

    def __init__(self, logs: Path) -> None:
        """Prepare; `logs` is the folder of the log files."""
        self._logs = logs
        self._programs: dict[str, _Program] = {}

    def close(self) -> None:
        """See `stop`."""
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start one program; what it prints goes to `name`.log."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f'{name}.log'
        output = log.open('wb')
        # A Ctrl-C between the start and the note of it would leave the program behind.
        with _ctrl_c_held():
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                # Its own session: a Ctrl-C at the terminal reaches this process only, which
                # then ends the others in an orderly way.
                start_new_session=True,
                preexec_fn=_end_with_parent(os.getpid()),
            )
            self._programs[name] = _Program(process, log, output)

    def check(self) -> None:
        """Make sure that all run.

        Raises:
            ProcessDiedError: one has ended; the text holds the end of its log.
        """
        for name, program in self._programs.items():
            status = program.process.poll()
            if status is not None:
                raise ProcessDiedError(
                    f'{name} ended by itself {_in_words(status)}. The last lines of '
                    f'{program.log}:\n{_last_lines(program.log)}'
                )

    def stop(self, patience_s: float = 5.0) -> None:
        """End all that still run; each signal is given `patience_s` seconds."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [p.process for p in self._programs.values() if p.process.poll() is None]
            for process in running:
                _signal_session(process, number)
            deadline = time.monotonic() + patience_s
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        for program in self._programs.values():
            program.output.close()
        self._programs.clear()


def _signal_session(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Puts a SIGINT to this thread off until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """What a child does between fork and exec, so that it ends when process `parent` dies."""
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def _in_words(status: int) -> str:
    if status >= 0:
        return f'with status {status}'
    try:
        return f'by signal {signal.Signals(-status).name}'
    except ValueError:
        return f'by signal {-status}'


def _last_lines(log: Path) -> str:
    with log.open(errors='replace') as text:
        lines = deque((line.rstrip() for line in text if line.strip()), maxlen=_SHOWN_LINES)
    return '\n'.join(f'  {line}' for line in lines) or '  (it printed nothing)'
