"""A build at the terminal: a progress bar, and Ctrl-C that stops it cleanly."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from tqdm import tqdm

from trt_perception.building.build_progress import BuildControl
from trt_perception.building.engine_cache import Engine, EngineCache
from trt_perception.building.engines import EngineRequest, Gate, obtain_engine
from trt_perception.errors import BuildCancelledError

_POLL_S = 0.1


def obtain_watched(
    request: EngineRequest, cache: EngineCache, *, quiet: bool, gate: Gate | None = None
) -> Engine:
    """`obtain_engine` with a progress bar. Call it from the main thread.

    Raises:
        KeyboardInterrupt: Ctrl-C has stopped the build; nothing of it is left behind.
        PerceptionError: see `obtain_engine`.
    """
    stop = threading.Event()
    form = '{desc} {percentage:3.0f}% {bar} {elapsed}'
    # A thread of its own: Python answers signals in the main thread only, which must not be
    # away in TensorRT.
    with (
        ctrl_c_sets(stop),
        tqdm(total=1.0, bar_format=form, disable=True if quiet else None, leave=False) as bar,
        ThreadPoolExecutor(1, 'build') as worker,
    ):

        def show(share: float, phase: str) -> None:
            bar.set_description_str('stopping' if stop.is_set() else phase[:40], refresh=False)
            bar.update(max(0.0, share - bar.n))

        control = BuildControl(progress=show, cancelled=stop.is_set)
        future = worker.submit(
            obtain_engine, request, cache, control=control, on_wait=bar.write, gate=gate
        )
        while not wait([future], _POLL_S).done:
            bar.refresh()  # the clock runs on within a long step
        try:
            return future.result()
        except BuildCancelledError:
            raise KeyboardInterrupt from None


@contextlib.contextmanager
def ctrl_c_sets(event: threading.Event) -> Iterator[None]:
    """Within, Ctrl-C raises nothing, since it could do so anywhere; it sets the event."""
    before = signal.signal(signal.SIGINT, lambda number, frame: event.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
