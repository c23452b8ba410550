"""Which TensorRT is installed, and whether this package can use it.

The two flavours share one API but for names: TensorRT on servers and Jetsons, TensorRT-RTX on
desktop GPUs. The type aliases below name the objects of that API. They are `Any` to the type
checker, since the modules bring no types and may be absent. A test reads them instead: it
collects every attribute that is used on such an object and looks it up in the names of all
supported versions.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias

from trt_perception.errors import BackendUnavailableError, ParameterError

TensorRT: TypeAlias = Any
"""The module, of either flavour."""
TensorRTForRtx: TypeAlias = Any
"""The module, of the flavour tensorrt-rtx alone."""
Builder: TypeAlias = Any
BuilderConfig: TypeAlias = Any
BuilderConfigForRtx: TypeAlias = Any
Network: TypeAlias = Any
Parser: TypeAlias = Any
CudaEngine: TypeAlias = Any
CudaEngineForRtx: TypeAlias = Any
ExecutionContext: TypeAlias = Any
Severity: TypeAlias = Any

FlavourName = Literal['tensorrt', 'tensorrt-rtx']
FLAVOURS: tuple[FlavourName, ...] = ('tensorrt', 'tensorrt-rtx')
"""In the order in which 'auto' tries them."""


@dataclass(frozen=True)
class _Support:
    modules: tuple[str, ...]
    title: str
    oldest: tuple[int, ...]
    beyond: tuple[int, ...]
    remedy: str


_SUPPORT: dict[str, _Support] = {
    'tensorrt': _Support(
        # The second is what the wheel of the bindings alone is called.
        ('tensorrt', 'tensorrt_bindings'),
        'TensorRT',
        (10, 3),
        (12,),
        'on a Jetson install JetPack 6.1 or later (apt install python3-libnvinfer); elsewhere '
        'python3 -m pip install tensorrt',
    ),
    'tensorrt-rtx': _Support(
        ('tensorrt_rtx', 'tensorrt_rtx_bindings'),
        'TensorRT-RTX',
        (1,),
        (2,),
        'python3 -m pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings',
    ),
}


@dataclass(frozen=True)
class Flavour:
    """A TensorRT that this package can use.

    Attributes:
        name: 'tensorrt' or 'tensorrt-rtx'.
        version: in full, such as '10.3.0'.
        module: the module itself.
    """

    name: FlavourName
    version: str
    module: TensorRT

    def __str__(self) -> str:
        return f'{_SUPPORT[self.name].title} {self.version}'


def modules_of(name: str) -> tuple[str, ...]:
    """The names under which a flavour may be imported, in the order in which they are tried."""
    return _SUPPORT[name].modules


def find_flavour(requested: str = 'auto') -> Flavour:
    """The requested TensorRT, or for 'auto' the first in `FLAVOURS` that can be used.

    Raises:
        ParameterError: `requested` is neither 'auto' nor in `FLAVOURS`.
        BackendUnavailableError: it is not installed, does not start, or its version is not
            supported.
    """
    if requested not in ('auto', *FLAVOURS):
        raise ParameterError(
            f'TensorRT flavour {requested!r} is unknown; allowed: auto, {", ".join(FLAVOURS)}'
        )
    obstacles = []
    for name in FLAVOURS:
        if requested not in ('auto', name):
            continue
        try:
            return _open(name)
        except BackendUnavailableError as error:
            if requested == name:
                raise
            obstacles.append(f'{name}: {error}')
    raise BackendUnavailableError('; '.join(obstacles))


def check_version(name: str, version: str) -> None:
    """Make sure that this package knows a version of a flavour.

    Raises:
        BackendUnavailableError: it is older or newer than the supported ones.
    """
    support = _SUPPORT[name]
    numbers = tuple(int(digits) for digits in re.findall(r'\d+', version)[:4])
    oldest, beyond = _dotted(support.oldest), _dotted(support.beyond)
    if numbers < support.oldest:
        raise BackendUnavailableError(
            f'{support.title} {version} is too old: {oldest} is the oldest supported version. '
            f'{support.remedy[0].upper()}{support.remedy[1:]}'
        )
    if numbers >= support.beyond:
        raise BackendUnavailableError(
            f'{support.title} {version} is newer than this package knows: it supports {oldest} '
            f'up to, but not including, {beyond}. Update this package, or install an older one'
        )


def _open(name: FlavourName) -> Flavour:
    support = _SUPPORT[name]
    for number, module_name in enumerate(support.modules, 1):
        module = _import(module_name, support, last=number == len(support.modules))
        if module is not None:
            break
    version = getattr(module, '__version__', None)
    if version is None:
        raise BackendUnavailableError(
            f'the module {module_name} is not {support.title}: it states no version. Another '
            f'folder of that name may come first on PYTHONPATH. Else: {support.remedy}'
        )
    check_version(name, version)
    return Flavour(name, version, module)


def _import(name: str, support: _Support, *, last: bool) -> ModuleType | None:
    """The module; None if it is absent, unless it is the last hope."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A missing module inside it is a broken installation, not an absent one.
        if error.name not in (name, None):
            raise _broken(name, support, error) from error
        if not last:
            return None
        raise BackendUnavailableError(
            f'{support.title} is not installed: {support.remedy}'
        ) from error
    except Exception as error:  # libraries that cannot be loaded raise what they like
        raise _broken(name, support, error) from error


def _broken(name: str, support: _Support, error: Exception) -> BackendUnavailableError:
    return BackendUnavailableError(
        f'{support.title} is installed, but the module {name} does not start: {error}. '
        f'Install it again: {support.remedy}'
    )


def _dotted(numbers: tuple[int, ...]) -> str:
    return '.'.join(map(str, numbers))
