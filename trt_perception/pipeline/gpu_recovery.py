"""What is done where the GPU is lost: everything is made anew, once; then the CPU may go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from trt_perception.errors import DeviceLostError, InferenceError, PerceptionError

log = logging.getLogger(__name__)

Instead = TypeVar('Instead')


class GpuRecovery(Generic[Instead]):
    """Of one pipeline.

    Attributes:
        instead: what goes on on the CPU; None while nothing does.
        gone: why nothing goes on any more; '' while something does.
    """

    def __init__(
        self,
        rebuild: Callable[[], None],
        give_back: Callable[[], None],
        on_cpu: Callable[[], Instead] | None,
    ) -> None:
        """Prepare for the worst.

        Args:
            rebuild: sets everything up anew on the GPU; raises a PerceptionError if it cannot.
            give_back: frees what is left there, however far `rebuild` came.
            on_cpu: makes what goes on on the CPU; None: nothing may.
        """
        self._rebuild = rebuild
        self._give_back = give_back
        self._on_cpu = on_cpu
        self._rebuilt = False
        self.instead: Instead | None = None
        self.gone = ''

    @property
    def over(self) -> bool:
        """Whether the GPU is not used any more."""
        return self.instead is not None or bool(self.gone)

    def after(self, error: DeviceLostError) -> InferenceError:
        """Do what can be done.

        Returns:
            What to tell those whose frames were under way. A DeviceLostError: nothing goes on,
            now and with every later frame. Else only these frames are lost.
        """
        told = f'{error}'
        if not self._rebuilt:
            self._rebuilt = True
            try:
                self._rebuild()
            except PerceptionError as again:
                told = f'{error}. Setting it up anew failed: {again}'
                log.warning('%s', told)
            else:
                return InferenceError(f'{error}. It was set up anew and goes on')
        self._give_back()
        if self._on_cpu is not None:
            try:
                self.instead = self._on_cpu()
            except PerceptionError as neither:
                told = f'{told}. The CPU cannot go on either: {neither}'
            else:
                return InferenceError(f'{error}. It goes on on the CPU')
        self.gone = told
        return DeviceLostError(told)
