"""What this machine can do: processor, GPU, driver, CUDA, Jetson, and which backends run here."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from trt_perception.building.libraries import (
    Extra,
    Library,
    missing_extras,
    required_libraries,
)
from trt_perception.errors import BackendUnavailableError
from trt_perception.runtime.gpu_probes import (
    Gpu,
    ProbeFailed,
    cuda_driver_version,
    driver_version,
    find_gpus,
    read_text,
)
from trt_perception.runtime.obstacles import (
    ENGINE_BACKENDS,
    engine_obstacles,
    gpu_obstacles,
    obstacles,
)
from trt_perception.runtime.tensorrt_flavour import find_flavour

PRECISIONS = ('fp32', 'tf32', 'fp16', 'bf16', 'int8', 'fp8')

_AMPERE = ('fp32', 'tf32', 'fp16', 'bf16', 'int8')
_ADA = (*_AMPERE, 'fp8')
FAST_PRECISIONS: dict[str, tuple[str, ...]] = {
    '7.5': ('fp32', 'fp16', 'int8'),
    '8.0': _AMPERE,
    '8.6': _AMPERE,
    '8.7': _AMPERE,
    '8.9': _ADA,
    '9.0': _ADA,
    '10.0': _ADA,
    '10.3': _ADA,
    '11.0': _ADA,
    '12.0': _ADA,
    '12.1': _ADA,
}
"""Precisions for which a compute capability has fast hardware, that is tensor cores but for fp32.

Compute capabilities below 7.5 are left out: no supported TensorRT serves them.
"""

FAST_PRECISIONS_SOURCE = (
    'NVIDIA TensorRT support matrix, "Hardware and precision", '
    'https://docs.nvidia.com/deeplearning/tensorrt/latest/getting-started/support-matrix.html'
)

JETPACKS = {
    '36.3': '6.0',
    '36.4': '6.1',
    '36.4.3': '6.2',
    '36.4.4': '6.2.1',
    '38.2': '7.0',
    '38.4': '7.1',
}
"""JetPack by version of Jetson Linux, https://developer.nvidia.com/embedded/jetpack-archive."""


@dataclass(frozen=True)
class Jetson:
    """The board: its name, its Jetson Linux and its JetPack; '' where unknown."""

    board: str
    jetson_linux: str
    jetpack: str


@dataclass(frozen=True)
class Backend:
    """One way to run or build a network.

    Attributes:
        name: 'tensorrt', 'tensorrt-rtx', 'onnxruntime-cuda', 'onnxruntime-cpu'.
        version: of its library; '' if it is not installed.
        lacks: what stands in its way here, each with the remedy; () if nothing does.
    """

    name: str
    version: str
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class DeviceFacts:
    """What `trt_perception doctor` reports. Sizes in bytes.

    Attributes:
        system, architecture, python: such as 'Linux 6.8.0', 'aarch64', '3.10.12'.
        processors: logical CPUs.
        memory_bytes, memory_free_bytes: of the system.
        jetson: None elsewhere.
        gpus: () without one.
        gpu_unknown: why each source of facts about GPUs that was asked before did not answer.
        driver: version of the kernel module, or None.
        cuda_driver: the newest CUDA that the driver serves, or None.
        cuda_runtime: of the installed CUDA toolkit or wheels, or None.
        fast_precisions: of each GPU; None where the table does not know it.
        backends: in the order of preference.
        libraries: that every installation needs.
        missing_extras: what is not installed and serves some commands only.
    """

    system: str
    architecture: str
    python: str
    processors: int
    memory_bytes: int
    memory_free_bytes: int
    jetson: Jetson | None
    gpus: tuple[Gpu, ...]
    gpu_unknown: tuple[str, ...]
    driver: str | None
    cuda_driver: str | None
    cuda_runtime: str | None
    fast_precisions: tuple[tuple[str, ...] | None, ...]
    fast_precisions_source: str = FAST_PRECISIONS_SOURCE
    backends: tuple[Backend, ...] = field(default=())
    libraries: tuple[Library, ...] = field(default=())
    missing_extras: tuple[Extra, ...] = field(default=())


def device_facts(root: Path = Path('/')) -> DeviceFacts:
    """Ask this machine everything; nothing has to be installed.

    Args:
        root: where `proc`, `etc` and `usr` lie.
    """
    gpus, failures = find_gpus()
    total, free = memory(root)
    driver = driver_version(root) or next((gpu.driver for gpu in gpus if gpu.driver), None)
    cuda_driver = None
    with contextlib.suppress(ProbeFailed):
        cuda_driver = cuda_driver_version()
    return DeviceFacts(
        system=f'{platform.system()} {platform.release()}',
        architecture=platform.machine(),
        python=platform.python_version(),
        processors=os.cpu_count() or 1,
        memory_bytes=total,
        memory_free_bytes=free,
        jetson=jetson(root),
        gpus=tuple(gpus),
        gpu_unknown=tuple(failures),
        driver=driver,
        cuda_driver=cuda_driver,
        cuda_runtime=cuda_runtime_version(root),
        fast_precisions=tuple(FAST_PRECISIONS.get(gpu.compute_capability or '') for gpu in gpus),
        backends=backends(gpus),
        libraries=required_libraries(),
        missing_extras=missing_extras(),
    )


def memory(root: Path = Path('/')) -> tuple[int, int]:
    """Bytes of the system's memory: all, and what a new program can have."""
    text = read_text(root / 'proc/meminfo')
    values = dict(re.findall(r'^(\w+):\s+(\d+) kB', text, re.MULTILINE))
    return int(values.get('MemTotal', 0)) << 10, int(values.get('MemAvailable', 0)) << 10


def jetson(root: Path = Path('/')) -> Jetson | None:
    """The board, from the device tree and /etc/nv_tegra_release; None if it is no Jetson."""
    board = read_text(root / 'proc/device-tree/model')
    release = read_text(root / 'etc/nv_tegra_release')
    found = re.search(r'# R(\d+) \(release\), REVISION: ([\d.]+)', release)
    if 'Jetson' not in board and not found:
        return None
    linux = f'{found.group(1)}.{found.group(2)}' if found else ''
    return Jetson(board, linux, _jetpack(linux))


def _jetpack(jetson_linux: str) -> str:
    if shutil.which('dpkg-query'):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                ['dpkg-query', '--show', '--showformat=${Version}', 'nvidia-jetpack'],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
            return done.stdout.partition('+')[0]
    plain = re.sub(r'\.0$', '', jetson_linux)
    return JETPACKS.get(jetson_linux) or JETPACKS.get(plain, '')


def cuda_runtime_version(root: Path = Path('/')) -> str | None:
    """Of the CUDA toolkit in /usr/local/cuda, else of CUDA's wheels, else None."""
    text = read_text(root / 'usr/local/cuda/version.json')
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)['cuda']['version'])
    for wheel in ('nvidia-cuda-runtime', 'nvidia-cuda-runtime-cu13', 'nvidia-cuda-runtime-cu12'):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(wheel)
    return None


def backends(gpus: list[Gpu]) -> tuple[Backend, ...]:
    """What each backend lacks on this machine."""
    return (
        *(Backend(name, _tensorrt(name), engine_obstacles(name, gpus)) for name in ENGINE_BACKENDS),
        _onnxruntime('onnxruntime-cuda', gpus),
        _onnxruntime('onnxruntime-cpu', gpus),
    )


def _tensorrt(name: str) -> str:
    try:
        return find_flavour(name).version
    except BackendUnavailableError:
        return ''


def _onnxruntime(name: str, gpus: list[Gpu]) -> Backend:
    lacks = list(obstacles(name))
    if name == 'onnxruntime-cuda' and not gpus:
        lacks += gpu_obstacles(name, gpus)
    version = ''
    for wheel in ('onnxruntime-gpu', 'onnxruntime'):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = version or importlib.metadata.version(wheel)
    return Backend(name, version, tuple(lacks))
