from __future__ import annotations

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
    source = ProcessSource()
    begin, begin_s = time.process_time(), time.monotonic()
    while time.process_time() - begin < 0.2:
        pass
    # Others may have had the cores most of the time.
    share = 0.2 / (time.monotonic() - begin_s)
    assert source.read().cpu > share / 2


def test_an_open_file_shows(tmp_path):
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
