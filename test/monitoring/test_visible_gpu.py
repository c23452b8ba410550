"""Which of the driver's GPUs CUDA gives, on a driver of the test's making."""

from __future__ import annotations

import pytest

from trt_perception.monitoring.visible_gpu import visible_gpu


class Driver:
    """What pynvml offers; handles are the GPUs' names. A small card lies before two large ones."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    class NVMLError_NoPermission(NVMLError):  # noqa: N801, N818
        pass

    def __init__(self, cores=(1000, 16000, 16000), tells_cores=True, kept=()):
        names = ('small', 'large', 'larger')[: len(cores)]
        self.cores = dict(zip(names, cores, strict=True))
        self.names = names
        self.tells_cores = tells_cores
        self.kept = kept

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        if self.names[index] in self.kept:
            raise self.NVMLError_NoPermission('insufficient permissions')
        return self.names[index]

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return f'GPU-{self.names.index(handle)}a-{handle}'.encode()

    def nvmlDeviceGetNumGpuCores(self, handle):  # noqa: N802
        if not self.tells_cores:
            raise self.NVMLError('not supported')
        return self.cores[handle]

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):  # noqa: N802
        assert kind == self.NVML_CLOCK_SM
        return 1500

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        if uuid != 'MIG-7':
            raise self.NVMLError('not found')
        return ('part', 'larger')

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, part):  # noqa: N802
        return part[1]


def test_a_machine_without_a_gpu():
    with pytest.raises(OSError, match="no GPU '0'"):
        visible_gpu(Driver(cores=()), {})


@pytest.mark.parametrize(
    ('variables', 'name'),
    [
        ({}, 'large'),
        ({'CUDA_VISIBLE_DEVICES': '2'}, 'small'),
        ({'CUDA_VISIBLE_DEVICES': '1,0'}, 'larger'),
        ({'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'}, 'small'),
        ({'CUDA_DEVICE_ORDER': 'PCI_BUS_ID', 'CUDA_VISIBLE_DEVICES': ' 2 ,0'}, 'larger'),
        ({'CUDA_VISIBLE_DEVICES': 'GPU-2a-larger,GPU-0a'}, 'larger'),
        ({'CUDA_VISIBLE_DEVICES': 'GPU-0'}, 'small'),
        ({'CUDA_VISIBLE_DEVICES': 'MIG-7'}, 'larger'),
    ],
)
def test_the_first_that_cuda_sees(variables, name):
    assert visible_gpu(Driver(), variables) == name


@pytest.mark.parametrize(
    ('kept', 'first'), [(('large',), 'larger'), (('small', 'larger'), 'large')]
)
def test_a_gpu_that_is_kept_from_this_user_hides_no_other(kept, first):
    """CUDA does not count it either: it cannot be opened."""
    assert visible_gpu(Driver(kept=kept), {}) == first
    in_bus_order = {'CUDA_DEVICE_ORDER': 'PCI_BUS_ID', 'CUDA_VISIBLE_DEVICES': '1'}
    assert visible_gpu(Driver(kept=('small',)), in_bus_order) == 'larger'


def test_where_all_are_kept_from_this_user_there_is_none():
    with pytest.raises(OSError, match="no GPU '0'"):
        visible_gpu(Driver(kept=('small', 'large', 'larger')), {})


def test_a_driver_that_does_not_tell_how_fast_they_are():
    assert visible_gpu(Driver(tells_cores=False), {'CUDA_VISIBLE_DEVICES': '1'}) == 'large'


@pytest.mark.parametrize('hidden', ['', '-1', '3', '²', 'none', 'GPU-9', 'GPU-', 'MIG-8'])
def test_a_gpu_that_cuda_does_not_see_is_not_watched(hidden):
    with pytest.raises(OSError, match='GPU'):
        visible_gpu(Driver(), {'CUDA_VISIBLE_DEVICES': hidden})


def test_the_process_own_variables_count(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'GPU-2a')
    assert visible_gpu(Driver()) == 'larger'
