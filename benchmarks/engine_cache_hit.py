"""What a cache hit adds to the start of a node: find, read and verify an engine.

    python benchmarks/engine_cache_hit.py --megabytes 20 --repeat 50

Warm: the file is in the page cache, as after a build. Cold: its pages are dropped before each
read, as after a reboot; that measures the disk as much as the digest.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from trt_perception.building.engine_cache import BuiltEngine, Engine, EngineCache
from trt_perception.building.engine_identity import (
    EngineIdentity,
    PlatformIdentity,
    TensorRTIdentity,
)

IDENTITY = EngineIdentity(
    onnx='0' * 64,
    precision='fp16',
    tensorrt=TensorRTIdentity(flavour='tensorrt', version='10.3.0.30'),
    platform=PlatformIdentity(system='Linux', architecture='x86_64'),
)


def drop_pages(path: Path) -> None:
    """Ask the kernel to forget the file's content."""
    with path.open('rb') as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def hit_ms(cache: EngineCache) -> float:
    """Milliseconds of one hit."""
    start = time.perf_counter()
    engine = cache.find(IDENTITY, 'benchmark')
    taken = time.perf_counter() - start
    if not isinstance(engine, Engine):
        raise SystemExit(f'no hit: {engine}')
    return 1000 * taken


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--megabytes', type=float, default=20.0)
    parser.add_argument('--repeat', type=int, default=50)
    parser.add_argument('--folder', type=Path, help='where to keep the engine (default: temporary)')
    arguments = parser.parse_args()
    plan = secrets.token_bytes(int(arguments.megabytes * 1e6))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        cache = EngineCache(Path(folder) / 'engines')
        path = cache.obtain(IDENTITY, lambda: BuiltEngine(plan), label='benchmark').path
        if path is None:
            raise SystemExit('the engine could not be kept')
        print(f'{arguments.megabytes:g} MB engine, {arguments.repeat} hits, milliseconds')
        for name, cold in (('warm', False), ('cold', True)):
            times = []
            for _ in range(arguments.repeat):
                if cold:
                    drop_pages(path)
                times.append(hit_ms(cache))
            p50, p99 = statistics.median(times), sorted(times)[int(0.99 * len(times))]
            print(f'  {name}: p50 {p50:.1f}, p99 {p99:.1f}, max {max(times):.1f}')


if __name__ == '__main__':
    main()
