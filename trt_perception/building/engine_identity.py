"""What an engine depends on, as one key: another key means another engine.

An engine holds the weights of its network and was tuned for one GPU by one TensorRT. Used for
anything else it is refused by TensorRT at best, and answers wrongly at worst. So everything that
it depends on goes into its key, contents rather than names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

KEY_SCHEMA = 1
"""Raise it when a field is added, removed or changes its meaning: every engine is built anew."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of the key. No floats: their text is not canonical enough."""


class TensorRTIdentity(_Strict, frozen=True):
    """Which TensorRT built the engine.

    Attributes:
        flavour: 'tensorrt' or 'tensorrt-rtx'.
        version: the full version, such as '10.3.0.30'; engines are not portable across them.
    """

    flavour: str
    version: str


class CudaIdentity(_Strict, frozen=True):
    """CUDA as the build found it; None where it is unknown or has no part in the build."""

    runtime: str | None = None
    driver: str | None = None


class PlatformIdentity(_Strict, frozen=True):
    """Operating system and processor architecture, such as 'Linux' and 'aarch64'."""

    system: str
    architecture: str


class GpuIdentity(_Strict, frozen=True):
    """The GPU on which the kernels were timed.

    Attributes:
        name: as the driver says it.
        compute_capability: such as '8.7'.
        sm_count: streaming multiprocessors; tells apart boards of one name. None: unknown.
        memory_gib: rounded, since the last megabytes change with the firmware. None: unknown.
    """

    name: str
    compute_capability: str
    sm_count: int | None = None
    memory_gib: int | None = None


class ShapeRange(_Strict, frozen=True):
    """The extents of one input that an optimisation profile covers."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    def __str__(self) -> str:
        return ':'.join('x'.join(map(str, shape)) for shape in (self.min, self.opt, self.max))


class EngineIdentity(_Strict, frozen=True):
    """Everything that decides what an engine is.

    Attributes:
        onnx: SHA-256 of the ONNX file and of its external data, see `onnx_graph.graph_digest`.
        precision: 'fp32', 'fp16' or 'int8'.
        calibration: SHA-256 of the file of calibrated ranges; None without.
        keep_float: nodes kept out of INT8, sorted.
        converters: version of each library that prepares the graph, by name.
        tensorrt, cuda, platform: the software.
        gpu: the hardware; None when built ahead of time for `targets`.
        targets: compute capabilities of an ahead-of-time build; () for this GPU.
        dla_core: deep learning accelerator, or None.
        profiles: one mapping of input to extents per optimisation profile.
        optimization_level: builder level; None for TensorRT's default.
        flags: names of builder flags that differ from TensorRT's defaults, sorted.
        workspace_bytes: limit of scratch memory; None for TensorRT's default.
        schema: `KEY_SCHEMA`.
    """

    onnx: str
    precision: str
    tensorrt: TensorRTIdentity
    platform: PlatformIdentity
    calibration: str | None = None
    keep_float: tuple[str, ...] = ()
    converters: dict[str, str] = {}
    cuda: CudaIdentity = CudaIdentity()
    gpu: GpuIdentity | None = None
    targets: tuple[str, ...] = ()
    dla_core: int | None = None
    profiles: tuple[dict[str, ShapeRange], ...] = ()
    optimization_level: int | None = None
    flags: tuple[str, ...] = ()
    workspace_bytes: int | None = None
    schema: int = KEY_SCHEMA

    def canonical_json(self) -> bytes:
        """The same bytes for the same content: keys sorted, no white space, UTF-8."""
        return msgspec.json.encode(self, order='sorted')

    @property
    def key(self) -> str:
        """SHA-256 of `canonical_json`, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json()).hexdigest()


_WORDS = {
    'onnx': 'content of the ONNX file',
    'keep_float': 'nodes kept in float',
    'converters': 'converter version',
    'tensorrt.flavour': 'TensorRT flavour',
    'tensorrt.version': 'TensorRT version',
    'cuda.runtime': 'CUDA runtime',
    'cuda.driver': 'driver',
    'platform.system': 'operating system',
    'platform.architecture': 'processor architecture',
    'gpu': 'GPU',
    'gpu.name': 'GPU',
    'gpu.compute_capability': 'compute capability',
    'gpu.sm_count': 'number of SMs',
    'gpu.memory_gib': 'GPU memory in GiB',
    'targets': 'compute capabilities built for',
    'dla_core': 'DLA core',
    'profiles': 'optimisation profile',
    'optimization_level': 'builder level',
    'flags': 'builder flags',
    'workspace_bytes': 'workspace in bytes',
    'schema': 'key schema of this package',
}
"""How a field is called in a sentence, where its own name is not plain enough."""


def differences(kept: EngineIdentity, wanted: EngineIdentity) -> tuple[str, ...]:
    """What tells two identities apart, each in a few words: 'TensorRT version 10.3.0, now 10.13.3'.

    Empty when they are equal.
    """
    before, after = dict(_flatten(kept)), dict(_flatten(wanted))
    return tuple(
        f'{_in_words(path)} {_shown(before.get(path))}, now {_shown(after.get(path))}'
        for path in sorted(dict.fromkeys([*before, *after]), key=_field_number)
        if before.get(path) != after.get(path)
    )


def _flatten(identity: EngineIdentity) -> Iterator[tuple[str, Any]]:
    for name in identity.__struct_fields__:
        yield from _leaves(name, getattr(identity, name))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _Strict) and not isinstance(value, ShapeRange):
        for name in value.__struct_fields__:
            yield from _leaves(f'{path}.{name}', getattr(value, name))
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _leaves(f'{path}.{name}', entry)
    elif path == 'profiles':
        for number, profile in enumerate(value):
            yield from _leaves(f'{path}.{number}', profile or 'of no input')
    else:
        yield path, value


def _field_number(path: str) -> int:
    return EngineIdentity.__struct_fields__.index(path.split('.')[0])


def _in_words(path: str) -> str:
    if path in _WORDS:
        return _WORDS[path]
    field, _, rest = path.partition('.')
    return f'{_WORDS.get(field, field)} {rest}'.strip()


def _shown(value: Any) -> str:
    if value is None or value == ():
        return 'none'
    if isinstance(value, tuple):
        names = ' '.join(map(str, value[:4]))
        return f'{names} and {len(value) - 4} more' if len(value) > 4 else names
    text = str(value)
    return text[:12] if len(text) == 64 else text
