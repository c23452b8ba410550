"""What size, encoding and coordinate frame a camera's images have. Needs no ROS to be imported."""

from __future__ import annotations

from trt_perception.frames import COMPRESSED, Frame

_LONGEST = 60
"""Characters of a name from outside that are shown."""


class ImageForm:
    """Watches whether it stays the same. One thread notes, any thread may ask.

    Attributes:
        changes: how often it became another one.
    """

    def __init__(self) -> None:
        """Before the first image."""
        self.changes = 0
        self._newest: tuple[int, int, str, str] | None = None
        self._first_change = ''

    def note(self, frame: Frame) -> None:
        """Look at the next image."""
        form = (frame.width, frame.height, frame.encoding, frame.frame_id)
        before, self._newest = self._newest, form
        if before is None or before == form:
            return
        self.changes += 1
        if self.changes == 1:
            self._first_change = f'{_in_words(form)}, before {_in_words(before)}'

    @property
    def newest(self) -> str:
        """In words, such as '640x480 bgr8 in the frame camera'; '' before the first image."""
        return _in_words(self._newest) if self._newest else ''

    def unsaid(self) -> str:
        """The first change in words, once; '' where there is nothing to log."""
        text, self._first_change = self._first_change, ''
        return text


def _in_words(form: tuple[int, int, str, str]) -> str:
    width, height, encoding, frame_id = form
    pixels = 'compressed' if encoding == COMPRESSED else f'{width}x{height} {_short(encoding)}'
    return f'{pixels} in the frame {_short(frame_id)}'


def _short(name: str) -> str:
    shown = name[:_LONGEST] if name.isprintable() else repr(name[:_LONGEST])
    return shown or "''"
