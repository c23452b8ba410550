from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import psutil
import pytest

from trt_perception.monitoring.process_state import ProcessSource


def test_this_process():
    state = ProcessSource().read()
    assert state.rss_bytes > 1 << 20
    assert state.threads >= threading.active_count() > 0
    assert state.handles > 0
    assert 0 <= state.machine_cpu <= 1


def test_work_shows_in_cores():
    begin_s = time.monotonic()
    source = ProcessSource()
    begin = time.process_time()
    while time.process_time() - begin < 0.3:
        pass
    cpu = source.read().cpu
    # Others may have had the cores most of the time, before the first reading as well as after.
    assert cpu > 0.8 * 0.3 / (time.monotonic() - begin_s)


def test_an_open_file_shows(tmp_path):
    gc.collect()  # what others left open would be closed meanwhile
    source = ProcessSource()
    before = source.read().handles
    with (tmp_path / 'file').open('w'):
        assert source.read().handles == before + 1


def test_another_process_and_its_end():
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    source = ProcessSource(child.pid)
    state = source.read()
    assert state.threads == 1
    assert state.heap_bytes == 0, 'only of this process can the heap be known'
    child.communicate(b'\n')
    with pytest.raises(psutil.NoSuchProcess):
        source.read()
