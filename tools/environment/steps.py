"""Runs the steps of the set-up: progress, logs, stamps, lock and interruption."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HEARTBEAT_SECONDS = 15.0
SHOWN_LINES = 60


class SetupError(Exception):
    """The set-up cannot go on. The text says why and what to do about it."""


def digest(*parts: str | Path) -> str:
    """Gives one hash of texts and of the contents of files, in the order given."""
    state = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        state.update(len(data).to_bytes(8, 'little'))
        state.update(data)
    return state.hexdigest()


class Stamps:
    """Remembers with which inputs each step was last finished."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def current(self, step: str) -> str:
        """Gives the inputs' hash that a step was finished with, or an empty text."""
        path = self._folder / step
        return path.read_text() if path.is_file() else ''

    def clear(self, step: str) -> None:
        (self._folder / step).unlink(missing_ok=True)

    def finish(self, step: str, inputs: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f'.{step}'
        fresh.write_text(inputs)
        fresh.replace(self._folder / step)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[int]:
    """Holds the lock of an environment; yields its descriptor.

    Commands started in between inherit the descriptor, so that one which
    outlives a killed set-up still keeps the next set-up waiting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / 'lock', os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('Another set-up of this environment is running; waiting for it.', flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


class Progress:
    """Prints one line a step: its name, what it is doing now, and how long it took."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._name = ''
        self._started = 0.0
        self._printed = 0.0

    def start(self, name: str) -> None:
        self._name = name
        self._started = self._printed = time.monotonic()
        if not self._live:
            print(f'-- {name} ...', flush=True)

    def tick(self, line: str = '') -> None:
        """Shows that a step is still running, with the last line of its output."""
        now = time.monotonic()
        elapsed = now - self._started
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            text = f'-- {self._name} ... {elapsed:4.0f} s  {line}'
            print('\r\033[K' + text[:width], end='', flush=True)
        elif now - self._printed > HEARTBEAT_SECONDS:
            self._printed = now
            print(f'   {elapsed:4.0f} s  {line[:120]}', flush=True)

    def finish(self, outcome: str = 'done') -> None:
        elapsed = time.monotonic() - self._started
        start = '\r\033[K' if self._live else ''
        print(f'{start}-- {self._name}: {outcome} in {elapsed:.1f} s', flush=True)


class Runner:
    """Runs commands one at a time, each with a log of its own."""

    def __init__(self, logs: Path, progress: Progress, held: int) -> None:
        self._logs = logs
        self._progress = progress
        self._held = held

    def run(
        self,
        log: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        append: bool = False,
    ) -> None:
        """Runs a command to its end.

        Raises SetupError with the end of the command's output if it fails.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f'{log}.log'
        with path.open('ab' if append else 'wb') as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                cwd=cwd,
                pass_fds=(self._held,),
                start_new_session=True,
            )
            try:
                self._wait(process, path)
            except BaseException:
                stop(process)
                raise
        if process.returncode != 0:
            raise SetupError(
                f'{tail(path)}\n\nThe command above failed with status {process.returncode}: '
                f'{" ".join(str(part) for part in command)}\nIts whole output is in {path}.'
            )

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        while True:
            try:
                process.wait(timeout=0.5)
                return
            except subprocess.TimeoutExpired:
                self._progress.tick(last_line(log))


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a command and everything it started."""
    for number, patience in ((signal.SIGINT, 5.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def last_line(path: Path) -> str:
    with path.open('rb') as log:
        log.seek(max(0, path.stat().st_size - 500))
        lines = log.read().decode(errors='replace').split('\n')
    return next((line.strip() for line in reversed(lines) if line.strip()), '')


def tail(path: Path) -> str:
    lines = path.read_text(errors='replace').splitlines()
    return '\n'.join(lines[-SHOWN_LINES:])
