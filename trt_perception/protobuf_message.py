"""The fields of a protobuf message, by number, for who needs few of them and no schema.

The library of ONNX takes longer to import than a small network to load, and reads all of a file.
Here nothing is looked at but what is asked for; weights are passed over.
https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_SIGN = 1 << 63


class DamagedMessageError(ValueError):
    """The bytes are no protobuf message, or their end is missing."""


class Message:
    """One message. What is asked for and not there is empty, '' or 0, as in protobuf."""

    def __init__(self, data: memoryview) -> None:
        """Find the fields; those inside them are found when they are asked for.

        Raises:
            DamagedMessageError: this is no message, or it ends too early.
        """
        self._bytes: dict[int, list[memoryview]] = {}
        self._numbers: dict[int, int] = {}
        try:
            for number, value in _fields(data):
                if isinstance(value, int):
                    self._numbers[number] = value
                else:
                    self._bytes.setdefault(number, []).append(value)
        except IndexError:
            raise DamagedMessageError('the message ends within a number') from None

    def messages(self, number: int) -> list[Message]:
        """The messages in a repeated field."""
        return [Message(value) for value in self._bytes.get(number, ())]

    def message(self, number: int) -> Message:
        """The message in a field. Several are one, in parts."""
        parts = self._bytes.get(number, [])
        return Message(parts[0] if len(parts) == 1 else memoryview(b''.join(parts)))

    def texts(self, number: int) -> list[str]:
        """The texts in a repeated field.

        Raises:
            DamagedMessageError: one is not UTF-8.
        """
        try:
            return [str(value, 'utf-8') for value in self._bytes.get(number, ())]
        except UnicodeDecodeError as error:
            raise DamagedMessageError(f'field {number} is no text: {error}') from error

    def text(self, number: int) -> str:
        """The text in a field; see `texts`."""
        return self.texts(number)[-1] if number in self._bytes else ''

    def number(self, number: int) -> int:
        """The number in a field, of at most 64 bits, with its sign."""
        value = self._numbers.get(number, 0)
        return value - 2 * _SIGN if value & _SIGN else value

    def has_number(self, number: int) -> bool:
        """Whether the field is there and holds a number."""
        return number in self._numbers


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; numbers of fixed size are left out."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind, field = key & 7, key >> 3
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield field, value
        elif kind == _BYTES:
            size, at = _varint(data, at)
            yield field, data[at : at + size]
            at += size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise DamagedMessageError(f'no field is of kind {kind}')
        if at > end or not field:
            raise DamagedMessageError('a field is longer than its message, or has no number')


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where the next field begins."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = 0, 0
    while byte >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise DamagedMessageError('a number has more than 64 bits')
        byte = data[at]
    return (value | byte << shift) & (2 * _SIGN - 1), at + 1
