"""Programs that run together and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from trt_perception.cli.node_processes import NodeProcesses, ProcessDiedError

SLEEPER = 'import time; print("up", flush=True); time.sleep(60)'
DEAF = (
    'import signal, time; signal.signal(2, signal.SIG_IGN); signal.signal(15, signal.SIG_IGN); '
    'print("up", flush=True); time.sleep(60)'
)


def python(code: str) -> list[str]:
    return [sys.executable, '-c', code]


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.02)


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_none_started_is_no_error(tmp_path: Path):
    with NodeProcesses(tmp_path) as programs:
        programs.check()


def test_all_have_ended_after_the_block(tmp_path: Path):
    before = set(children())
    with NodeProcesses(tmp_path) as programs:
        programs.start('one', python(SLEEPER), os.environ)
        programs.start('two', python(SLEEPER), os.environ)
        started = set(children()) - before
        assert len(started) == 2
        programs.check()
    assert not any(process.is_running() for process in started)


def test_one_that_ignores_signals_is_killed(tmp_path: Path):
    before = set(children())
    programs = NodeProcesses(tmp_path)
    programs.start('deaf', python(DEAF), os.environ)
    wait_for(lambda: (tmp_path / 'deaf.log').read_text() == 'up\n')
    [process] = set(children()) - before
    programs.stop(patience_s=0.2)
    assert not process.is_running()


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        ('print("the reason"); raise SystemExit(3)', 'with status 3'),
        ('import os; print("the reason", flush=True); os.kill(os.getpid(), 9)', 'signal SIGKILL'),
    ],
)
def test_one_that_dies_is_named_with_its_last_lines(tmp_path: Path, code: str, words: str):
    with NodeProcesses(tmp_path) as programs:
        programs.start('well', python(SLEEPER), os.environ)
        programs.start('ill', python(code), os.environ)

        wait_for(lambda: any(p.status() == psutil.STATUS_ZOMBIE for p in children()))
        with pytest.raises(ProcessDiedError, match=f'(?s)^ill ended .*{words}.*the reason'):
            programs.check()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_they_end_with_the_process_that_started_them(tmp_path: Path, number: signal.Signals):
    code = (
        'import os, time; from pathlib import Path\n'
        'from trt_perception.cli.node_processes import NodeProcesses\n'
        f'with NodeProcesses(Path({str(tmp_path)!r})) as programs:\n'
        f'    programs.start("child", {python(SLEEPER)!r}, os.environ)\n'
        '    time.sleep(60)\n'
    )
    parent = subprocess.Popen(python(code), stderr=subprocess.DEVNULL)
    log = tmp_path / 'child.log'
    try:
        wait_for(lambda: log.exists() and log.read_text() == 'up\n')
        [child] = psutil.Process(parent.pid).children()
        parent.send_signal(number)
        parent.wait(20)
        wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        parent.kill()
        parent.wait()
