"""TensorRT's timing cache, kept per GPU and version beside the engines.

It spares the next build the kernels that were timed before. TensorRT refuses one of another GPU
or version by itself; the key keeps them apart so that none is lost. `kept_files.prune` deletes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from trt_perception.building.engine_identity import EngineIdentity
from trt_perception.building.kept_files import TIMINGS_SUFFIX
from trt_perception.errors import EngineFileError
from trt_perception.sealed_file import (
    open_private_file,
    private_folder,
    read_sealed,
    write_sealed,
)

log = logging.getLogger(__name__)


def load_timing_cache(folder: Path, identity: EngineIdentity) -> bytes:
    """The kept one, verified; b'' if there is none that can be trusted."""
    try:
        with private_folder(folder, create=False) as opened:
            file = open_private_file(opened, _name(identity))
            try:
                content = read_sealed(file)[1]
                with contextlib.suppress(OSError):  # for `prune`, as engines do
                    os.utime(file)
                return content
            finally:
                os.close(file)
    except (OSError, EngineFileError):
        return b''


def keep_timing_cache(folder: Path, identity: EngineIdentity, content: bytes) -> None:
    """Keep one for the next build; without it that is slower, so a failure is only logged."""
    if not content:
        return
    try:
        with private_folder(folder, create=True) as opened:
            header = {'timed_on': msgspec.to_builtins(identity.gpu)}
            write_sealed(opened, _name(identity), header, content)
    except (OSError, EngineFileError) as error:
        log.info('the timing cache is not kept: %s', error)


def _name(identity: EngineIdentity) -> str:
    parts = (identity.tensorrt, identity.cuda, identity.platform, identity.gpu)
    return hashlib.sha256(msgspec.json.encode(parts, order='sorted')).hexdigest() + TIMINGS_SUFFIX
