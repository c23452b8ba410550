"""How much faster than real time `trt_perception replay` is, with 1 process and with all cores.

Renders a street at 10 Hz into bags, replays them, and checks that all runs found the same.

    python benchmarks/replay_speed.py [--seconds 20] [--size 1280x720] [--model street_detect]
        [--backend auto] [--jobs 1 2]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.bag_writer import BagWriter
from trt_perception.sources.opening import open_source

RATE_HZ = 10
KIND = 'sensor_msgs/msg/Image'
START_S = 1_700_000_000


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=int, default=20)
    parser.add_argument('--size', default='1280x720')
    parser.add_argument('--model', default='street_detect')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--jobs', type=int, nargs='+', help='default: 1, and all cores')
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split('x'))
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        bag = record(here / 'street', arguments.seconds * RATE_HZ, (width, height))
        jobs = arguments.jobs or sorted({1, len(os.sched_getaffinity(0))})
        found = [replayed(bag, here / f'jobs{n}', arguments, n) for n in jobs]
    same = all(one == found[0] for one in found)
    print(f'the bags hold {"the same" if same else "DIFFERENT"} messages')
    return 0 if same else 1


def record(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """A bag of the moving street."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    with open_source('synthetic:7', size=size) as source, BagWriter(path) as writer:
        for index, frame in zip(range(frames), source, strict=False):
            seconds, tenth = divmod(index, RATE_HZ)
            stamp = types['builtin_interfaces/msg/Time'](START_S + seconds, tenth * 100_000_000)
            header = types['std_msgs/msg/Header'](stamp, 'camera')
            pixels = to_bgr(frame)
            height, width = pixels.shape[:2]
            message = types[KIND](header, height, width, 'bgr8', 0, 3 * width, pixels.reshape(-1))
            time_ns = START_S * 10**9 + index * 10**9 // RATE_HZ
            writer.write('/image', KIND, bytes(store.serialize_cdr(message, KIND)), time_ns)
    return path


def replayed(bag: Path, out: Path, arguments: argparse.Namespace, jobs: int) -> list[object]:
    """Replay it, print how long that took; returns all messages of the new bag.

    They are serialised anew: rclpy leaves what happens to be in memory where CDR has padding.
    """
    command = [sys.executable, '-m', 'trt_perception.cli', 'replay', str(bag), '-q']
    command += ['--model', arguments.model, '--backend', arguments.backend]
    command += ['--out', str(out), '--jobs', str(jobs)]
    begin = time.perf_counter()
    subprocess.run(command, check=True, cwd=out.parent)
    took_s = time.perf_counter() - begin
    speed = arguments.seconds / took_s
    print(
        f'{arguments.model}, {arguments.size}, {jobs} processes: {arguments.seconds} s of '
        f'recording in {took_s:.1f} s, {speed:.2f} times real time'
    )
    with AnyReader([out]) as reader:
        types = reader.typestore
        return [
            (c.topic, t, bytes(types.serialize_cdr(reader.deserialize(raw, c.msgtype), c.msgtype)))
            for c, t, raw in reader.messages()
        ]


if __name__ == '__main__':
    sys.exit(main())
