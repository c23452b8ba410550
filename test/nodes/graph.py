"""Nodes in processes of their own, and a probe that publishes to them and hears their answers.

Every wait ends when what is waited for has happened; none of them sleeps for luck.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import (
    Parameter,
    ParameterDescriptor,
    ParameterValue,
    SetParametersResult,
)
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.client import Client
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from trt_perception.msg import PipelineStats
from trt_perception.nodes.transport import choose_transport

PATIENCE_S = 60.0
"""Far more than anything takes, also where dozens of others want the processor."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SERVICES = {
    'change_state': ChangeState,
    'set_parameters': SetParameters,
    'get_parameters': GetParameters,
    'describe_parameters': DescribeParameters,
    'enable': SetBool,
    'get_state': GetState,
}
TRANSITIONS = {
    'configure': Transition.TRANSITION_CONFIGURE,
    'cleanup': Transition.TRANSITION_CLEANUP,
    'activate': Transition.TRANSITION_ACTIVATE,
    'deactivate': Transition.TRANSITION_DEACTIVATE,
}


class NodeDied(Exception):  # noqa: N818  (it says what a node did)
    """A node ended that nobody had asked to; the text has what it printed.

    It is no AssertionError: those who try again until something holds shall not go on.
    """


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other test process on this machine uses at the same time."""
    for domain in range(1, 100):
        path = Path(tempfile.gettempdir()) / f'ros_test_domain_{domain}.lock'
        with path.open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError('no ROS domain is free')


class Graph:
    """One ROS domain with a probe node in this process."""

    def __init__(self, domain: int, logs: Path) -> None:
        self._logs = logs
        self.environment = dict(os.environ) | {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_LOG_DIR': str(logs),
            'RCUTILS_LOGGING_BUFFERED_STREAM': '0',
        }
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        transport = choose_transport(self.environment, 4)
        self.environment.update(transport.variables)
        os.environ.update(transport.variables)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('probe', context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._started = 0
        self.running_nodes: list[RunningNode] = []

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def wait_for(self, holds: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
        """Serve callbacks until `holds()` is true; returns its value.

        What the nodes printed is told where it never is, or where one of them died.
        """
        end = time.monotonic() + seconds
        while True:
            value = holds()
            if value:
                return value
            for node in self.running_nodes:
                node.check_alive()
            if time.monotonic() > end:
                printed = [f'{node.name} printed:\n{node.output()}' for node in self.running_nodes]
                raise AssertionError(
                    '\n'.join([f'waited {seconds:.0f} s in vain for {what}', *printed])
                )
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, client: Client, request: Any, seconds: float = PATIENCE_S) -> Any:
        self.wait_for(client.service_is_ready, client.srv_name)
        answer = client.call_async(request)
        self.wait_for(answer.done, f'an answer of {client.srv_name}', seconds)
        return answer.result()

    def start(
        self,
        executable: str,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        remaps: Mapping[str, str] | None = None,
    ) -> RunningNode:
        """Start an executable of the package as a node of another name."""
        self._started += 1
        base = self._logs / f'{name}_{self._started}'
        program = Path(get_package_prefix('trt_perception')) / 'lib/trt_perception' / executable
        file = base.with_suffix('.yaml')
        file.write_text(yaml.safe_dump({f'/{name}': {'ros__parameters': dict(parameters or {})}}))
        command = [str(program), '--ros-args', '-r', f'__node:={name}', '--params-file', str(file)]
        for old, new in (remaps or {}).items():
            command += ['-r', f'{old}:={new}']
        log = base.with_suffix('.log')
        with log.open('wb') as output:
            process = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        node = RunningNode(self, name, process, log)
        self.running_nodes.append(node)
        return node

    @contextlib.contextmanager
    def running(self, executable: str, name: str, *args: Any, **kwargs: Any):
        """`start`, and end it by SIGINT afterwards; it must end well."""
        node = self.start(executable, name, *args, **kwargs)
        try:
            yield node
            assert node.process.poll() is None, f'the node ended by itself:\n{node.output()}'
        finally:
            node.end()
        assert node.process.returncode == 0, node.output()
        assert 'Traceback' not in node.output(), node.output()

    def collect(self, kind: Any, topic: str, profile: QoSProfile | int = 10) -> Collected:
        return Collected(self, kind, topic, profile)


class Collected:
    """The messages that came on a topic since this was made or cleared."""

    def __init__(self, graph: Graph, kind: Any, topic: str, profile: QoSProfile | int) -> None:
        self._graph = graph
        self.messages: list[Any] = []
        self.subscription = graph.node.create_subscription(
            kind, topic, self.messages.append, profile
        )

    def matched(self) -> Collected:
        """Wait until a publisher is there."""
        name = self.subscription.topic_name
        self._graph.wait_for(
            lambda: self._graph.node.count_publishers(name), f'a publisher of {name}'
        )
        return self

    def wait(self, fits: Callable[[Any], bool] = lambda _: True, seconds: float = PATIENCE_S):
        """The first message that fits, come already or yet to come."""

        def found():
            return [message for message in self.messages if fits(message)]

        topic = self.subscription.topic_name
        return self._graph.wait_for(found, f'a message on {topic}', seconds)[0]

    def close(self) -> None:
        self._graph.node.destroy_subscription(self.subscription)


class RunningNode:
    """A node of the package in a process of its own."""

    def __init__(self, graph: Graph, name: str, process: subprocess.Popen, log: Path) -> None:
        self.graph = graph
        self.name = name
        self.process = process
        self._log = log
        self._enabled = True
        self._stats = graph.collect(PipelineStats, self.topic('stats'))
        self._diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
        self._answers = False
        self._asked_to_end = False
        # The one that may be called again and again comes last: see `_call`.
        self._clients = {
            service: graph.node.create_client(kind, self.topic(service))
            for service, kind in SERVICES.items()
        }

    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors='replace')

    def check_alive(self) -> None:
        """Raise NodeDied where it has ended without having been sent a signal."""
        status = self.process.poll()
        if status is not None and not self._asked_to_end:
            raise NodeDied(f'{self.name} ended with exit status {status}:\n{self.output()}')

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended already."""
        self._asked_to_end = True
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, number: int = signal.SIGINT, seconds: float = PATIENCE_S) -> int:
        """Send a signal, unless it has ended already; returns its exit status.

        May be called again.
        """
        if self in self.graph.running_nodes:
            self.graph.running_nodes.remove(self)
        else:
            return self.process.wait(seconds)
        self._stats.close()
        self._diagnostics.close()
        for client in self._clients.values():
            self.graph.node.destroy_client(client)
        self._clients.clear()
        self.send(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def topic(self, name: str) -> str:
        return f'/{self.name}/{name}'

    def _call(self, service: str, request: Any) -> Any:
        """Call a service of the node.

        A node that has not yet learnt of our client drops its answer. It learns of clients in
        the order in which they were made, so once the last one has its answer, all will.
        """
        end = time.monotonic() + PATIENCE_S
        while not self._answers and time.monotonic() < end:
            with contextlib.suppress(AssertionError):
                self.graph.call(self._clients['get_state'], GetState.Request(), 0.5)
                self._answers = True
        return self.graph.call(self._clients[service], request)

    # Life cycle

    def state(self) -> str:
        return self._call('get_state', GetState.Request()).current_state.label

    def wait_state(self, wanted: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while (state := self.state()) != wanted:
            assert time.monotonic() < end, f'{state}, not {wanted}:\n{self.output()}'
            self.graph.executor.spin_once(timeout_sec=0.02)

    def change(self, transition: str) -> bool:
        """Ask for 'configure', 'activate', 'deactivate', 'cleanup' or 'shutdown'."""
        shutdown = {
            'unconfigured': Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
            'inactive': Transition.TRANSITION_INACTIVE_SHUTDOWN,
            'active': Transition.TRANSITION_ACTIVE_SHUTDOWN,
        }
        number = shutdown[self.state()] if transition == 'shutdown' else TRANSITIONS[transition]
        return self.change_by(Transition(id=number))

    def change_by(self, transition: Transition) -> bool:
        return self._call('change_state', ChangeState.Request(transition=transition)).success

    # Parameters and services

    def set(self, name: str, value: Any) -> SetParametersResult:
        message = rclpy.parameter.Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        [result] = self._call('set_parameters', request).results
        return result

    def delete(self, name: str) -> SetParametersResult:
        """As `ros2 param delete` does."""
        request = SetParameters.Request(parameters=[Parameter(name=name, value=ParameterValue())])
        [result] = self._call('set_parameters', request).results
        return result

    def get(self, name: str) -> Any:
        request = GetParameters.Request(names=[name])
        values = self._call('get_parameters', request).values
        return parameter_value_to_python(values[0])

    def describe(self, name: str) -> ParameterDescriptor:
        request = DescribeParameters.Request(names=[name])
        return self._call('describe_parameters', request).descriptors[0]

    def enable(self, on: bool) -> SetBool.Response:
        self._enabled = on
        return self._call('enable', SetBool.Request(data=on))

    # Reports

    def stats(self, fits: Callable[[PipelineStats], bool] = lambda _: True) -> PipelineStats:
        """The first message on ~/stats from now on that fits."""
        return self._reported(self._stats, fits)

    def diagnostics(self, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first status of this node on /diagnostics from now on that fits."""

        def ours(message: DiagnosticArray) -> bool:
            # A node of several cameras, of a test before, sends more than one status.
            status = message.status[0]
            return status.name.split(':')[0] == self.name and fits(status)

        return self._reported(self._diagnostics, ours).status[0]

    def _reported(self, reports: Collected, fits: Callable[[Any], bool]) -> Any:
        """Reports come once a second, and at once after a call of ~/enable."""
        reports.matched()
        reports.messages.clear()
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.enable(self._enabled)
            with contextlib.suppress(AssertionError):
                return reports.wait(fits, 0.2)
        last = reports.messages[-1:]
        raise AssertionError(f'{self.name} did not report what was waited for, last: {last}')


class Camera:
    """Publishes images to a node and waits for what comes of them."""

    def __init__(
        self,
        graph: Graph,
        topic: str,
        *,
        kind: Any = Image,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
        depth: int = 5,
        node: Any = None,
        period_ns: int = 0,
    ) -> None:
        """`period_ns`: from stamp to stamp; 0 takes the wall clock."""
        self.graph = graph
        self._period_ns = period_ns
        self._node = node or graph.node
        profile = QoSProfile(depth=depth, reliability=reliability)
        self.publisher = self._node.create_publisher(kind, topic, profile)
        self._stamp_ns = time.time_ns()
        self._connected: set[Collected] = set()

    def close(self) -> None:
        self._node.destroy_publisher(self.publisher)

    def matched(self) -> Camera:
        """Wait until somebody subscribes."""
        self.graph.wait_for(
            self.publisher.get_subscription_count, f'a subscriber of {self.publisher.topic_name}'
        )
        return self

    def publish(self, message: Image | CompressedImage, stamp_ns: int | None = None) -> int:
        """Publish with a stamp, by default a new and later one; returns it in nanoseconds."""
        now_ns = self._stamp_ns + self._period_ns if self._period_ns else time.time_ns()
        self._stamp_ns = max(self._stamp_ns + 1, now_ns)
        stamp_ns = self._stamp_ns if stamp_ns is None else stamp_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self.publisher.publish(message)
        return stamp_ns

    def show(self, message: Image | CompressedImage, *answers: Collected) -> list[Any]:
        """Publish, and wait for the message of the same stamp on each topic."""
        if not self._connected.issuperset(answers):
            self._connect(message, answers)
        stamp_ns = self.publish(message)
        return [answer.wait(lambda m: stamp_of(m) == stamp_ns) for answer in answers]

    def _connect(self, message: Image | CompressedImage, answers: Sequence[Collected]) -> None:
        """Publish again and again until each topic has answered once.

        Two ends of a topic do not learn of each other at the same moment, and what is published
        in between is lost.
        """
        first_ns = self.publish(message)
        end = time.monotonic() + PATIENCE_S
        for answer in answers:
            while time.monotonic() < end:
                with contextlib.suppress(AssertionError):
                    answer.wait(lambda m: stamp_of(m) >= first_ns, 0.2)
                    break
                self.publish(message)
        self._connected.update(answers)


def stamp_of(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def raw_image(
    data: np.ndarray | bytes,
    encoding: str,
    width: int,
    height: int,
    step: int,
    *,
    big_endian: bool = False,
    frame_id: str = 'camera_optical',
) -> Image:
    """An image message, however wrong."""
    message = Image(height=height, width=width, encoding=encoding, step=step)
    message.header.frame_id = frame_id
    message.is_bigendian = int(big_endian)
    message.data = array.array('B', bytes(data))
    return message


def bgr_image(image: np.ndarray, frame_id: str = 'camera_optical') -> Image:
    height, width = image.shape[:2]
    return raw_image(image.tobytes(), 'bgr8', width, height, width * 3, frame_id=frame_id)


def mask_pixels(message: Image) -> np.ndarray:
    """The pixels of a mask: uint8 or uint16 [H, W], or uint8 [H, W, 3]."""
    kind, channels = {'mono8': ('u1', 1), 'mono16': ('<u2', 1), 'rgb8': ('u1', 3)}[message.encoding]
    pixels = np.frombuffer(message.data, kind)
    shape = (message.height, message.width, channels)[: 3 if channels > 1 else 2]
    return pixels.reshape(shape)
