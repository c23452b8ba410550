"""Kernels compiled for the GPU at hand, and kept.

Compiled code lies in sealed files, one for each source, compute capability and compiler. What
cannot be kept or is damaged is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from trt_perception.errors import EngineFileError, MissingDependencyError, ParameterError
from trt_perception.kernels.compilers import Compiler, Source, find_compiler
from trt_perception.sealed_file import (
    open_private_file,
    open_private_folder,
    read_sealed,
    write_sealed,
)

log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent
"""Where the sources lie."""

SOURCES = ('letterbox', 'dense_head', 'instance_masks', 'class_map')
"""The files that are compiled, without `.cu`."""

OPTIONS = (
    # Results equal the CPU's only if every operation is rounded as there.
    *('--fmad=false', '--ftz=false', '--prec-div=true', '--prec-sqrt=true'),
    *('--std=c++17', '--generate-line-info'),
)
"""For nvcc and NVRTC alike."""

Capability = tuple[int, int]
"""Compute capability of a GPU, such as (8, 7)."""


def default_folder() -> Path:
    """`TRT_PERCEPTION_KERNELS`, else `trt_perception/kernels` in the user's cache folder.

    Raises:
        ParameterError: the user has no home folder.
    """
    named = os.environ.get('TRT_PERCEPTION_KERNELS', '')
    if named:
        return Path(named)
    caches = Path(os.environ.get('XDG_CACHE_HOME', ''))
    if not caches.is_absolute():
        try:
            caches = Path.home() / '.cache'
        except RuntimeError as error:
            raise ParameterError(
                'this user has no home folder, so there is no place for compiled kernels. Set '
                'TRT_PERCEPTION_KERNELS'
            ) from error
    return caches / 'trt_perception' / 'kernels'


def source_of(name: str) -> Source:
    """One of `SOURCES` with all headers."""
    headers = {path.name: path.read_text() for path in sorted(FOLDER.glob('*.cuh'))}
    return Source(f'{name}.cu', (FOLDER / f'{name}.cu').read_text(), headers)


def compiled(name: str, capability: Capability, folder: Path | None = None) -> bytes:
    """The cubin of one of `SOURCES` for a GPU: out of the folder, or compiled and kept there.

    Without a compiler, code that another compiler has left in the folder is used.

    Args:
        name: one of `SOURCES`.
        capability: of the GPU.
        folder: where cubins are kept; None is `default_folder()`.

    Raises:
        KernelError: the compiler refuses; the text is the compiler's.
        MissingDependencyError: there is no compiler, and nothing was kept.
    """
    source = source_of(name)
    kept = _Kept(folder or default_folder(), source, capability)
    try:
        compiler = find_compiler()
    except MissingDependencyError:
        cubin = kept.read('*')
        if cubin is None:
            raise
        return cubin
    key = hashlib.sha256(compiler.version.encode()).hexdigest()[:16]
    cubin = kept.read(key)
    if cubin is None:
        cubin = compile_source(compiler, source, capability)
        kept.write(key, compiler.version, cubin)
    return cubin


def compile_source(compiler: Compiler, source: Source, capability: Capability) -> bytes:
    """The cubin of a source.

    Raises:
        KernelError: with the compiler's text.
    """
    architecture = f'sm_{capability[0]}{capability[1]}'
    return compiler.compile(source, architecture, OPTIONS)


class _Kept:
    """The files of one source and compute capability."""

    def __init__(self, folder: Path, source: Source, capability: Capability) -> None:
        self._folder = folder
        self._identity = {
            'source': source.name,
            'sha256': hashlib.sha256(msgspec.json.encode(source, order='sorted')).hexdigest(),
            'options': list(OPTIONS),
            'capability': list(capability),
        }
        key = hashlib.sha256(msgspec.json.encode(self._identity, order='sorted')).hexdigest()
        stem = source.name.removesuffix('.cu')
        self._stem = f'{stem}-sm_{capability[0]}{capability[1]}-{key[:32]}'

    def read(self, compiler: str) -> bytes | None:
        """The cubin that a compiler made, by its key; '*' stands for any. None without one."""
        with contextlib.suppress(OSError, EngineFileError):
            opened = open_private_folder(self._folder, create=False)
            try:
                names = sorted(path.name for path in self._folder.glob(self._name(compiler)))
                for name in names:
                    with contextlib.suppress(OSError, EngineFileError):
                        return self._verified(opened, name)
            finally:
                os.close(opened)
        return None

    def _verified(self, folder: int, name: str) -> bytes:
        file = open_private_file(folder, name)
        try:
            header, cubin = read_sealed(file)
        finally:
            os.close(file)
        if any(header.get(key) != value for key, value in self._identity.items()):
            raise EngineFileError(f'{name} holds other kernels')
        return cubin

    def write(self, compiler: str, version: str, cubin: bytes) -> None:
        """Keep a cubin; without it the next start is slower, so a failure is only logged."""
        header: dict[str, Any] = {**self._identity, 'compiler': version}
        try:
            opened = open_private_folder(self._folder, create=True)
            try:
                write_sealed(opened, self._name(compiler), header, cubin)
            finally:
                os.close(opened)
        except (OSError, EngineFileError) as error:
            log.warning('compiled kernels cannot be kept in %s: %s', self._folder, error)

    def _name(self, compiler: str) -> str:
        return f'{self._stem}-{compiler}.cubin'
