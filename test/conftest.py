"""What all tests need."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
NODES = 'test/nodes'

# `python -m pytest` puts the checkout first on the module path. The package
# there lacks the generated messages, and would hide the installed one.
if '/trt_perception' in os.environ.get('AMENT_PREFIX_PATH', ''):
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != ROOT]

# The time that an example takes is no property of the code on a machine that does other work.
settings.register_profile('no deadline', deadline=None)
settings.load_profile('no deadline')


def pytest_configure(config):
    """Hide a GPU from tests that do not ask for one: their nodes expect the CPU everywhere."""
    if config.option.markexpr.strip() != 'gpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, nodes run one after another beside everything else, which goes file by file.

    The tests of nodes wait most of the time, and two of them at once would take the processor
    from each other's processes just when one of them looks at the clock.
    """
    from xdist.scheduler import LoadScopeScheduling

    class NodesInOneWorker(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split('::')[0]
            return NODES if file.startswith(f'{NODES}/') else file

    return NodesInOneWorker(config, log)


@pytest.fixture
def driver(monkeypatch):
    """A stand-in for CUDA; at the end nothing may be left in it."""
    from stand_in_driver import StandInDriver
    from trt_perception.runtime import device_network

    driver = StandInDriver()
    abandoned = []
    monkeypatch.setattr(device_network, 'abandon', abandoned.append)
    yield driver
    assert not any(device.closed for device in abandoned)
    abandoned.clear()
    gc.collect()
    left = driver.left()
    assert not any(left.values()), left
