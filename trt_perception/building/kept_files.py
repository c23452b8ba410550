"""What is kept in the engines' folder, engines and timing caches: listing it, and deleting it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from trt_perception.building.engine_file import read_kept_header
from trt_perception.building.engine_identity import EngineIdentity
from trt_perception.errors import EngineFileError
from trt_perception.sealed_file import open_private_file, private_folder, read_header

ENGINE_SUFFIX, TIMINGS_SUFFIX = '.engine', '.timing'


@dataclass(frozen=True)
class KeptFile:
    """One file of the folder.

    Attributes:
        size_bytes: of the file.
        last_used: seconds since the epoch.
        damaged: why the file cannot be used, or ''. Only the header is looked at.
    """

    path: Path
    size_bytes: int
    last_used: float
    damaged: str = ''


@dataclass(frozen=True)
class KeptEngine(KeptFile):
    """An engine.

    Attributes:
        label, identity, facts: from the header; '', None and {} where it is `damaged`.
    """

    label: str = ''
    identity: EngineIdentity | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptTimings(KeptFile):
    """TensorRT's timing cache of one GPU and version; see timing_cache.py."""


Kept = TypeVar('Kept', bound=KeptFile)


def kept_engines(folder: Path) -> list[KeptEngine]:
    """Every engine file in a folder, the last used first; [] if there is no folder.

    Raises:
        EngineFileError: the folder cannot be trusted.
        OSError: it cannot be read.
    """

    def described(opened: int, name: str, file: KeptFile) -> KeptEngine:
        header = read_kept_header(opened, name)
        label, identity, facts = header.label, header.identity, header.facts
        return KeptEngine(file.path, file.size_bytes, file.last_used, '', label, identity, facts)

    return _kept(folder, ENGINE_SUFFIX, described, KeptEngine)


def kept_timings(folder: Path) -> list[KeptTimings]:
    """Every timing cache in a folder; otherwise like `kept_engines`."""

    def described(opened: int, name: str, file: KeptFile) -> KeptTimings:
        descriptor = open_private_file(opened, name)
        try:
            read_header(descriptor)
        finally:
            os.close(descriptor)
        return KeptTimings(file.path, file.size_bytes, file.last_used)

    return _kept(folder, TIMINGS_SUFFIX, described, KeptTimings)


def prune(
    folder: Path,
    *,
    max_bytes: int | None = None,
    max_age_s: float | None = None,
    dry_run: bool = False,
) -> list[KeptFile]:
    """Delete what is damaged, then what is too old, then the longest unused until the rest fits.

    Only engines and timing caches of this package are ever touched.

    Args:
        max_bytes: what may remain, in bytes; None: no limit.
        max_age_s: seconds since the last use; None: no limit.
        dry_run: only say what would be deleted.

    Returns:
        What was deleted, the last used first.

    Raises:
        EngineFileError: the folder cannot be trusted.
        OSError: it cannot be read or written.
    """
    kept: list[KeptFile] = [*kept_engines(folder), *kept_timings(folder)]
    gone, total, now = [], 0, time.time()
    for file in sorted(kept, key=_last_used_first):
        if file.damaged or (max_age_s is not None and now - file.last_used > max_age_s):
            gone.append(file)
            continue
        # Once one does not fit, none of those that were used before it does.
        total += file.size_bytes
        if max_bytes is not None and total > max_bytes:
            gone.append(file)
    if not dry_run:
        for file in gone:
            file.path.unlink(missing_ok=True)
    return gone


def _kept(
    folder: Path,
    suffix: str,
    described: Callable[[int, str, KeptFile], Kept],
    damaged: Callable[[Path, int, float, str], Kept],
) -> list[Kept]:
    named = re.compile(r'[0-9a-f]{64}' + re.escape(suffix))
    found = []
    try:
        with private_folder(folder, create=False) as opened:
            for name in filter(named.fullmatch, os.listdir(opened)):  # noqa: PTH208
                try:
                    facts = os.stat(name, dir_fd=opened, follow_symlinks=False)
                except FileNotFoundError:  # deleted in the meantime
                    continue
                file = KeptFile(folder / name, facts.st_size, facts.st_mtime)
                try:
                    found.append(described(opened, name, file))
                except (OSError, EngineFileError) as error:
                    found.append(damaged(file.path, file.size_bytes, file.last_used, str(error)))
    except FileNotFoundError:
        return []
    return sorted(found, key=_last_used_first)


def _last_used_first(file: KeptFile) -> tuple[float, Path]:
    return -file.last_used, file.path
