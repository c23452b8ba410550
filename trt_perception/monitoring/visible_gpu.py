"""Which GPU of the driver's list is the first one that CUDA sees: the one that pipelines use.

NVIDIA's driver counts GPUs by their place on the bus, whatever the environment says. CUDA counts
those that CUDA_VISIBLE_DEVICES names, in its order, and by itself the fastest first unless
CUDA_DEVICE_ORDER is PCI_BUS_ID (CUDA C++ Programming Guide, environment variables).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any


def visible_gpu(nvml: Any, environment: Mapping[str, str] | None = None) -> Any:
    """The handle of the GPU that CUDA calls 0 in this process.

    A part of a GPU (MIG) stands for the whole GPU, which is what the driver measures.

    Args:
        nvml: the module pynvml, after nvmlInit.
        environment: its variables; None: those of the process.

    Raises:
        OSError: there is no GPU, or CUDA_VISIBLE_DEVICES hides it.
    """
    environment = os.environ if environment is None else environment
    all_visible = environment.get('CUDA_VISIBLE_DEVICES')
    first = '0' if all_visible is None else all_visible.split(',')[0].strip()
    try:
        if first.startswith('MIG-'):
            part = nvml.nvmlDeviceGetHandleByUUID(first)
            return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
        handles = _permitted(nvml)
        if first.startswith('GPU-'):
            # CUDA takes the beginning of a UUID as well, if only one GPU has it.
            found = [one for one in handles if _text(nvml.nvmlDeviceGetUUID(one)).startswith(first)]
        elif first.isdecimal():
            found = _in_cuda_order(nvml, handles, environment)[int(first) :][:1]
        else:  # empty, -1 or no name of a GPU: CUDA sees none from here on
            found = []
    except nvml.NVMLError as error:
        raise OSError(f'the driver does not find GPU {first!r}: {error}') from error
    if len(found) != 1:
        raise OSError(f'there is no GPU {first!r} (CUDA_VISIBLE_DEVICES is {all_visible!r})')
    return found[0]


def _permitted(nvml: Any) -> list[Any]:
    """The GPUs in the order of the bus, without those that this user may not open.

    The driver counts these, too (NVML, nvmlDeviceGetCount_v2). CUDA does not.
    """
    handles = []
    for index in range(nvml.nvmlDeviceGetCount()):
        with contextlib.suppress(nvml.NVMLError_NoPermission):
            handles.append(nvml.nvmlDeviceGetHandleByIndex(index))
    return handles


def _in_cuda_order(nvml: Any, handles: list[Any], environment: Mapping[str, str]) -> list[Any]:
    """The GPUs as CUDA counts them without CUDA_VISIBLE_DEVICES.

    Which one is the fastest only CUDA knows. It is guessed by multiprocessors times clock, those
    that are equal in the order of the bus; where the driver does not tell these, by the bus alone.
    """
    if environment.get('CUDA_DEVICE_ORDER') == 'PCI_BUS_ID':
        return handles
    with contextlib.suppress(nvml.NVMLError, AttributeError):
        speeds = {
            number: nvml.nvmlDeviceGetNumGpuCores(one)
            * nvml.nvmlDeviceGetMaxClockInfo(one, nvml.NVML_CLOCK_SM)
            for number, one in enumerate(handles)
        }
        order = sorted(range(len(handles)), key=lambda number: -speeds[number])
        return [handles[number] for number in order]
    return handles


def _text(value: str | bytes) -> str:
    return value.decode(errors='replace') if isinstance(value, bytes) else value
