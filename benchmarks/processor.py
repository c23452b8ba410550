"""What a benchmark on the CPU ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor_name() -> str:
    """As the kernel tells it; the architecture where it does not."""
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def processor() -> str:
    """Its name and the number of cores."""
    return f'{processor_name()}, {os.cpu_count()} cores'
