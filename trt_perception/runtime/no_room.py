"""Tells that the GPU has no room from what a library says, since it has no other sign for it."""

from __future__ import annotations

from trt_perception.errors import GpuMemoryError

_WORDS = (
    'out of memory',  # CUDA, told by all
    'outofmemory',  # TensorRT's name of the error
    'could not be allocated',  # TensorRT
    'failed to allocate memory',  # onnxruntime
    'is smaller than requested bytes',  # onnxruntime
)


def no_room_for(what: str, said: str) -> GpuMemoryError | None:
    """The error for a library that found no room.

    Args:
        what: the room was for.
        said: by the library.

    Returns:
        None if it speaks of something else.
    """
    if not any(words in said.lower() for words in _WORDS):
        return None
    return GpuMemoryError(
        f'the GPU has no room for {what}: {said}. End other programs on it (see `nvidia-smi`), or '
        'use fewer cameras, a smaller batch or a smaller network'
    )
