"""The compilers of CUDA C: nvcc of an installed CUDA toolkit, else NVRTC from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from trt_perception.errors import KernelError, MissingDependencyError

_NVCC_SECONDS = 300


class Source(msgspec.Struct, frozen=True):
    """One file of CUDA C.

    Attributes:
        name: of the file, with `.cu`.
        text: its content.
        headers: those that it may include, by name.
    """

    name: str
    text: str
    headers: dict[str, str]


class Compiler(Protocol):
    """Makes cubins."""

    @property
    def version(self) -> str:
        """Its name and version, in one line."""
        ...

    def compile(self, source: Source, architecture: str, options: Sequence[str]) -> bytes:
        """The cubin of a source.

        Args:
            source: with its headers.
            architecture: such as 'sm_87'.
            options: that nvcc and NVRTC both know.

        Raises:
            KernelError: with the compiler's text.
        """
        ...


def find_compiler() -> Compiler:
    """nvcc if it is installed, else NVRTC.

    Raises:
        MissingDependencyError: there is neither.
    """
    nvcc = find_nvcc()
    return Nvcc(nvcc) if nvcc else Nvrtc()


def find_nvcc() -> str:
    """Path of nvcc, from CUDA_HOME, PATH or the toolkit's usual folder; '' without one."""
    home = os.environ.get('CUDA_HOME', '')
    places = [f'{home}/bin/nvcc'] if home else []
    for place in (*places, 'nvcc', '/usr/local/cuda/bin/nvcc'):
        found = shutil.which(place)
        if found:
            return found
    return ''


class Nvcc:
    """The CUDA toolkit's compiler."""

    def __init__(self, path: str) -> None:
        """Ask `path` for its version.

        Raises:
            KernelError: it does not start.
        """
        self._path = path
        done = self._run('--version')
        if done.returncode != 0:
            raise KernelError(f'{path} --version fails: {done.stderr.strip()}. Mend the toolkit')
        self._version = f'nvcc {done.stdout.strip().splitlines()[-1]}'

    @property
    def version(self) -> str:
        """Its build."""
        return self._version

    def compile(self, source: Source, architecture: str, options: Sequence[str]) -> bytes:
        """See `Compiler`."""
        with tempfile.TemporaryDirectory(prefix='trt_perception_') as name:
            folder = Path(name)
            for header, text in source.headers.items():
                (folder / header).write_text(text)
            (folder / source.name).write_text(source.text)
            done = self._run(
                *('-cubin', f'-arch={architecture}', *options),
                *('-o', str(folder / 'out'), str(folder / source.name)),
            )
            if done.returncode != 0:
                text = (done.stderr + done.stdout).replace(f'{folder}/', '')
                raise refusal(self.version, source, architecture, text)
            return (folder / 'out').read_bytes()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self._path, *arguments],
                capture_output=True,
                text=True,
                check=False,
                timeout=_NVCC_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelError(f'{self._path} does not run: {error}. Mend the toolkit') from error


class Nvrtc:
    """NVIDIA's run-time compiler, through cuda-bindings."""

    def __init__(self) -> None:
        """Load it.

        Raises:
            MissingDependencyError: cuda-bindings or the library is not installed.
        """
        try:
            from cuda.bindings import nvrtc

            (_, *version) = _checked(nvrtc, nvrtc.nvrtcVersion())
        except (ImportError, RuntimeError) as error:
            raise MissingDependencyError(
                f'the CUDA kernels need a compiler, and there is neither nvcc nor NVRTC ({error}). '
                'Install the CUDA toolkit, or: pip install "trt_perception[nvrtc]"'
            ) from error
        self._nvrtc = nvrtc
        self._version = 'NVRTC ' + '.'.join(map(str, version))

    @property
    def version(self) -> str:
        """Its release."""
        return self._version

    def compile(self, source: Source, architecture: str, options: Sequence[str]) -> bytes:
        """See `Compiler`."""
        nvrtc = self._nvrtc
        texts = [text.encode() for text in source.headers.values()]
        names = [name.encode() for name in source.headers]
        _, program = _checked(
            nvrtc,
            nvrtc.nvrtcCreateProgram(
                source.text.encode(), source.name.encode(), len(names), texts, names
            ),
        )
        try:
            given = [option.encode() for option in (f'-arch={architecture}', *options)]
            (result,) = nvrtc.nvrtcCompileProgram(program, len(given), given)
            if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
                text = self._text(program).decode(errors='replace')
                raise refusal(self.version, source, architecture, f'{result.name}\n{text}')
            _, size = _checked(nvrtc, nvrtc.nvrtcGetCUBINSize(program))
            cubin = bytearray(size)
            _checked(nvrtc, nvrtc.nvrtcGetCUBIN(program, cubin))
            return bytes(cubin)
        finally:
            nvrtc.nvrtcDestroyProgram(program)

    def _text(self, program: Any) -> bytes:
        """What the compiler says."""
        _, size = _checked(self._nvrtc, self._nvrtc.nvrtcGetProgramLogSize(program))
        text = bytearray(size)
        _checked(self._nvrtc, self._nvrtc.nvrtcGetProgramLog(program, text))
        return bytes(text).rstrip(b'\0')


def _checked(nvrtc: Any, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    if answer[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise KernelError(f'NVRTC fails: {answer[0].name}')
    return answer


def refusal(version: str, source: Source, architecture: str, text: str) -> KernelError:
    """The error for a source that a compiler does not take."""
    return KernelError(
        f'{version} does not compile {source.name} for {architecture}. If it does not know this '
        f'GPU, install a newer CUDA toolkit. It says:\n{text.strip()}'
    )
