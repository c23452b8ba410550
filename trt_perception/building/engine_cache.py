"""Engines that have been built, kept in one private folder under the key of their identity.

What it promises: an engine that comes out was stored whole, under exactly the identity that is
asked for, by this user. Whatever else lies there is a reason, in words, to build again. And the
cache never stands in the way: where it cannot be read or written, the engine is built all the
same and the reason is told.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from trt_perception.building.build_lock import build_lock
from trt_perception.building.engine_file import (
    read_engine_file,
    read_kept_engine,
)
from trt_perception.building.engine_identity import EngineIdentity, differences
from trt_perception.building.kept_files import (
    ENGINE_SUFFIX,
    KeptEngine,
    KeptFile,
    KeptTimings,
    kept_engines,
    kept_timings,
    prune,
)
from trt_perception.errors import EngineFileError, ParameterError
from trt_perception.sealed_file import (
    PARTIAL_SUFFIX,
    private_folder,
    write_sealed,
)

log = logging.getLogger(__name__)

OVERRIDE = 'TRT_PERCEPTION_ENGINES'
"""Environment variable that names another folder."""


@dataclass(frozen=True)
class BuiltEngine:
    """What a build delivers.

    Attributes:
        plan: the serialised engine.
        facts: what the header shall say of it: seconds, memory, accuracy. Anything JSON can hold.
    """

    plan: bytes
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """An engine that may be deserialised.

    Attributes:
        plan: the serialised engine.
        facts: what the build said of it.
        origin: whether it came out of the cache.
        reason: one line: why it was built, or where it was found.
        path: where it is kept; None where it could not be.
        warnings: why it could not be kept, and the like; each with its remedy.
    """

    plan: bytes
    facts: dict[str, Any]
    origin: Literal['cache', 'built']
    reason: str
    path: Path | None
    warnings: tuple[str, ...] = ()


def default_folder() -> Path:
    """`TRT_PERCEPTION_ENGINES`, else `trt_perception/engines` in the user's cache folder.

    Raises:
        ParameterError: the user has no home folder.
    """
    override = os.environ.get(OVERRIDE)
    if override:
        return Path(override)
    base = os.environ.get('XDG_CACHE_HOME', '')
    if base.startswith('/'):
        return Path(base) / 'trt_perception' / 'engines'
    try:
        return Path.home() / '.cache' / 'trt_perception' / 'engines'
    except RuntimeError as error:
        raise ParameterError(
            f'this user has no home folder, so there is no place for engines. Set {OVERRIDE}'
        ) from error


class EngineCache:
    """The engines in one folder. Several processes may use the same folder at once."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when the first engine is stored."""
        self.folder = folder

    def obtain(
        self,
        identity: EngineIdentity,
        build: Callable[[], BuiltEngine],
        *,
        label: str,
        on_wait: Callable[[str], None] = log.info,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Engine:
        """The engine of an identity, from the cache or built and stored.

        One build runs at a time among all processes that use the folder: a second one for the
        same engine would be wasted, and one for another engine would disturb the timing by which
        TensorRT chooses kernels. Who waited looks into the cache again.

        Args:
            identity: what the engine must be.
            build: makes it. It is not called on a hit; what it raises is passed on.
            label: the model's name, to find the engine that a changed one replaces.
            on_wait: told, once, that another process builds.
            cancelled: asked while waiting for another build.

        Raises:
            BuildCancelledError: `cancelled` said so.
        """
        found = self.find(identity, label)
        if isinstance(found, Engine):
            return found
        warnings: list[str] = []
        with build_lock(self.folder, on_wait, cancelled) as locked:
            found = self.find(identity, label)
            if isinstance(found, Engine):
                return found
            log.info('building %s %s: %s', label, identity.precision, found)
            built = build()
            path = self._store(identity, built, label, locked, warnings)
        return Engine(built.plan, built.facts, 'built', found, path, tuple(warnings))

    def keep(self, identity: EngineIdentity, built: BuiltEngine, *, label: str) -> list[str]:
        """Keep an engine, in place of the one of its identity if there is one.

        Returns:
            Why it could not be kept, with the remedy; [] if it is.
        """
        warnings: list[str] = []
        self._store(identity, built, label, False, warnings)
        return warnings

    def add(self, file: Path) -> KeptEngine:
        """Keep an engine file that was built elsewhere, under the key of its identity.

        It must come from a person who is trusted: TensorRT runs what is in it.

        Raises:
            EngineFileError: it cannot be read, is no engine file of this package, is damaged,
                or the folder cannot be trusted.
            OSError: the folder cannot be written.
        """
        header, plan = read_engine_file(file)
        built = BuiltEngine(plan, header.facts)
        path = self._write(header.identity, built, header.label, locked=False)
        facts = path.stat()
        label, identity = header.label, header.identity
        return KeptEngine(path, facts.st_size, facts.st_mtime, '', label, identity, header.facts)

    def find(self, identity: EngineIdentity, label: str) -> Engine | str:
        """The engine of an identity, verified; or why there is none, in one line."""
        name = identity.key + ENGINE_SUFFIX
        try:
            with private_folder(self.folder, create=False) as folder:
                header, plan = read_kept_engine(folder, name)
                if header.identity != identity:
                    return f'{name} holds another engine than its name says'
                return Engine(
                    plan, header.facts, 'cache', f'found in {self.folder}', self.folder / name
                )
        except FileNotFoundError:
            return self._why_missing(identity, label)
        except EngineFileError as error:
            return f'the kept engine is refused: {error}'
        except OSError as error:
            return f'{self.folder} cannot be read: {error.strerror or error}'

    def entries(self) -> list[KeptEngine]:
        """See `kept_files.kept_engines`."""
        return kept_engines(self.folder)

    def timings(self) -> list[KeptTimings]:
        """See `kept_files.kept_timings`."""
        return kept_timings(self.folder)

    def prune(
        self, *, max_bytes: int | None = None, max_age_s: float | None = None, dry_run: bool = False
    ) -> list[KeptFile]:
        """See `kept_files.prune`."""
        return prune(self.folder, max_bytes=max_bytes, max_age_s=max_age_s, dry_run=dry_run)

    def _store(
        self,
        identity: EngineIdentity,
        built: BuiltEngine,
        label: str,
        locked: bool,
        warnings: list[str],
    ) -> Path | None:
        try:
            return self._write(identity, built, label, locked=locked)
        except (OSError, EngineFileError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            warnings.append(
                f'the engine is used but not kept, so the next start builds it again: '
                f'{self.folder}: {why}. Make room or rights there, or set {OVERRIDE}'
            )
            return None

    def _write(
        self, identity: EngineIdentity, built: BuiltEngine, label: str, *, locked: bool
    ) -> Path:
        name = identity.key + ENGINE_SUFFIX
        header = {
            'label': label,
            'identity': msgspec.to_builtins(identity),
            'facts': built.facts,
            'built': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        }
        with private_folder(self.folder, create=True) as folder:
            if locked:  # whoever wrote these is gone
                _remove_partial_files(folder)
            write_sealed(folder, name, header, built.plan)
        return self.folder / name

    def _why_missing(self, identity: EngineIdentity, label: str) -> str:
        """What changed since the most similar engine of this model was built."""
        try:
            kept = [entry.identity for entry in self.entries() if entry.label == label]
        except (OSError, EngineFileError):
            kept = []
        changes = [differences(other, identity) for other in kept if other]
        if not changes:
            return f'no engine of {label} was built here before'
        nearest = min(changes, key=len)
        more = f'; and {len(nearest) - 3} more' if len(nearest) > 3 else ''
        return f'changed since the last engine of {label}: {"; ".join(nearest[:3])}{more}'


def _remove_partial_files(folder: int) -> None:
    """Delete what builds that were killed have left behind."""
    for name in os.listdir(folder):
        if name.startswith('.') and name.endswith(PARTIAL_SUFFIX):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
