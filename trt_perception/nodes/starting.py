"""How a node's process starts: it joins the graph first, and imports the rest afterwards.

The middleware needs some time to meet the other processes, up to a second on a busy machine. The
imports and the loading of a network take as long. Both happen at the same time here: a hidden
node joins the domain before anything else is imported, and goes when the real one is there.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Sequence

# NumPy and OpenCV each bring an OpenBLAS, which starts a thread for every core when it is loaded
# and lets them all turn for a while: on 16 cores 3 to 6 s of processor time at each start.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

import rclpy
from rclpy.signals import SignalHandlerOptions

from trt_perception.nodes import stuck_watch
from trt_perception.nodes.abandoned_memory import YOUNG_S, remove_abandoned_segments
from trt_perception.nodes.half_made_ports import HalfMadePorts
from trt_perception.nodes.lean_imports import lean_imports
from trt_perception.nodes.log_folder import log_arguments
from trt_perception.nodes.memory import keep_freed_memory
from trt_perception.nodes.own_port import own_port
from trt_perception.nodes.start_note import StartNote
from trt_perception.nodes.stop_signals import StopSignals

_HIDDEN = '_starting'
"""Names with an underscore in front are left out by `ros2 node list`."""

_FOR_ONLOOKERS = ('overlay_node',)
"""Nobody acts on their pictures, which may be late, and go by no other way over a slow network."""

_LOOK_S = 1.0


class Start:
    """The begin of a process, up to where it has joined the graph.

    Attributes:
        signals: caught from now on.
        note: of this start; an orderly end takes it away.
    """

    def __init__(self, arguments: Sequence[str], *, patient: bool = False) -> None:
        """Join the graph, unless a signal asks for the end before.

        Args:
            arguments: the command line.
            patient: wait for a slow network rather than leave out what it has no room for.

        Raises:
            Exception: rclpy's own, which share no base, for wrong arguments.
        """
        self.signals = StopSignals()
        keep_freed_memory()
        remove_abandoned_segments()
        # A predecessor that died young left a segment that looked too new just now.
        again = threading.Timer(YOUNG_S + 1.0, remove_abandoned_segments)
        again.daemon = True
        again.start()
        self.note = StartNote(arguments)
        if (pause_s := self.note.pause_s()) > 0:
            print(
                f'the last process of this node died soon after its start: waiting {pause_s:g} s',
                file=sys.stderr,
                flush=True,
            )
            if self.signals.came_within(pause_s):
                return
        self.note.leave()
        _keep_ports_ready()
        rclpy.init(
            args=[*arguments, *log_arguments(os.environ)],
            signal_handler_options=SignalHandlerOptions.NO,
        )
        domain = rclpy.get_default_context().get_domain_id()
        # A port that is left half made in this very moment holds up the whole process.
        with own_port(domain, patient=patient), stuck_watch.while_joining():
            self._first = rclpy.create_node(
                _HIDDEN,
                # Not the name, namespace and parameters of the node that is to come.
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
            )

    def joined(self) -> None:
        """Take the hidden node away: the real one keeps the process in the graph now."""
        self._first.destroy_node()


def start(module: str, node: str) -> int:
    """Run the program of one node; returns the exit status of the process.

    Args:
        module: where the node is, in `trt_perception.nodes`.
        node: its class.
    """
    with lean_imports():
        try:
            begun = Start(sys.argv, patient=module in _FOR_ONLOOKERS)
        except Exception as error:  # rclpy's own for arguments and parameter files share no base
            return could_not_start(error)
        running = importlib.import_module('trt_perception.nodes.running')
        made = getattr(importlib.import_module(f'trt_perception.nodes.{module}'), node)
    return int(running.run(made, begun))


def _keep_ports_ready() -> None:
    """Look now and once a second for ports that hold others up, this process before all.

    It does not come to look when it is held up itself, since Python's lock is held then. Of several
    that run one is seldom held up, such as the one that was started again.
    """
    ports = HalfMadePorts()
    _tell_released(ports.wait_until_ready())

    def look_on() -> None:
        while True:
            time.sleep(_LOOK_S)
            _tell_released(ports.release())

    threading.Thread(target=look_on, name='half made ports', daemon=True).start()


def _tell_released(names: Sequence[str]) -> None:
    for name in names:
        print(
            f'{name} of the shared memory was left half made by a process that was killed or '
            'stopped, and who sends there would wait for ever: taken away. See '
            'docs/transport_measured.md',
            file=sys.stderr,
            flush=True,
        )


def could_not_start(error: Exception) -> int:
    """Say so and leave the graph; returns the exit status."""
    print(f'cannot start: {error}', file=sys.stderr)
    rclpy.try_shutdown()
    return 1
