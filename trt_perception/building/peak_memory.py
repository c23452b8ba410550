"""The most memory that this process ever held."""

from __future__ import annotations

import re
import resource
from pathlib import Path

from trt_perception.runtime.gpu_probes import read_text


def peak_memory_bytes() -> int:
    """Its greatest resident size so far, in bytes.

    Taken from /proc where there is one: what `getrusage` tells begins with the size that the
    process was forked from had.
    """
    found = re.search(r'^VmHWM:\s+(\d+) kB', read_text(Path('/proc/self/status')), re.MULTILINE)
    if found:
        return int(found.group(1)) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
