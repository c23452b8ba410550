"""What everything that holds a file, a thread or a device until it is closed has in common."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

Held = TypeVar('Held', bound='Closing')


class Closing:
    """Is closed at the end of a `with` block."""

    def close(self) -> None:
        """Free what is held. A second call does nothing."""
        raise NotImplementedError

    def __enter__(self: Held) -> Held:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
