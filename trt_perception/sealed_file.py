"""A file of which every bit is accounted for, and the private folder in which it lies.

Layout: magic (8 bytes), length of the header (4 bytes, little endian), header (JSON), SHA-256 of
all before (32 bytes), payload. The header states the payload's length and SHA-256, so that the
header can be trusted without reading the payload, and no change of any bit goes unnoticed.

A digest finds accidents. Against a person it does not help, since whoever can write the file can
write the digest: that is what the folder's and the file's owner and permissions are for.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trt_perception.errors import EngineFileError

MAGIC = b'TRTPSEAL'
_LENGTH_BYTES = 4
_DIGEST_BYTES = 32
_MAX_HEADER_BYTES = 16 << 20
PARTIAL_SUFFIX = '.partial'
"""How the name of a file ends while it is being written."""


class Seal(msgspec.Struct, frozen=True):
    """What stands at the start of a sealed file.

    Attributes:
        header: what its writer says of it.
        payload_bytes, payload_sha256: length and digest of what follows.
    """

    header: dict[str, Any]
    payload_bytes: int
    payload_sha256: str


def open_private_folder(path: Path, *, create: bool) -> int:
    """A file descriptor of a folder that nobody else can write.

    Raises:
        EngineFileError: it belongs to somebody else, or others may write into it.
        OSError: it does not exist and cannot be made, or is no folder.
    """
    if create:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _refuse_others(os.fstat(folder), str(path), f'chmod 700 {path}')
    except EngineFileError:
        os.close(folder)
        raise
    return folder


@contextlib.contextmanager
def private_folder(path: Path, *, create: bool) -> Iterator[int]:
    """`open_private_folder`, closed at the end of the block."""
    folder = open_private_folder(path, create=create)
    try:
        yield folder
    finally:
        os.close(folder)


def open_private_file(folder: int, name: str) -> int:
    """A file descriptor, for reading, of a regular file that nobody else can have written.

    Raises:
        EngineFileError: it is a link or no file, belongs to somebody else, or others may write it.
        OSError: it does not exist or cannot be opened.
    """
    try:
        # Without O_NONBLOCK a pipe of that name would keep us waiting for ever.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise EngineFileError(f'{name} is a symbolic link; delete it') from error
        raise
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise EngineFileError(f'{name} is not a regular file; delete it')
        _refuse_others(facts, name, f'delete it, or chmod 600 {name} if you trust it')
    except EngineFileError:
        os.close(file)
        raise
    return file


def read_header(file: int) -> Seal:
    """The verified header of an open sealed file; the payload is not looked at.

    Raises:
        EngineFileError: it is not a sealed file, or its header is damaged.
    """
    return _read_seal(file)[0]


def read_sealed(file: int) -> tuple[dict[str, Any], bytes]:
    """Header and payload of an open sealed file, both verified.

    Raises:
        EngineFileError: it is not a sealed file, is damaged, truncated, or too long.
    """
    seal, offset = _read_seal(file)
    length = os.fstat(file).st_size - offset
    if length != seal.payload_bytes:
        raise EngineFileError(
            f'damaged: {length} bytes behind the header, {seal.payload_bytes} were written'
        )
    payload = _read_exactly(file, length, offset)
    if hashlib.sha256(payload).hexdigest() != seal.payload_sha256:
        raise EngineFileError('damaged: the content does not match its digest')
    return seal.header, payload


def write_sealed(folder: int, name: str, header: dict[str, Any], payload: bytes) -> None:
    """Write a sealed file so that, whenever power or process ends, all of it is there or nothing.

    Args:
        folder: descriptor of the folder.
        header: anything that JSON can hold, and numpy's numbers.

    Raises:
        OSError: the folder is read-only, the disk is full, ... Nothing is left behind.
    """
    seal = Seal(header, len(payload), hashlib.sha256(payload).hexdigest())
    text = msgspec.json.encode(seal, order='sorted', enc_hook=_plain)
    start = MAGIC + len(text).to_bytes(_LENGTH_BYTES, 'little') + text
    partial = f'.{name}.{os.getpid()}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}'
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    file = os.open(partial, flags, 0o600, dir_fd=folder)
    try:
        try:
            for block in (start, hashlib.sha256(start).digest(), payload):
                _write_all(file, block)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial, dir_fd=folder)
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        os.fsync(folder)


def _plain(value: object) -> object:
    """Python's own number for one of numpy's: figures of a measurement often are."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f'{type(value).__name__} cannot stand in a header')


def _refuse_others(facts: os.stat_result, what: str, remedy: str) -> None:
    # Root can do as it likes anyway, and installs engines that other users may run.
    if facts.st_uid not in (os.geteuid(), 0):
        raise EngineFileError(
            f'{what} belongs to user {facts.st_uid}, not to user {os.geteuid()} who runs this, and '
            'an engine can run code. Name a folder of your own'
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EngineFileError(
            f'{what} can be written by other users (mode {stat.S_IMODE(facts.st_mode):o}), and '
            f'an engine can run code: {remedy}'
        )


def _read_seal(file: int) -> tuple[Seal, int]:
    """The verified header, and where the payload begins."""
    start = _read_exactly(file, len(MAGIC) + _LENGTH_BYTES, 0)
    if start[: len(MAGIC)] != MAGIC:
        raise EngineFileError('not an engine file of this package')
    length = int.from_bytes(start[len(MAGIC) :], 'little')
    if length > _MAX_HEADER_BYTES:
        raise EngineFileError('damaged: the header has an impossible length')
    text = _read_exactly(file, length, len(start))
    offset = len(start) + length + _DIGEST_BYTES
    if hashlib.sha256(start + text).digest() != _read_exactly(
        file, _DIGEST_BYTES, len(start + text)
    ):
        raise EngineFileError('damaged: the header does not match its digest')
    try:
        return msgspec.json.decode(text, type=Seal), offset
    except msgspec.DecodeError as error:
        raise EngineFileError(f'written by another version of this package ({error})') from error


def _read_exactly(file: int, length: int, offset: int) -> bytes:
    blocks = []
    while length > 0:
        block = os.pread(file, length, offset)
        if not block:
            raise EngineFileError(f'damaged: it ends {length} bytes too early')
        blocks.append(block)
        length -= len(block)
        offset += len(block)
    return blocks[0] if len(blocks) == 1 else b''.join(blocks)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
