"""What exporters write into an ONNX file's metadata, in this package's words.

Ultralytics writes `task`, `imgsz` [height, width], `names`, `stride`, `kpt_shape` and, lately,
`kpt_names`; this package's own exports write `task`, `family` and what `InputSpec` holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trt_perception.onnx_file import literal

_TASKS = {'segment': 'instance', 'obb': 'oriented'}
"""Names of tasks that are others here."""


def task_of(metadata: Mapping[str, str]) -> str | None:
    """The task, by the name that it has here; None where it is not said."""
    said = metadata.get('task')
    return _TASKS.get(said, said) if said else None


def size_of(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """(width, height) of the input; None where it is not said, or not as two numbers."""
    sizes = _whole_numbers(metadata, 'imgsz')
    if len(sizes) == 2:
        return sizes[1], sizes[0]
    return None


def input_of(metadata: Mapping[str, str], size: tuple[int, int]) -> dict[str, Any]:
    """What the exporter's models want of their input where this differs from their family's.

    Classification models of Ultralytics take pixels as shares of 255, without ImageNet's mean, and
    cut the middle out of an image whose shorter side has the size of the input.

    Args:
        metadata: of the file.
        size: (width, height) of the input.
    """
    if 'ultralytics' in metadata.get('description', '').lower() and task_of(metadata) == 'classify':
        return {'mean': 0.0, 'scale': 1 / 255, 'resize': 'centre_crop', 'shorter_side': max(size)}
    return {}


def key_point_shape_of(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """(key points, values of each), values 2 or 3; None where it is not said."""
    numbers = _whole_numbers(metadata, 'kpt_shape')
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def key_point_names_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the key points; () where they are not said. Those of the first class count."""
    value = literal(metadata.get('key_points') or metadata.get('kpt_names') or '')
    if isinstance(value, dict):
        value = next(iter(value.values()), ())
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return ()


def _whole_numbers(metadata: Mapping[str, str], key: str) -> list[int]:
    value: Any = literal(metadata.get(key, ''))
    if isinstance(value, (list, tuple)) and all(isinstance(number, int) for number in value):
        return list(value)
    return []
