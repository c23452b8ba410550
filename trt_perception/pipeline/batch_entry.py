"""How the frames of a batch lie in memory on their way to the GPU.

Cameras keep their size, so it is worked out once for each combination of frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from trt_perception.frames import Frame
from trt_perception.gpu.host_copy import FrameCopy
from trt_perception.kernels.launching import aligned
from trt_perception.kernels.letterbox import INDEPENDENT_ROWS, DeviceImage
from trt_perception.kernels.rows_read import rows_read
from trt_perception.preprocessing.letterbox import Letterbox, Size

_MOST = 64
"""Combinations that are remembered; more than any set of cameras makes."""


class FrameForm(NamedTuple):
    """Everything about a frame but its content.

    Attributes:
        encoding, width, height, step, big_endian: see `Frame`.
        nbytes: of the image.
        in_place: whether it lies in page-locked memory.
    """

    encoding: str
    width: int
    height: int
    step: int
    big_endian: bool
    nbytes: int
    in_place: bool

    @classmethod
    def of(cls, frame: Frame, nbytes: int, *, in_place: bool) -> FrameForm:
        """The form of a frame."""
        fields = frame.encoding, frame.width, frame.height, frame.step, frame.big_endian
        return cls(*fields, nbytes, in_place)


@dataclass(frozen=True)
class Place:
    """Of one frame in a batch.

    Attributes:
        copy: how it gets there.
        device: its first byte on the GPU, from the batch's first.
        staged: likewise in page-locked memory.
    """

    copy: FrameCopy
    device: int
    staged: int


class BatchEntry:
    """The way of the frames of one batch.

    Attributes:
        places: of each frame.
        device_bytes, staged_bytes: of all.
    """

    def __init__(self, forms: tuple[FrameForm, ...], copies: list[FrameCopy]) -> None:
        """Lay the frames out."""
        self._forms = forms
        self._images: tuple[int, tuple[DeviceImage, ...]] = 0, ()
        self.places: list[Place] = []
        self.device_bytes = self.staged_bytes = 0
        for copy in copies:
            self.places.append(Place(copy, self.device_bytes, self.staged_bytes))
            self.device_bytes += aligned(copy.nbytes)
            self.staged_bytes += aligned(copy.staged)

    def images(self, device: int) -> tuple[DeviceImage, ...]:
        """What the kernels are told, once the batch begins at this address."""
        if self._images[0] != device:
            images = (
                DeviceImage(
                    device + place.device,
                    *(form.width, form.height, form.step, form.encoding, form.big_endian),
                )
                for form, place in zip(self._forms, self.places, strict=True)
            )
            self._images = device, tuple(images)
        return self._images[1]


class Entries:
    """Knows the entries of all combinations of frames that were seen lately."""

    def __init__(self, placement: Callable[[Size], Letterbox]) -> None:
        """Know none yet.

        Args:
            placement: where the network's input shows an image of a size.
        """
        self._placement = placement
        self._known: dict[tuple[FrameForm, ...], BatchEntry] = {}

    def of(self, forms: tuple[FrameForm, ...]) -> BatchEntry:
        """The entry of frames of these forms."""
        entry = self._known.get(forms)
        if entry is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            entry = BatchEntry(forms, [self._copy(form) for form in forms])
            self._known[forms] = entry
        return entry

    def _copy(self, form: FrameForm) -> FrameCopy:
        if form.encoding not in INDEPENDENT_ROWS:
            return FrameCopy(form.nbytes, form.step, form.step, in_place=form.in_place)
        rows = rows_read(self._placement((form.width, form.height)))
        row = form.nbytes - (form.height - 1) * form.step
        return FrameCopy(form.nbytes, form.step, row, rows, in_place=form.in_place)
