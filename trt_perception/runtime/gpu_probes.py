"""Asks what there is about the GPUs of this machine. None of them needs to be installed.

Each probe returns the GPUs it sees, or raises `ProbeFailed` with the reason in words.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import importlib
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


class ProbeFailed(Exception):  # noqa: N818  (it is an answer, not an error of the program)
    """A source of facts does not exist here, or does not answer."""


@dataclass(frozen=True)
class Gpu:
    """One GPU; None where the source does not say.

    Attributes:
        name: as the driver says it.
        compute_capability: such as '8.7'.
        sm_count: streaming multiprocessors.
        memory_bytes, memory_free_bytes: of the GPU; shared with the system on a Jetson.
        driver: version of the kernel module.
        bus_id: on the PCI bus, such as '0000:41:00.0'.
        source: which probe said it.
    """

    name: str
    compute_capability: str | None = None
    sm_count: int | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    driver: str | None = None
    bus_id: str | None = None
    source: str = ''


def nvml_gpus() -> list[Gpu]:
    """By the library nvidia-ml-py, which asks the driver."""
    try:
        pynvml = importlib.import_module('pynvml')
    except ImportError:
        raise ProbeFailed('nvidia-ml-py is not installed') from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise ProbeFailed(f'the driver does not answer nvidia-ml-py: {error}') from error
    try:
        return [_nvml_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        raise ProbeFailed(f'nvidia-ml-py: {error}') from error
    finally:
        pynvml.nvmlShutdown()


def _nvml_gpu(nvml: Any, index: int) -> Gpu:
    def ask(question: Callable[..., Any], *arguments: object) -> Any:
        # A Jetson's driver answers some questions and not others.
        with contextlib.suppress(nvml.NVMLError):
            return question(*arguments)
        return None

    device = nvml.nvmlDeviceGetHandleByIndex(index)
    capability = ask(nvml.nvmlDeviceGetCudaComputeCapability, device)
    memory = ask(nvml.nvmlDeviceGetMemoryInfo, device)
    bus = ask(nvml.nvmlDeviceGetPciInfo, device)
    return Gpu(
        name=_text(ask(nvml.nvmlDeviceGetName, device)) or 'NVIDIA GPU',
        compute_capability=f'{capability[0]}.{capability[1]}' if capability else None,
        memory_bytes=int(memory.total) if memory else None,
        memory_free_bytes=int(memory.free) if memory else None,
        driver=_text(ask(nvml.nvmlSystemGetDriverVersion)),
        bus_id=short_bus_id(_text(bus.busId)) if bus else None,
        source='nvidia-ml-py',
    )


def cuda_gpus(library: str = 'libcuda.so.1') -> list[Gpu]:
    """By the CUDA driver API, in CUDA's order: number 0 is the one that is used by default.

    Makes no context, so that it costs no GPU memory.
    """
    cuda = _load(library)
    status = cuda.cuInit(0)
    if status:
        raise ProbeFailed(f'CUDA does not start (cuInit: error {status})')
    count = ctypes.c_int()
    if cuda.cuDeviceGetCount(ctypes.byref(count)):
        raise ProbeFailed('CUDA does not count its GPUs')
    return [_cuda_gpu(cuda, index) for index in range(count.value)]


# Numbers of CUdevice_attribute in cuda.h; they never change.
_SM_COUNT, _MAJOR, _MINOR = 16, 75, 76


def _cuda_gpu(cuda: Any, index: int) -> Gpu:
    device, total = ctypes.c_int(), ctypes.c_size_t()
    name, bus = ctypes.create_string_buffer(128), ctypes.create_string_buffer(32)
    if cuda.cuDeviceGet(ctypes.byref(device), index):
        raise ProbeFailed(f'CUDA does not give GPU {index}')

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device)
        return value.value

    cuda.cuDeviceGetName(name, len(name), device)
    total_known = not cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    bus_known = not cuda.cuDeviceGetPCIBusId(bus, len(bus), device)
    return Gpu(
        name=name.value.decode(errors='replace'),
        compute_capability=f'{attribute(_MAJOR)}.{attribute(_MINOR)}',
        sm_count=attribute(_SM_COUNT),
        memory_bytes=total.value if total_known else None,
        bus_id=short_bus_id(bus.value.decode(errors='replace')) if bus_known else None,
        source='CUDA driver',
    )


def cuda_driver_version(library: str = 'libcuda.so.1') -> str:
    """The newest CUDA that the driver serves, such as '12.6'."""
    version = ctypes.c_int()
    if _load(library).cuDriverGetVersion(ctypes.byref(version)):
        raise ProbeFailed('the CUDA driver does not state its version')
    return f'{version.value // 1000}.{version.value % 1000 // 10}'


def _load(library: str) -> Any:
    try:
        return ctypes.CDLL(library)
    except OSError:
        raise ProbeFailed(f'{library} is not installed (it comes with the driver)') from None


_SMI_FIELDS = ('name', 'compute_cap', 'memory.total', 'memory.free', 'driver_version', 'pci.bus_id')


def smi_gpus(program: str = 'nvidia-smi') -> list[Gpu]:
    """By the program nvidia-smi."""
    path = shutil.which(program)
    if path is None:
        raise ProbeFailed(f'there is no program {program}')
    query = f'--query-gpu={",".join(_SMI_FIELDS)}'
    try:
        done = subprocess.run(
            [path, query, '--format=csv,noheader,nounits'],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ProbeFailed(f'{program} fails: {error}') from error
    return parse_smi(done.stdout)


def parse_smi(output: str) -> list[Gpu]:
    """The GPUs in the CSV output of nvidia-smi; '[N/A]' and the like are unknown."""
    gpus = []
    for row in csv.reader(io.StringIO(output), skipinitialspace=True):
        if len(row) != len(_SMI_FIELDS):
            continue
        cells = [None if not cell or cell.startswith('[') else cell for cell in row]
        name, capability, total, free, driver, bus = cells
        gpus.append(
            Gpu(
                name=name or 'NVIDIA GPU',
                compute_capability=capability,
                memory_bytes=_mebibytes(total),
                memory_free_bytes=_mebibytes(free),
                driver=driver,
                bus_id=short_bus_id(bus),
                source='nvidia-smi',
            )
        )
    return gpus


def proc_gpus(root: Path = Path('/')) -> list[Gpu]:
    """By the files of the kernel module, or the device tree of a Jetson."""
    driver = driver_version(root)
    gpus = []
    for file in sorted((root / 'proc/driver/nvidia/gpus').glob('*/information')):
        model = re.search(r'^Model:\s*(.+)$', read_text(file), re.MULTILINE)
        gpus.append(
            Gpu(
                name=model.group(1).strip() if model else 'NVIDIA GPU',
                driver=driver,
                bus_id=short_bus_id(file.parent.name),
                source='/proc',
            )
        )
    if not gpus:
        board = read_text(root / 'proc/device-tree/model')
        capability = jetson_compute_capability(board)
        if capability:
            gpus = [Gpu(board, capability, driver=driver, source='device tree')]
    if not gpus:
        raise ProbeFailed('the kernel knows no NVIDIA GPU')
    return gpus


def driver_version(root: Path = Path('/')) -> str | None:
    """Version of the loaded kernel module, such as '540.4.0'."""
    found = re.search(r'\b(\d{3,}\.\d+(\.\d+)?)\b', read_text(root / 'proc/driver/nvidia/version'))
    return found.group(1) if found else None


_JETSONS = {'Thor': '11.0', 'Orin': '8.7', 'Xavier': '7.2', 'TX2': '6.2', 'Nano': '5.3'}


def jetson_compute_capability(board: str) -> str | None:
    """By the name of the board in the device tree; None if it is no Jetson."""
    if 'Jetson' not in board:
        return None
    return next((capability for word, capability in _JETSONS.items() if word in board), None)


def find_gpus() -> tuple[list[Gpu], list[str]]:
    """The GPUs of this machine, and why the sources that failed did.

    The first source that answers decides which there are; what it leaves open is filled from
    the CUDA driver, which alone knows the number of SMs.
    """
    failures = []
    for probe in (nvml_gpus, cuda_gpus, smi_gpus, proc_gpus):
        try:
            gpus = probe()
        except ProbeFailed as failure:
            failures.append(str(failure))
            continue
        if gpus:
            with contextlib.suppress(ProbeFailed):
                gpus = completed(gpus, cuda_gpus())
            return gpus, failures
        failures.append(f'{probe.__name__}: it sees no GPU')
    return [], failures


def completed(gpus: list[Gpu], others: list[Gpu]) -> list[Gpu]:
    """`gpus`, with what they leave open taken from the same GPU in `others`."""
    filled = []
    for gpu in gpus:
        same = [other for other in others if gpu.bus_id and other.bus_id == gpu.bus_id]
        if not same and len(gpus) == len(others) == 1:
            same = others
        for other in same[:1]:
            open_fields = {
                name: getattr(other, name)
                for name in gpu.__dataclass_fields__
                if getattr(gpu, name) is None
            }
            gpu = replace(gpu, **open_fields)
        filled.append(gpu)
    return filled


def short_bus_id(bus_id: str | None) -> str | None:
    """'00000000:41:00.0' and '0000:41:00.0' are the same place."""
    return bus_id.lower()[-12:] if bus_id else None


def read_text(path: Path) -> str:
    """A file of the kernel without its end mark; '' if it is not there."""
    try:
        return path.read_text(encoding='utf-8', errors='replace').rstrip('\0\n ')
    except OSError:
        return ''


def _mebibytes(text: str | None) -> int | None:
    try:
        return int(float(text) * (1 << 20)) if text else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)
