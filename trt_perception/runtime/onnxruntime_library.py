"""onnxruntime, found and asked what it offers. Needs nothing else to be installed."""

from __future__ import annotations

from typing import Any

from trt_perception.errors import BackendUnavailableError


def import_onnxruntime() -> Any:
    """The module onnxruntime.

    Raises:
        BackendUnavailableError: it is not installed, or does not start.
    """
    try:
        import onnxruntime
    except ImportError as error:
        if error.name not in (None, 'onnxruntime'):
            raise BackendUnavailableError(
                f'onnxruntime does not start: {error}. `trt_perception doctor` says what is missing'
            ) from error
        raise BackendUnavailableError(
            'onnxruntime is not installed. Install it with: '
            'python3 -m pip install "trt_perception[onnxruntime]"'
        ) from error
    return onnxruntime


def execution_providers() -> tuple[str, ...]:
    """The providers that the installed onnxruntime brings, such as 'CPUExecutionProvider'.

    Raises:
        BackendUnavailableError: see `import_onnxruntime`.
    """
    return tuple(import_onnxruntime().get_available_providers())
