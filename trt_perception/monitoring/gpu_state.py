"""How busy, hot and full the GPU is, by NVIDIA's driver or by a Jetson's files.

What a source does not say is None. Nothing here makes a CUDA context or needs a GPU.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trt_perception.monitoring.visible_gpu import visible_gpu


@dataclass(frozen=True)
class GpuState:
    """One GPU at one moment; None where the source does not say.

    Attributes:
        name: as the driver says it.
        utilisation: share of the last moments in which something ran, 0..1.
        memory_used_bytes, memory_total_bytes: of the GPU; of the whole system on a Jetson.
        temperature_c: degrees Celsius.
        power_w: drawn now, in watts.
        power_limit_w: what it may draw at most.
    """

    name: str
    utilisation: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None

    @property
    def power_share(self) -> float | None:
        """Power drawn as a share of the limit."""
        if self.power_w is None or not self.power_limit_w:
            return None
        return self.power_w / self.power_limit_w


class GpuSource(Protocol):
    """Something that can be asked about the GPU again and again."""

    def read(self) -> GpuState | None:
        """The state now; None where it can no longer be had."""
        ...

    def close(self) -> None:
        """Give the source back."""
        ...


class NvmlSource:
    """By the library nvidia-ml-py, which asks the driver."""

    def __init__(self) -> None:
        """Open the library, for the GPU that CUDA gives this process; see `visible_gpu`.

        Raises:
            OSError: the library is not installed, there is no driver, or CUDA sees no GPU.
        """
        try:
            self._nvml: Any = importlib.import_module('pynvml')
        except ImportError as error:
            raise OSError('nvidia-ml-py is not installed') from error
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise OSError(f'the driver does not answer: {error}') from error
        try:
            self._device = visible_gpu(self._nvml)
        except OSError:
            self._nvml.nvmlShutdown()
            raise

    def read(self) -> GpuState | None:
        """See `GpuSource`."""
        nvml, device = self._nvml, self._device
        name = self._ask(nvml.nvmlDeviceGetName, device)
        if name is None:  # the one question that every GPU answers: it has fallen off the bus
            return None
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, device)
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, device)
        power = self._ask(nvml.nvmlDeviceGetPowerUsage, device)
        limit = self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit, device)
        return GpuState(
            name.decode(errors='replace') if isinstance(name, bytes) else str(name),
            utilisation=rates.gpu / 100 if rates else None,
            memory_used_bytes=int(memory.used) if memory else None,
            memory_total_bytes=int(memory.total) if memory else None,
            temperature_c=self._ask(
                nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU
            ),
            power_w=None if power is None else power / 1e3,
            power_limit_w=None if limit is None else limit / 1e3,
        )

    def close(self) -> None:
        """See `GpuSource`."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _ask(self, question: Callable[..., Any], *arguments: object) -> Any:
        # A GPU in a laptop or a Jetson answers some questions and not others.
        with contextlib.suppress(self._nvml.NVMLError):
            return question(*arguments)
        return None


class JetsonSource:
    """By the files in which a Jetson's kernel tells of its GPU.

    Load in per mille, thermal zones in thousandths of a degree, and the INA3221 power monitor in
    millivolts and milliamperes, as NVIDIA's Jetson Linux developer guide describes them.
    """

    LOADS = (
        'sys/devices/gpu.0/load',
        'sys/devices/platform/gpu.0/load',
        'sys/devices/platform/17000000.gpu/load',
        'sys/devices/platform/bus@0/17000000.gpu/load',
        'sys/devices/platform/17000000.ga10b/load',
    )

    def __init__(self, root: Path = Path('/')) -> None:
        """Look the files up.

        Args:
            root: of the file system; another one in tests.

        Raises:
            OSError: this is no Jetson.
        """
        self._root = root
        self._board = _text(root / 'proc/device-tree/model')
        if 'Jetson' not in self._board:
            raise OSError('this is no Jetson')
        self._load = next((root / p for p in self.LOADS if (root / p).is_file()), None)
        self._temperature = next(
            (
                zone / 'temp'
                for zone in sorted((root / 'sys/class/thermal').glob('thermal_zone*'))
                if _text(zone / 'type').lower() in ('gpu-thermal', 'gpu-therm', 'gpu_thermal')
            ),
            None,
        )
        self._rails = [
            (monitor / f'in{number}_input', monitor / f'curr{number}_input')
            for monitor in sorted((root / 'sys/class/hwmon').glob('hwmon*'))
            if _text(monitor / 'name') == 'ina3221'
            for number in range(1, 4)
            if 'GPU' in _text(monitor / f'in{number}_label')
        ]

    def read(self) -> GpuState | None:
        """See `GpuSource`."""
        load = _number(self._load)
        temperature = _number(self._temperature)
        used, total = self._memory()
        return GpuState(
            self._board,
            utilisation=None if load is None else load / 1000,
            memory_used_bytes=used,
            memory_total_bytes=total,
            temperature_c=None if temperature is None else temperature / 1000,
            power_w=self._power(),
        )

    def close(self) -> None:
        """See `GpuSource`."""

    def _power(self) -> float | None:
        pairs = [(_number(volts), _number(amperes)) for volts, amperes in self._rails]
        watts = [v * a / 1e6 for v, a in pairs if v is not None and a is not None]
        return sum(watts) if watts else None

    def _memory(self) -> tuple[int | None, int | None]:
        """Used and total bytes of the memory that processor and GPU share."""
        lines = _text(self._root / 'proc/meminfo').splitlines()
        sizes = {}
        for line in lines:
            name, _, rest = line.partition(':')
            if rest.split() and rest.split()[0].isdigit():
                sizes[name] = int(rest.split()[0]) * 1024
        total, free = sizes.get('MemTotal'), sizes.get('MemAvailable')
        return (None if total is None or free is None else total - free), total


def find_gpu_source() -> GpuSource | None:
    """The first source that answers here; None on a machine without an NVIDIA GPU."""
    for source in (JetsonSource, NvmlSource):
        with contextlib.suppress(OSError):
            return source()
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8', errors='replace').strip('\0\n ')
    except OSError:
        return ''


def _number(path: Path | None) -> float | None:
    with contextlib.suppress(ValueError):
        return float(_text(path)) if path is not None else None
    return None
