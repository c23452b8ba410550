"""What TensorRT says while it works."""

from __future__ import annotations

import functools
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from trt_perception.runtime.tensorrt_flavour import Severity, TensorRT

log = logging.getLogger(__name__)


def _newest() -> deque[str]:
    return deque(maxlen=20)


@dataclass
class Messages:
    """The newest errors and warnings.

    Attributes:
        logger: to be given to TensorRT's objects.
    """

    logger: Any
    errors: deque[str] = field(default_factory=_newest)
    warnings: deque[str] = field(default_factory=_newest)

    def clear(self) -> None:
        """Forget what was said so far."""
        self.errors.clear()
        self.warnings.clear()


@functools.cache
def messages_of(trt: TensorRT) -> Messages:
    """The messages of one TensorRT, of all its uses in this process."""

    # One for good: TensorRT keeps the first logger that it is given and never lets it go.
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Severity, text: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                messages.errors.append(text)
                log.debug('TensorRT: %s', text)
            elif severity == trt.ILogger.WARNING:
                messages.warnings.append(text)
                log.debug('TensorRT: %s', text)

    messages = Messages(Logger())
    return messages
