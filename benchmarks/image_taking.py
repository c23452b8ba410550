"""What it costs to take a camera's image: as the middleware's bytes, and by rclpy, side by side.

    python benchmarks/image_taking.py                     # about two minutes
    python benchmarks/image_taking.py --sizes 1920x1080 --rounds 20

A publisher in another process sends images. This process takes them in turns, some images each way,
with the memory that a pipeline on the CPU gives. `cpu` is the processor time of the thread from the
call of `take` until the frame is there, `process` that of all threads for one image, which has the
middleware's own in it, and `age` the time since the stamp. On a busy machine compare the medians of
processor time.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
sys.path.insert(0, str(HERE))

from measured_node import MeasuredNode, environment_on  # noqa: E402

DOMAIN = 73
UNCOUNTED = 5
"""Images at the beginning of a round: discovery, first allocations, and how bytes are checked."""

WAYS = ('rclpy', 'bytes')


@dataclass(frozen=True)
class Sample:
    """One image that was taken; milliseconds."""

    cpu: float
    process: float
    age: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', nargs='+', default=['640x480', '1920x1080', '3840x2160'])
    parser.add_argument('--rates', nargs='+', type=float, default=[30.0, 20.0, 8.0])
    parser.add_argument('--rounds', type=int, default=8, help='of each way')
    parser.add_argument('--images', type=int, default=20, help='that count, in a round')
    arguments = parser.parse_args()
    os.environ.update(environment_on(DOMAIN, processes=2))

    import rclpy

    from trt_perception.nodes.memory import keep_freed_memory

    keep_freed_memory()
    rclpy.init()
    node = rclpy.create_node('image_taking')
    print('| size | way | images | cpu ms | process ms | age ms |\n|---|---|---|---|---|---|')
    for size, rate in zip(arguments.sizes, arguments.rates, strict=False):
        samples = measure(node, size, rate, arguments)
        for way in WAYS:
            columns = np.array([[s.cpu, s.process, s.age] for s in samples[way]])
            middles = ' | '.join(f'{middle:.2f}' for middle in np.median(columns, axis=0))
            print(f'| {size} | {way} | {len(columns)} | {middles} |', flush=True)
    node.destroy_node()
    rclpy.shutdown()


def measure(node, size: str, rate: float, arguments: argparse.Namespace) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {way: [] for way in WAYS}
    command = shlex.join(
        [
            *(sys.executable, str(HERE / 'ros_probe.py'), 'publish', '--topic', '/image'),
            *('--size', size, '--rate', str(rate), '--frames', '1000000'),
        ]
    )
    with MeasuredNode(command, dict(os.environ)):
        for _ in range(arguments.rounds):
            for way in WAYS:
                taken = take(node, as_bytes=way == 'bytes')
                for _ in range(UNCOUNTED):
                    next(taken)
                samples[way].extend(next(taken) for _ in range(arguments.images))
                taken.close()
    return samples


def take(node, *, as_bytes: bool) -> Iterator[Sample]:
    """Take images for as long as somebody asks for a sample."""
    from trt_perception.nodes.frame_subscription import FrameSubscription
    from trt_perception.nodes.image_wait import ImageWait

    memory = (lambda nbytes: np.empty(nbytes, np.uint8)) if as_bytes else None
    subscription = FrameSubscription(node, transport='raw', reliability='reliable', memory=memory)
    wait = ImageWait(node.context, [subscription.handle])
    before_s = time.process_time()
    try:
        while True:
            wait.wait(10.0)
            began_s = time.thread_time()
            arrival = subscription.take()
            cpu_s = time.thread_time() - began_s
            if arrival is None:
                continue
            age_ns = time.time_ns() - arrival.frame.stamp_ns
            del arrival
            now_s = time.process_time()
            yield Sample(cpu_s * 1e3, (now_s - before_s) * 1e3, age_ns * 1e-6)
            before_s = now_s
    finally:
        subscription.close()


if __name__ == '__main__':
    main()
