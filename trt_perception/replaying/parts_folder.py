"""The folder beside an unfinished bag: finished parts, and what they were made with.

A part is a folder that has its final name only when all of it is on the disk. Whatever ends a run,
what lies here is either whole or has a name that nobody reads.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trt_perception.closing import Closing
from trt_perception.errors import OutputError

RUN = 'replay.json'
"""What a finished bag, and the folder of an unfinished one, were made with."""

_UNFINISHED = '.writing'
_PARTS = '.parts'
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class PartsFolder(Closing):
    """Held by one run at a time."""

    def __init__(self, out: Path, made_with: Mapping[str, Any]) -> None:
        """Make the folder, or go on with that of an earlier run.

        Args:
            out: the bag that will be written.
            made_with: what the results depend on; anything that JSON can hold.

        Raises:
            OutputError: it cannot be made, another run works in it, or it was made with
                something else.
        """
        self.out = out
        self.path = folder_of(out)
        self._made_with = dict(made_with)
        self._lock = -1
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / 'lock', os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise OutputError(f'{out}: another run is writing this bag. Wait for it') from error
        except OSError as error:
            self.close()
            raise OutputError(f'{self.path}: cannot be used for the parts: {error}') from error
        try:
            self._check()
            self._sweep()
        except BaseException:
            self.close()
            raise

    def finished(self, index: int) -> bool:
        """Whether a part is there."""
        return part_path(self.path, index).is_dir()

    def clear(self) -> None:
        """Remove all parts and the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Let another run work here. A second call does nothing."""
        if self._lock >= 0:
            lock, self._lock = self._lock, -1
            os.close(lock)

    def _check(self) -> None:
        """Note what the parts are made with, or compare it with what is noted."""
        noted = read_run(self.path)
        if noted is None:
            write_run(self.path, self._made_with)
            return
        different = differences(noted, self._made_with)
        if different:
            raise OutputError(
                f'{self.path}: holds parts of a run with other settings ({different}). '
                'Give the same ones to go on with it, or remove the folder'
            )

    def _sweep(self) -> None:
        """Remove what a run left that was killed."""
        for folder in self.path.glob(f'*{_UNFINISHED}'):
            shutil.rmtree(folder, ignore_errors=True)


def folder_of(out: Path) -> Path:
    """Where the parts of a bag lie while it is unfinished."""
    return out.with_name(f'{out.name}{_PARTS}')


def out_of(folder: Path) -> Path:
    """The bag whose parts lie in a folder; see `folder_of`."""
    return folder.with_name(folder.name.removesuffix(_PARTS))


@contextlib.contextmanager
def told_of(out: Path) -> Iterator[None]:
    """Within it, want of room is told with the bag to write, not with a folder that goes away.

    Raises:
        OutputError: as it was, or there is no room for what is written.
    """
    try:
        yield
    except OutputError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_ROOM:
            raise
        raise OutputError(
            f'{out}: cannot be written: {error.__cause__.strerror}. Make room, and the same '
            'command goes on where this one stopped'
        ) from error


def part_path(folder: Path, index: int) -> Path:
    """Where a finished part lies."""
    return folder / f'part_{index:06d}'


def unfinished_path(folder: Path) -> Path:
    """A folder to write in that no other process writes in; a later run removes it."""
    return folder / f'{os.getpid()}_{secrets.token_hex(4)}{_UNFINISHED}'


def finish(written: Path, final: Path) -> None:
    """Give a folder its final name once all of it is on the disk.

    If somebody else has finished the same one meanwhile, theirs stays: it holds the same.

    Raises:
        OutputError: the disk is full or broken.
    """
    try:
        for file in written.iterdir():
            _to_disk(file)
        _to_disk(written)
        try:
            written.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(written, ignore_errors=True)
        _to_disk(final.parent)
    except OSError as error:
        raise OutputError(f'{final}: cannot be finished: {error}') from error


def read_run(folder: Path) -> dict[str, Any] | None:
    """What a bag or its parts were made with; None where nothing says so."""
    try:
        found = json.loads((folder / RUN).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_run(folder: Path, content: Mapping[str, Any]) -> None:
    """Write it, all or nothing.

    Raises:
        OutputError: the disk is full.
    """
    part = folder / f'{RUN}.part'
    try:
        part.write_text(json.dumps(dict(content), indent=1) + '\n', encoding='utf-8')
        _to_disk(part)
        part.replace(folder / RUN)
    except OSError as error:
        raise OutputError(f'{folder / RUN}: cannot be written: {error}') from error


def differences(noted: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What of `wanted` is noted otherwise, in words; '' if nothing is."""
    return ', '.join(
        f'{key}: {noted.get(key)} there, {value} now'
        for key, value in wanted.items()
        if noted.get(key) != value
    )


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)  # some file systems cannot sync a folder
    finally:
        os.close(handle)
