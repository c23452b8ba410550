"""The base of every node: its life from unconfigured to finalized, and what each fills in."""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from rclpy.clock import Clock, ClockType
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool

from trt_perception.errors import BuildCancelledError, PerceptionError
from trt_perception.monitoring.machine_watch import MachineWatch
from trt_perception.nodes import stuck_watch
from trt_perception.nodes.clock_watch import ClockWatch
from trt_perception.nodes.collector import collect_new
from trt_perception.nodes.common_parameters import Parameters
from trt_perception.nodes.health import Condition, Health
from trt_perception.nodes.memory import give_freed_memory_back, return_free_pages
from trt_perception.nodes.node_reports import NodeReports
from trt_perception.nodes.parameters import DeclaredParameters
from trt_perception.nodes.plain_logger import PlainLogger
from trt_perception.nodes.report_times import REPORT_PERIOD_S, ReportTimes
from trt_perception.nodes.reports import Engine, Report
from trt_perception.nodes.transitions import refuse_impossible_transitions
from trt_perception.pipeline.statistics import PipelineStatistics

_FREE_PAGES_PERIOD_S = 60.0
"""A return takes milliseconds, and the next frames have to ask for their pages again."""

_CONFIGURED = ('inactive', 'active', 'activating', 'deactivating', 'cleaningup')


class PerceptionNode(LifecycleNode, Generic[Parameters]):
    """A lifecycle node that can start itself, be paused, and say how it is doing.

    A node of the package derives from it and fills in four hooks. Each may raise a
    PerceptionError, whose text then reaches the log and /diagnostics; the node stays alive and
    can be configured again once the cause is mended.

    - `configure`: read `parameters`, load what is needed, create publishers.
    - `activate`: start taking or making images.
    - `deactivate`: stop that. Also called after an `activate` that failed.
    - `cleanup`: free everything `configure` made. Also called after one that failed half way,
      so that it must bear with what is not there.

    They run in the executor's thread, like all callbacks. `configure` may take minutes, where an
    engine has to be built: other callbacks then wait, but reports go on. Whatever takes long asks
    `stopping` and gives up by BuildCancelledError.

    With `autostart` the node configures and activates itself once. A failure there is not tried
    again by itself: a wrong model or parameter does not mend itself, and the log would fill up.

    Attributes:
        health: what went wrong lately.
        statistics: counters and latencies since the activation.
        enabled: False while paused through ~/enable.
        doing: what `configure` does now, for /diagnostics; '' for nothing worth telling.
        stopping: set when the process is about to end.
        newest_age_s: from the stamp of the newest frame to its result; NaN before the first.
        machine: how busy and full process and GPU are.
        clock_watch: whether simulated time goes on.
    """

    def __init__(self, name: str, kind: type[Parameters], **arguments: Any) -> None:
        """Declare the parameters and start to report; nothing else happens before `configure`.

        Args:
            name: of the node, unless it is remapped.
            kind: the struct of its parameters.
            arguments: for rclpy's node.
        """
        self._plain_logger: PlainLogger | None = None
        super().__init__(name, **arguments)
        self._plain_logger = PlainLogger(super().get_logger().name)
        self.health = Health(lambda text: self.get_logger().warning(text))
        self.statistics = PipelineStatistics()
        self.enabled = True
        self.newest_age_s = math.nan
        self.doing = ''
        self.stopping = threading.Event()
        self.machine = MachineWatch(REPORT_PERIOD_S)
        self.clock_watch = ClockWatch(
            lambda text: self.get_logger().warning(text), lambda text: self.get_logger().info(text)
        )
        self._declared = DeclaredParameters(
            self,
            kind,
            configured=lambda: self.state in _CONFIGURED,
            check=self.check_parameters,
            changed=self.parameters_changed,
        )
        for slip in self._declared.unknown(list(getattr(self, '_parameter_overrides', ()))):
            self.get_logger().warning(slip)
        self._reports = NodeReports(self)
        self.create_service(SetBool, '~/enable', self._on_enable)
        refuse_impossible_transitions(self, self.report)
        # A steady clock: with use_sim_time and no /clock, ROS time never goes on.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._report_times = ReportTimes(self, self._steady, self.report)
        self.create_timer(_FREE_PAGES_PERIOD_S, return_free_pages, clock=self._steady)
        self._start_timer = self.create_timer(0.0, self._start, clock=self._steady)

    # What a node fills in

    def configure(self) -> None:
        """Load what is needed. Raises a PerceptionError where that cannot be done."""

    def activate(self) -> None:
        """Start taking or making images."""

    def deactivate(self) -> None:
        """Stop that; nothing of it goes on afterwards."""

    def cleanup(self) -> None:
        """Free what `configure` made, as far as it is there."""

    def check_parameters(self, candidate: Parameters) -> None:
        """Raise a PerceptionError if these values do not go together; each one is allowed."""

    def parameters_changed(self, parameters: Parameters) -> None:
        """Take over new values, after the check."""

    def enabled_changed(self) -> None:
        """Take over a new value of `enabled`."""

    def engine(self) -> Engine:
        """What runs."""
        return Engine()

    def conditions(self) -> Sequence[Condition]:
        """What else is to be said in /diagnostics; called once a second while active."""
        return ()

    def diagnostic_values(self) -> Mapping[str, str]:
        """More values for /diagnostics."""
        return {}

    def camera_reports(self) -> Sequence[Report]:
        """More in /diagnostics, a status each; asked for after `conditions`."""
        return ()

    # What a node finds here

    def get_logger(self) -> RcutilsLogger:
        """rclpy's logger of the node; see `PlainLogger`."""
        return self._plain_logger or super().get_logger()

    @property
    def parameters(self) -> Parameters:
        """The values now, as a whole; may be read by any thread."""
        return self._declared.current

    @property
    def state(self) -> str:
        """'unconfigured', 'inactive', 'active', 'finalized', or a transition's state."""
        machine = getattr(self, '_state_machine', None)  # absent while rclpy builds the node
        return str(machine.current_state[1]) if machine else 'unconfigured'

    @property
    def state_in_words(self) -> str:
        """`state`, and whether the node is paused."""
        return self.state if self.enabled else f'{self.state}, paused by ~/enable'

    def fill_parameters(self, values: Mapping[str, Any]) -> None:
        """Give parameters that nobody set the value that holds for them."""
        self._declared.fill(values)

    def between_frames(self) -> None:
        """A frame is done and the next one has hardly come: the moment for a report that waits.

        A report takes Python's one lock for a millisecond. Camera and timer keep their distance,
        so that else one frame of each second might meet it, for as long as the node runs. Any
        thread may call this.
        """
        self._report_times.between_frames()

    def report(self) -> None:
        """Publish ~/stats and /diagnostics now."""
        self._reports.publish()

    def close(self) -> None:
        """End the node's life in whatever state it is; the process may then end."""
        if self.state in ('unconfigured', 'inactive', 'active'):
            self.trigger_shutdown()
        self.machine.close(timeout_s=1.0)  # a driver that hangs must not keep us
        self.destroy_node()
        # rclpy leaves it to the collector of rings, which passes over what is configured. A process
        # that is still in the domain at its very end can wait there for ever.
        self._state_machine.destroy_when_not_in_use()

    # The life cycle, as rclpy calls it

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `configure`."""

        def checked() -> None:
            self._declared.checked()
            metrics = self._reports.metrics
            metrics.open(self.parameters.metrics_port)
            if metrics.trouble:
                self.get_logger().warning(metrics.trouble)
            try:
                with self._report_times.from_a_thread():
                    self.configure()
                collect_new()  # and leave alone what stays until `_free`
            finally:
                self.doing = ''

        return self._mended(self._attempt('configure', checked, self._free))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `activate`, with counters at zero."""
        self.statistics = PipelineStatistics()
        self.newest_age_s = math.nan
        return self._mended(self._attempt('activate', self.activate, self.deactivate))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `deactivate`."""
        stuck_watch.let_be()
        return self._attempt('deactivate', self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `cleanup`."""
        return self._attempt('clean up', self._free)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run what is left of `deactivate` and `cleanup`."""
        stuck_watch.let_be()
        if state.label == 'active':
            self._attempt('deactivate', self.deactivate)
        if state.label in ('active', 'inactive'):
            self._attempt('clean up', self._free)
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that the node can be configured again."""
        self._attempt('deactivate', self.deactivate)
        self._attempt('clean up', self._free)
        return TransitionCallbackReturn.SUCCESS

    def _free(self) -> None:
        self._reports.metrics.close()
        self.cleanup()
        give_freed_memory_back()

    def _mended(self, done: TransitionCallbackReturn) -> TransitionCallbackReturn:
        if done is TransitionCallbackReturn.SUCCESS:
            self.health.mended()
        return done

    def _attempt(
        self, what: str, hook: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        try:
            hook()
            return TransitionCallbackReturn.SUCCESS
        except BuildCancelledError as error:
            self.get_logger().info(f'{what} given up: {error}')
            text, trace = '', ''
        except PerceptionError as error:
            text, trace = f'cannot {what}: {error}', ''
        except Exception as error:  # rclpy would swallow it without a word
            text = f'cannot {what}: {type(error).__name__}: {error}'
            trace = f'\n{traceback.format_exc()}'
        if text:
            self.get_logger().error(text + trace)
            self.health.fault(text)
        if undo is not None:
            self._attempt(f'undo: {what}', undo)
        return TransitionCallbackReturn.FAILURE

    def _start(self) -> None:
        self._start_timer.cancel()
        if self.parameters.autostart and self.state == 'unconfigured':
            if self.trigger_configure() is TransitionCallbackReturn.SUCCESS:
                self.trigger_activate()
            self.report()

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.enabled = request.data
        self.enabled_changed()
        response.success = True
        response.message = self.state_in_words
        self.get_logger().info(response.message)
        self.report()
        return response
