"""What stands between this package and the CUDA driver, and how it is told."""

import sys

import pytest

from stand_in_driver import StandInDriver
from trt_perception.errors import BackendUnavailableError, GpuMemoryError
from trt_perception.gpu.cuda_driver import (
    HostLock,
    device_of,
    import_pycuda,
    no_room,
    reset_primary_context,
    started,
)


@pytest.fixture
def pycuda(monkeypatch, tmp_path):
    """Writes a module pycuda.driver, which the import system then finds by itself."""

    def write(content):
        (tmp_path / 'pycuda').mkdir()
        (tmp_path / 'pycuda' / '__init__.py').write_text('')
        (tmp_path / 'pycuda' / 'driver.py').write_text(content)
        for name in ('pycuda', 'pycuda.driver'):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    yield write
    for name in ('pycuda', 'pycuda.driver'):
        sys.modules.pop(name, None)


def test_without_pycuda_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycuda', None)
    monkeypatch.setitem(sys.modules, 'pycuda.driver', None)
    with pytest.raises(BackendUnavailableError, match='pip install "pycuda'):
        import_pycuda()


def test_without_a_driver_the_import_fails_and_that_is_told(pycuda):
    pycuda('raise ImportError("libcuda.so.1: cannot open shared object file")')
    with pytest.raises(BackendUnavailableError, match=r'libcuda\.so\.1: cannot open.*the driver'):
        import_pycuda()


DRIVER = """
class Error(Exception): pass
def init():
    if {refused!r}: raise Error({refused!r})
class Device:
    @staticmethod
    def count(): return {count}
"""


@pytest.mark.parametrize(
    ('refused', 'count', 'text'),
    [
        ('cuInit failed: no CUDA-capable device is detected', 0, 'no CUDA-capable.*doctor'),
        ('cuInit failed: CUDA driver version is insufficient', 0, 'insufficient.*doctor'),
        ('', 0, 'sees no GPU.*CUDA_VISIBLE_DEVICES'),
    ],
)
def test_a_driver_that_does_not_start_or_sees_nothing_is_told(pycuda, refused, count, text):
    pycuda(DRIVER.format(refused=refused, count=count))
    with pytest.raises(BackendUnavailableError, match=text):
        import_pycuda()


def test_a_driver_that_starts_is_the_module_itself(pycuda):
    pycuda(DRIVER.format(refused='', count=1))
    assert import_pycuda() is sys.modules['pycuda.driver']


@pytest.mark.parametrize(('capability', 'fits'), [((7, 4), False), ((7, 5), True), ((12, 1), True)])
def test_the_oldest_gpu_that_is_served(capability, fits):
    driver = started(StandInDriver(capability=capability))
    if fits:
        assert device_of(driver, 0).compute_capability() == capability
        return
    with pytest.raises(BackendUnavailableError, match=r'has compute capability 7\.4; 7\.5 is'):
        device_of(driver, 0)


def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(BackendUnavailableError, match=r'GPU 3.*CUDA_VISIBLE_DEVICES'):
        device_of(StandInDriver(), 3)


def test_no_room_is_told_even_where_nobody_knows_how_much_is_left():
    driver = StandInDriver()
    driver.fail('mem_get_info', driver.Error('unknown error'))
    error = no_room(driver, 'frames', 1 << 20, driver.MemoryError('out of memory'))
    assert isinstance(error, GpuMemoryError)
    assert 'no room for 1.0 MiB of frames: out of memory; how much is free is unknown' in str(error)


def test_without_the_library_nothing_is_locked_or_reset():
    assert not HostLock('libnothing.so.9').lock(4096, 4096)
    assert reset_primary_context(0, 'libnothing.so.9') == -1
