"""Whether a reader on another machine holds up the robot's own, over a slow network or a lossy one.

    sudo -E python benchmarks/slow_network.py --rate 20mbit
    sudo -E python benchmarks/slow_network.py --rate 100mbit --read compressed --best-effort
    sudo -E python benchmarks/slow_network.py --lost 1                       # needs nft
    sudo -E python benchmarks/slow_network.py --rate 20mbit --profile folder/fastdds_shm.xml

Two machines are made of this one by Linux namespaces, each with a network card, a /dev/shm and a
host name of its own; that takes root, `ip` and `tc`. The robot runs camera_node, detect_node and
overlay_node as the launch files start them. Its detections are heard on the robot, first alone,
then while the laptop, without this package's profile, reads too. Ages are those of the stamp.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

NODES = ('camera_node', 'detect_node', 'overlay_node')
SUBNET = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET', 'ROS_DOMAIN_ID': '0'}
ADDRESSES = {'robot': '10.5.0.1', 'laptop': '10.5.0.2'}
READY_S = 6.0
KINDS = {
    'detections': ('/detect_node/detections', 'vision_msgs.msg', 'Detection2DArray'),
    'image': ('/image', 'sensor_msgs.msg', 'Image'),
    'compressed': ('/image/compressed', 'sensor_msgs.msg', 'CompressedImage'),
    'overlay': ('/overlay_node/overlay', 'sensor_msgs.msg', 'Image'),
    'diagnostics': ('/diagnostics', 'diagnostic_msgs.msg', 'DiagnosticArray'),
}
LOSSY = """table netdev lossy {
 chain arriving {
  type filter hook ingress device eth0 priority 0;
  numgen random mod 1000 < %d drop
 }
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rate', default='', help='of the network, as tc writes it: 20mbit')
    parser.add_argument('--lost', type=float, default=0.0, help='per cent of the packets')
    parser.add_argument('--read', nargs='+', default=['image', 'detections'], choices=KINDS)
    parser.add_argument('--best-effort', action='store_true', help='of the laptop')
    parser.add_argument('--profile', help='in place of config/fastdds_shm.xml; of the same name')
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--hz', type=float, default=10.0)
    parser.add_argument('--seconds', type=float, default=8.0)
    parser.add_argument('--hear', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hear:
        hear(json.loads(arguments.hear))
        return
    if os.geteuid():
        parser.error('namespaces take root: sudo -E')
    with ExitStack() as stack:
        measure(stack, arguments)


def measure(stack: ExitStack, arguments: argparse.Namespace) -> None:
    robot, laptop = (stack.enter_context(machine(name)) for name in ADDRESSES)
    join(robot, laptop, arguments)
    profile = environment(arguments.profile)
    for node in NODES:
        stack.enter_context(started(robot, command(node, arguments), profile))
    time.sleep(READY_S)
    print('| heard on | topic | a second | median age ms | worst |\n|---|---|---|---|---|')
    alone = listen(stack, robot, profile, ['detections'], arguments, best_effort=False)
    tell('robot, alone', alone, arguments)
    here = listen(stack, robot, profile, ['detections'], arguments, best_effort=False)
    there = listen(stack, laptop, {}, arguments.read, arguments, arguments.best_effort)
    tell('robot', here, arguments)
    tell('laptop', there, arguments)


@contextmanager
def machine(name: str) -> Iterator[int]:
    """The process whose namespaces are the machine."""
    script = (
        f'hostname {name} && mount --make-rprivate / && mount -t tmpfs tmpfs /dev/shm && '
        'ip link set lo up && echo ready && exec sleep infinity'
    )
    unshare = ['unshare', '-n', '-m', '-u', 'sh', '-c', script]
    with subprocess.Popen(unshare, stdout=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != 'ready\n':
                raise SystemExit('this machine makes no namespaces')
            yield holder.pid
        finally:
            holder.kill()


def within(holder: int, *words: str) -> list[str]:
    return ['nsenter', '-t', str(holder), '-n', '-m', '-u', *words]


def join(robot: int, laptop: int, arguments: argparse.Namespace) -> None:
    """A cable between two machines; the robot sends at the rate, both lose packets."""
    ends = ['eth0', 'netns', str(robot), 'type', 'veth', 'peer', 'name', 'eth0', 'netns']
    subprocess.run(['ip', 'link', 'add', *ends, str(laptop)], check=True)
    for holder, address in zip((robot, laptop), ADDRESSES.values(), strict=True):
        script = (
            f'ip addr add {address}/24 dev eth0; ip link set eth0 up; ip route add default dev eth0'
        )
        subprocess.run(within(holder, 'sh', '-c', script), check=True)
        if arguments.lost:
            rules = LOSSY % round(10 * arguments.lost)
            nft = shutil.which('nft') or 'nft'
            subprocess.run(within(holder, nft, '-f', '-'), input=rules, text=True, check=True)
    if arguments.rate:
        bucket = ['rate', arguments.rate, 'burst', '32kb', 'limit', '3mb']
        shaped = ['tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', *bucket]
        subprocess.run(within(robot, *shaped), check=True)


def environment(profile: str | None) -> dict[str, str]:
    """What the launch files set."""
    from trt_perception.nodes.transport import choose_transport

    variables = choose_transport(os.environ, len(NODES) + 1).variables
    return {name: profile or value for name, value in variables.items()}


def command(node: str, arguments: argparse.Namespace) -> list[str]:
    """As the launch files start it."""
    from trt_perception.nodes.launching import ARGUMENTS, parameters_for, remappings_for

    given = {name: argument.default for name, argument in ARGUMENTS.items()}
    words = ['--ros-args', '-r', f'__node:={node}']
    for pair in remappings_for(node, given['image'], NODES):
        words += ['-r', ':='.join(pair)]
    for parameters in parameters_for(node, given, NODES):
        if isinstance(parameters, str):
            words += ['--params-file', parameters]
    if node == 'camera_node':
        words += ['-p', f'size:={arguments.size}', '-p', f'rate:={arguments.hz}']
    return [str(shutil.which(node) or node), *words]


@contextmanager
def started(
    holder: int, words: list[str], variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A process on a machine, killed at the end: its shared memory goes with the machine."""
    with subprocess.Popen(
        within(holder, *words),
        env=os.environ | SUBNET | variables,
        cwd='/',
        stdout=subprocess.PIPE if '--hear' in words else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def listen(
    stack: ExitStack,
    holder: int,
    variables: Mapping[str, str],
    names: list[str],
    arguments: argparse.Namespace,
    best_effort: bool,
) -> subprocess.Popen[str]:
    wanted = {'names': names, 'seconds': arguments.seconds, 'best_effort': best_effort}
    words = [sys.executable, str(HERE / 'slow_network.py'), '--hear', json.dumps(wanted)]
    return stack.enter_context(started(holder, words, variables))


def tell(where: str, process: subprocess.Popen[str], arguments: argparse.Namespace) -> None:
    ages: dict[str, list[float]] = json.loads(process.communicate()[0] or '{}')
    for name, heard in ages.items():
        middle = f'{statistics.median(heard):.0f} | {max(heard):.0f}' if heard else '- | -'
        print(f'| {where} | {name} | {len(heard) / arguments.seconds:.1f} | {middle} |', flush=True)


def hear(wanted: dict[str, object]) -> None:
    """Print the ages in ms of what comes, by name."""
    import rclpy
    from rclpy.qos import QoSProfile, QoSReliabilityPolicy

    rclpy.init()
    node = rclpy.create_node('heard')
    best_effort = QoSReliabilityPolicy.BEST_EFFORT
    reliability = best_effort if wanted['best_effort'] else QoSReliabilityPolicy.RELIABLE
    ages: dict[str, list[float]] = {}

    def taker(name: str):
        def take(message) -> None:
            stamp = message.header.stamp
            ages[name].append(time.time() * 1e3 - stamp.sec * 1e3 - stamp.nanosec / 1e6)

        return take

    for name in wanted['names']:
        topic, module, kind = KINDS[name]
        ages[name] = []
        profile = QoSProfile(depth=5, reliability=reliability)
        node.create_subscription(getattr(import_module(module), kind), topic, taker(name), profile)
    end = time.monotonic() + wanted['seconds']
    while (left := end - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left)
    print(json.dumps(ages), flush=True)


if __name__ == '__main__':
    main()
