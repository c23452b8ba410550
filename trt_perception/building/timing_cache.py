"""TensorRT's timing cache, kept per GPU and version beside the engines.

It spares the next build the kernels that were timed before. TensorRT refuses one of another GPU
or version by itself; the key keeps them apart so that none is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from trt_perception.building.engine_identity import EngineIdentity
from trt_perception.errors import EngineFileError
from trt_perception.sealed_file import (
    open_private_file,
    open_private_folder,
    read_sealed,
    write_sealed,
)

log = logging.getLogger(__name__)


def load_timing_cache(folder: Path, identity: EngineIdentity) -> bytes:
    """The kept one, verified; b'' if there is none that can be trusted."""
    with contextlib.suppress(OSError, EngineFileError):
        opened = open_private_folder(folder, create=False)
        try:
            file = open_private_file(opened, _name(identity))
            try:
                return read_sealed(file)[1]
            finally:
                os.close(file)
        finally:
            os.close(opened)
    return b''


def keep_timing_cache(folder: Path, identity: EngineIdentity, content: bytes) -> None:
    """Keep one for the next build; without it that is slower, so a failure is only logged."""
    if not content:
        return
    try:
        opened = open_private_folder(folder, create=True)
        try:
            header = {'timed_on': msgspec.to_builtins(identity.gpu)}
            write_sealed(opened, _name(identity), header, content)
        finally:
            os.close(opened)
    except (OSError, EngineFileError) as error:
        log.info('the timing cache is not kept: %s', error)


def _name(identity: EngineIdentity) -> str:
    parts = (identity.tensorrt, identity.cuda, identity.platform, identity.gpu)
    return hashlib.sha256(msgspec.json.encode(parts, order='sorted')).hexdigest() + '.timing'
