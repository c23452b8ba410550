"""The file of one engine: what stands in its header, and how it is read and verified."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from trt_perception.building.engine_identity import EngineIdentity
from trt_perception.errors import EngineFileError
from trt_perception.sealed_file import open_private_file, read_header, read_sealed


class EngineHeader(msgspec.Struct, frozen=True):
    """What an engine file says of itself.

    Attributes:
        label: the model's name.
        identity: what it was built for.
        facts: what the build said of it.
        built: when, in UTC.
    """

    label: str
    identity: EngineIdentity
    facts: dict[str, Any]
    built: str


def read_engine_file(file: Path) -> tuple[EngineHeader, bytes]:
    """Header and plan of an engine file anywhere, both verified. Nothing of the plan is run.

    Raises:
        EngineFileError: it cannot be read, is no engine file of this package, or is damaged.
    """
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        try:
            header, plan = read_sealed(opened)
        finally:
            os.close(opened)
        return _convert(header), plan
    except OSError as error:
        raise EngineFileError(f'{file}: cannot be read: {error.strerror or error}') from error
    except EngineFileError as error:
        raise EngineFileError(f'{file}: {error}') from error


def read_kept_header(folder: int, name: str) -> EngineHeader:
    """The header of an engine in an open private folder; the plan is not looked at.

    Raises:
        EngineFileError: it cannot be trusted, or its header is damaged.
        OSError: it does not exist or cannot be read.
    """
    file = open_private_file(folder, name)
    try:
        return _convert(read_header(file).header)
    finally:
        os.close(file)


def read_kept_engine(folder: int, name: str) -> tuple[EngineHeader, bytes]:
    """Header and plan of an engine in an open private folder, both verified. Counts as a use.

    Raises:
        EngineFileError: it cannot be trusted, is damaged or truncated.
        OSError: it does not exist or cannot be read.
    """
    file = open_private_file(folder, name)
    try:
        header, plan = read_sealed(file)
        with contextlib.suppress(OSError):  # for `prune`; a read-only folder keeps no record
            os.utime(file)
        return _convert(header), plan
    finally:
        os.close(file)


def _convert(header: dict[str, Any]) -> EngineHeader:
    try:
        return msgspec.convert(header, EngineHeader)
    except msgspec.ValidationError as error:
        raise EngineFileError(f'written by another version of this package ({error})') from error
