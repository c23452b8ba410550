"""The life of a node's process, from the node's making to an end without a trace."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor

from trt_perception.nodes import stuck_watch
from trt_perception.nodes.core_log import core_log_of
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.port_watch import PortWatch
from trt_perception.nodes.starting import Start, could_not_start

_ONE_CTRL_C_S = 1.0
"""Seconds within which several signals count as one."""

_SWITCH_S = 0.0005
"""Seconds for which one Python thread may keep others waiting; Python's own 5 ms are a frame's."""

_PATIENCE_S = 4.0
"""Seconds for a callback that still runs; a launch file sends SIGTERM after 5."""


def run(make_node: Callable[[], PerceptionNode[Any]], begun: Start | None = None) -> int:
    """Run one node until SIGINT or SIGTERM; returns the exit status of the process.

    The callbacks run in a thread of their own, since the main thread waits for signals. Nothing
    is interrupted by one, neither a callback nor a node that is half made. What a callback
    raises is logged, and the node goes on.

    It also ends, with status 1, when no message of this machine can reach it any more, and when
    it is active and nothing in it goes on for 30 s.

    Args:
        make_node: makes the node once rclpy is ready.
        begun: how the process began; it begins now unless given.
    """
    sys.setswitchinterval(_SWITCH_S)
    try:
        begun = begun or Start(sys.argv)
        if begun.signals.came_within(0.0):
            begun.note.take_away()
            rclpy.try_shutdown()
            return 0
        node = make_node()
    except Exception as error:  # rclpy's own for arguments and parameter files share no base
        return could_not_start(error)
    begun.joined()
    with core_log_of(node.get_logger()):
        status = _live(node, begun)
    rclpy.try_shutdown()
    begun.note.take_away()
    return status


def _live(node: PerceptionNode[Any], begun: Start) -> int:
    """From the first callback to the node's end; returns the exit status of the process."""
    spinning = _Spinning(node)
    hearing = _Hearing(node)
    _end_when_stuck(node)
    begun.signals.wait()
    threading.Thread(target=_end_when_asked_again, args=[begun], daemon=True).start()
    node.stopping.set()
    if not spinning.stop(_PATIENCE_S):
        node.get_logger().warning('a callback does not end; leaving without it')
        begun.note.take_away()
        sys.stdout.flush()
        os._exit(hearing.status)
    node.close()
    return hearing.status


def _end_when_asked_again(begun: Start) -> None:
    """End the process at once at another signal, for an orderly end that takes too long.

    Those that come with the first are no impatience: at Ctrl-C in a terminal the node gets one
    from there and one from the launch file.
    """
    time.sleep(_ONE_CTRL_C_S)
    begun.signals.forget()
    begun.signals.wait()
    begun.note.take_away()
    os._exit(1)


def _end_when_stuck(node: PerceptionNode[Any]) -> None:
    """Begin to watch a node, as long as it lives."""
    watch = partial(stuck_watch.while_active, lambda: node.state == 'active', node.stopping)
    threading.Thread(target=watch, name='stuck watch', daemon=True).start()


class _Hearing:
    """Asks for the end of a process that hears nobody: the next one has a port of its own.

    Attributes:
        status: of the process, should it end now.
    """

    def __init__(self, node: PerceptionNode[Any]) -> None:
        self.status = 0
        self._node = node
        watch = PortWatch().call_when_lost
        threading.Thread(target=watch, args=[self._end], name='port watch', daemon=True).start()

    def _end(self, port: str) -> None:
        self._node.get_logger().error(
            f'{port} of the shared memory no longer leads here: its name was taken while this '
            'process got no processor time, and nothing of this machine arrives. Ending; the '
            'launch files start the node again. What can be done: docs/transport.md'
        )
        self.status = 1
        signal.raise_signal(signal.SIGTERM)


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
