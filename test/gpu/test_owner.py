"""The owner of the GPU, on a stand-in that counts what is allocated, freed and pushed."""

import gc
import subprocess
import sys
import threading
import time

import pytest

from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import (
    BackendUnavailableError,
    DeviceLostError,
    GpuMemoryError,
    InferenceError,
)
from trt_perception.gpu.in_flight import InFlight
from trt_perception.gpu.memory import MemoryUse
from trt_perception.gpu.sharing import acquire_owner, release_owner

NOTHING = {
    'device memory': {},
    'pinned memory': {},
    'streams and events': 0,
    'contexts': 0,
    'pushed': [],
}


@pytest.fixture
def driver():
    driver = StandInDriver()
    yield driver
    gc.collect()  # an error holds the frames that it came through
    assert driver.left() == NOTHING


def test_starts_and_ends_without_work(driver):
    with stand_in_owner(driver) as owner:
        assert driver.retained == 1
        assert driver.pushed() == []
    assert not owner.lost


def test_work_is_done_in_one_other_thread_with_the_context(driver):
    with stand_in_owner(driver) as owner:
        threads = {owner.call(lambda gpu: (driver.pushed(), threading.get_ident())[1])}
        threads |= {owner.call(lambda gpu: driver.pushed()[0]) for _ in range(3)}
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        assert driver.pushed() == [], 'the context is off the thread between two pieces of work'


def test_many_threads_may_hand_over_work(driver):
    with stand_in_owner(driver) as owner:
        found = []

        def ask(number):
            found.extend(owner.call(lambda gpu: number) for _ in range(20))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted([n for n in range(4) for _ in range(20)])


def test_an_error_of_work_reaches_who_asked_and_nobody_else(driver):
    with stand_in_owner(driver) as owner:
        with pytest.raises(ZeroDivisionError):
            owner.call(lambda gpu: 1 // 0)
        assert owner.call(lambda gpu: 5) == 5


def test_buffers_grow_to_the_largest_size_and_stay(driver):
    with stand_in_owner(driver) as owner:
        buffers = owner.call(lambda gpu: gpu.buffers())
        sizes = [1000, 70000, 10, 70000, 131072]
        addresses = [owner.call(lambda gpu, n=n: buffers.device('a', n)) for n in sizes]
        assert addresses[1] == addresses[2] == addresses[3]
        assert all(address % 256 == 0 for address in addresses)
        assert buffers.use == MemoryUse(131072, 0, 2)
        assert owner.call(lambda gpu: gpu.use) == buffers.use
        assert len(driver.live) == 1


def test_what_a_user_forgets_is_freed_at_the_end(driver):
    with stand_in_owner(driver) as owner:

        def leave(gpu):
            buffers = gpu.buffers()
            buffers.device('a', 100)
            buffers.pinned('b', 100)

        owner.call(leave)
        assert len(driver.live) == len(driver.pinned) == 1


def test_no_room_is_told_with_sizes_and_the_owner_goes_on():
    driver = StandInDriver(total=1 << 20)
    with stand_in_owner(driver) as owner:
        driver.others = 1 << 19
        with pytest.raises(GpuMemoryError, match=r'no room for 1\.0 MiB of frames.*0\.5 MiB of'):
            owner.call(lambda gpu: gpu.buffers().device('frames', 1 << 20))
        assert owner.call(lambda gpu: gpu.buffers().device('frames', 1000))
    assert driver.left() == NOTHING


def test_no_room_on_the_host(driver):
    with stand_in_owner(driver) as owner:
        driver.fail('pagelocked_empty', driver.MemoryError('cuMemHostAlloc failed'))
        with pytest.raises(GpuMemoryError, match='cuMemHostAlloc'):
            owner.call(lambda gpu: gpu.buffers().pinned('results', 1000))


def test_out_of_memory_in_a_library_is_told_as_such(driver):
    with stand_in_owner(driver) as owner:
        driver.fail('Stream', driver.MemoryError('cuStreamCreate failed: out of memory'))
        with pytest.raises(GpuMemoryError, match='cuStreamCreate'):
            owner.call(lambda gpu: gpu.stream())


def test_an_error_that_passes_does_not_end_the_context(driver):
    with stand_in_owner(driver) as owner:
        driver.fail('Event', driver.LogicError('cuEventCreate failed: invalid value'))
        with pytest.raises(InferenceError, match='CUDA failed: cuEventCreate'):
            owner.call(lambda gpu: gpu.event())
        assert not owner.lost
        owner.call(lambda gpu: gpu.event() and None)


def test_a_fault_ends_the_owner_frees_all_and_resets(driver):
    owner = stand_in_owner(driver)
    owner.call(lambda gpu: gpu.buffers().device('a', 100))
    driver.fail('Event', driver.LogicError('an illegal memory access'), sticky=True)
    with pytest.raises(DeviceLostError, match=r'illegal memory access.*dmesg'):
        owner.call(lambda gpu: gpu.event())
    with pytest.raises(DeviceLostError):
        owner.call(lambda gpu: 1)
    owner.close()
    assert owner.lost
    assert driver.resets == 1
    driver.live.clear()


def test_work_that_waits_behind_a_fault_is_told(driver):
    owner = stand_in_owner(driver)
    begun, go_on = threading.Event(), threading.Event()

    def fault(gpu):
        begun.set()
        go_on.wait(5)
        gpu.event()

    driver.fail('Event', driver.LogicError('a fault'), sticky=True)
    first = owner.submit(fault)
    begun.wait(5)
    second = owner.submit(lambda gpu: 1)
    go_on.set()
    for future in (first, second):
        with pytest.raises(DeviceLostError):
            future.result(5)
    owner.close()
    driver.live.clear()


class InStream:
    """Work that is over when a stream has come to it."""

    def __init__(self, owner):
        self.stream = owner.call(lambda gpu: gpu.stream())
        self.done = []

    def __call__(self, gpu):
        event = gpu.event()
        self.stream.do(lambda: self.done.append(len(self.done)))
        event.record(self.stream)
        return InFlight(event, lambda: self.done[-1])

    def free(self, gpu):
        del self.stream


@pytest.mark.parametrize('users', [1, 2])
def test_work_in_flight_gives_its_result_when_the_gpu_is_through(driver, users):
    with stand_in_owner(driver) as owner:
        owner.users = users
        work = InStream(owner)
        futures = [owner.submit(work) for _ in range(10)]
        assert [f.result(5) for f in futures][-1] == 9
        assert work.done == list(range(10))
        owner.call(work.free)


def test_work_in_flight_is_finished_at_the_end(driver):
    owner = stand_in_owner(driver)
    work = InStream(owner)
    future = owner.submit(work)
    owner.close()
    assert future.result(0) == 0
    del work


def test_a_fault_in_flight_reaches_who_waits(driver):
    owner = stand_in_owner(driver)
    work = InStream(owner)
    driver.fail('Event.synchronize', driver.LogicError('a fault'), sticky=True)
    assert isinstance(owner.submit(work).exception(5), DeviceLostError)
    owner.close()
    del work


def test_a_context_that_others_destroyed_is_told_to_who_waits(driver):
    """CUDA then refuses to make it current, so nothing at all can be done."""
    owner = stand_in_owner(driver)
    driver.destroyed = driver.LogicError('context is destroyed')
    with pytest.raises(DeviceLostError, match='context is destroyed'):
        owner.submit(lambda gpu: 5).result(10)
    with pytest.raises(DeviceLostError):
        owner.submit(lambda gpu: 5).result(10)
    owner.close()
    assert driver.resets == 1


@pytest.mark.parametrize('users', [1, 2])
def test_it_is_told_for_work_in_flight_as_well(driver, users):
    owner = stand_in_owner(driver)
    owner.users = users
    held = threading.Event()

    def leave(gpu):
        held.wait(10)
        driver.destroyed = driver.LogicError('context is destroyed')
        return InFlight(gpu.event(), lambda: 5)

    waiting = [owner.submit(leave), owner.submit(lambda gpu: 6)]
    held.set()
    for future in waiting:
        with pytest.raises(DeviceLostError, match='destroyed'):
            future.result(10)
    owner.close()


def test_a_gpu_that_cannot_be_made_current_at_first_is_told(driver):
    driver.destroyed = driver.LogicError('context is destroyed')
    with pytest.raises(BackendUnavailableError, match='cannot be used: context is destroyed'):
        stand_in_owner(driver)


def test_an_error_that_cannot_be_explained_is_told_all_the_same(driver):
    with stand_in_owner(driver) as owner:
        driver.Context.synchronize = staticmethod(lambda: 1 // 0)
        with pytest.raises(DeviceLostError):
            owner.submit(lambda gpu: {}['nothing']).result(10)


def test_after_the_end_work_is_refused(driver):
    owner = stand_in_owner(driver)
    owner.close()
    owner.close()
    with pytest.raises(InferenceError, match='closed'):
        owner.call(lambda gpu: 1)


@pytest.mark.parametrize(
    ('call', 'text'),
    [('init', 'does not start'), ('Device', 'does not give'), ('retain_primary_context', 'memory')],
)
def test_without_driver_device_or_context_the_reason_is_told(call, text):
    driver = StandInDriver()
    driver.fail(call, driver.Error('no CUDA-capable device is detected'))
    with pytest.raises(BackendUnavailableError, match=text):
        stand_in_owner(driver)
    assert driver.left() == NOTHING


def test_no_gpu_is_told():
    with pytest.raises(BackendUnavailableError, match='CUDA_VISIBLE_DEVICES'):
        stand_in_owner(StandInDriver(devices=0))


def test_an_old_gpu_is_told_with_what_it_takes():
    with pytest.raises(BackendUnavailableError, match=r'6\.1; 7\.5 is the oldest'):
        stand_in_owner(StandInDriver(capability=(6, 1)))


def test_users_share_one_owner_until_the_last_has_gone(driver):
    first = acquire_owner(lambda: stand_in_owner(driver))
    second = acquire_owner(lambda: stand_in_owner(driver))
    assert first is second
    assert first.users == 2
    release_owner(first)
    assert second.call(lambda gpu: 1) == 1
    release_owner(second)


def test_a_lost_owner_is_replaced(driver):
    first = acquire_owner(lambda: stand_in_owner(driver))
    driver.fail('Event', driver.LogicError('a fault'), sticky=True)
    with pytest.raises(DeviceLostError):
        first.call(lambda gpu: gpu.event())
    second = acquire_owner(lambda: stand_in_owner(driver))
    assert second is not first
    assert driver.resets == 1
    release_owner(first)
    assert second.call(lambda gpu: 1) == 1
    release_owner(second)


def test_starting_and_ending_over_and_over_leaves_nothing(driver):
    for _ in range(50):
        with stand_in_owner(driver) as owner:
            owner.call(lambda gpu: gpu.buffers().device('a', 100))
    assert threading.active_count() < 10


def test_a_process_that_ends_without_closing_frees_all():
    """At exit, and in the middle of work."""
    code = (
        'import atexit, sys, time\n'
        f'sys.path.insert(0, {str(__file__.rsplit("/", 2)[0])!r})\n'
        'from stand_in_driver import StandInDriver\n'
        'driver = StandInDriver()\n'
        'atexit.register(lambda: print(driver.left()))\n'
        'from trt_perception.gpu.owner import GpuOwner\n'
        'owner = GpuOwner(driver, reset=driver.reset)\n'
        'owner.submit(lambda gpu: (gpu.buffers().device("a", 100), time.sleep(0.3)))\n'
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/')
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(NOTHING)
    assert time.monotonic() - began < 10
