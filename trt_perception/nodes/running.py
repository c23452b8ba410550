"""The `main` of every node: a process that starts quickly and ends without a trace."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from trt_perception.nodes.abandoned_memory import remove_abandoned_segments
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.memory import keep_freed_memory

_ONE_CTRL_C_S = 1.0
"""Seconds within which several signals count as one."""

_SWITCH_S = 0.0005
"""Seconds for which one Python thread may keep others waiting; Python's own 5 ms are a frame's."""

_PATIENCE_S = 4.0
"""Seconds for a callback that still runs; a launch file sends SIGTERM after 5."""


def run(
    make_node: Callable[[], PerceptionNode[Any]], arguments: Sequence[str] | None = None
) -> int:
    """Run one node until SIGINT or SIGTERM; returns the exit status of the process.

    The callbacks run in a thread of their own, since the main thread waits for signals. Nothing
    is interrupted by one, neither a callback nor a node that is half made. What a callback
    raises is logged, and the node goes on.

    Args:
        make_node: makes the node once rclpy is ready.
        arguments: the command line; that of the process unless given.
    """
    signals = _Signals()
    keep_freed_memory()
    remove_abandoned_segments()
    sys.setswitchinterval(_SWITCH_S)
    try:
        rclpy.init(
            args=list(sys.argv if arguments is None else arguments),
            signal_handler_options=SignalHandlerOptions.NO,
        )
        node = make_node()
    except Exception as error:  # rclpy's own for arguments and parameter files share no base
        print(f'cannot start: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    spinning = _Spinning(node)
    signals.wait()
    threading.Thread(target=_end_when_asked_again, args=[signals], daemon=True).start()
    node.stopping.set()
    if not spinning.stop(_PATIENCE_S):
        node.get_logger().warning('a callback does not end; leaving without it')
        sys.stdout.flush()
        os._exit(0)
    node.close()
    rclpy.try_shutdown()
    return 0


class _Signals:
    """SIGINT and SIGTERM, as something to wait for.

    Any thread of a library may get a signal, so that holding them back in ours is not enough.
    Python's own first step, which runs in that very thread, writes to a pipe.
    """

    def __init__(self) -> None:
        self._outlet, inlet = os.pipe()
        os.set_blocking(inlet, False)
        signal.set_wakeup_fd(inlet, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

    def wait(self) -> None:
        """Wait for one, unless one has come already."""
        os.read(self._outlet, 1)

    def forget(self) -> None:
        """Forget those that have come."""
        os.set_blocking(self._outlet, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._outlet, 4096)
        os.set_blocking(self._outlet, True)


def _end_when_asked_again(signals: _Signals) -> None:
    """End the process at once at another signal, for an orderly end that takes too long.

    Those that come with the first are no impatience: at Ctrl-C in a terminal the node gets one
    from there and one from the launch file.
    """
    time.sleep(_ONE_CTRL_C_S)
    signals.forget()
    signals.wait()
    os._exit(1)


class _Spinning:
    """A thread that runs a node's callbacks."""

    def __init__(self, node: PerceptionNode[Any]) -> None:
        self._node = node
        self._go_on = True
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name='callbacks', daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Let the callback that runs end; False if it does not within `timeout_s`."""
        self._go_on = False
        self._executor.wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._executor.shutdown()
        return True

    def _spin(self) -> None:
        while self._go_on:
            try:
                self._executor.spin_once()
            except Exception:  # whatever it was, the robot wants the next image
                self._node.get_logger().error(
                    f'a callback failed, the node goes on:\n{traceback.format_exc()}'
                )
