"""Memory that is lent, on the stand-in."""

import gc
import sys
import threading

import numpy as np
import pytest

from stand_in_driver import StandInDriver
from trt_perception.gpu.cuda_driver import HostLock
from trt_perception.gpu.lending import Lender


@pytest.fixture
def driver():
    driver = StandInDriver()
    driver.push()
    yield driver
    driver.pop()
    assert driver.pinned == {}


def test_nothing_lent_is_nothing_held(driver):
    lender = Lender(driver, 2)
    assert lender.use.pinned_bytes == 0
    lender.close()


def test_memory_comes_back_with_its_last_view(driver):
    lender = Lender(driver, 2)
    first = lender.lend(1000)
    start = first.__array_interface__['data'][0]
    view = first[10:20].reshape(2, 5)[1:]
    del first
    other = lender.lend(1000)
    assert not np.shares_memory(view, other), 'a view is left'
    del view
    again = lender.lend(500)
    assert again.__array_interface__['data'][0] == start
    assert lender.use.allocations == 2
    del other, again
    lender.close()


def test_no_more_than_so_many_are_lent(driver):
    lender = Lender(driver, 2)
    held = [lender.lend(10), lender.lend(10)]
    assert lender.lend(10) is None
    held.pop()
    assert lender.lend(10) is not None
    lender.close()


def test_a_block_that_is_too_small_is_replaced(driver):
    lender = Lender(driver, 1)
    lender.lend(10)
    large = lender.lend(5 << 20)
    assert len(large) == 5 << 20
    assert len(driver.pinned) == 1
    lender.close()


def test_images_that_grow_do_not_pile_up(driver):
    """Each would else leave a locked block of its own behind, up to `most`."""
    lender = Lender(driver, 32)
    for mib in range(1, 11):
        assert len(lender.lend(mib << 20)) == mib << 20
    assert lender.use.pinned_bytes == 10 << 20
    small = lender.lend(10)
    large = lender.lend(10 << 20)
    assert (small is not None, large is not None) == (True, True)
    del small, large
    before = lender.use.allocations
    for _ in range(5):
        held = [lender.lend(10), lender.lend(10 << 20)]
        del held
    assert lender.use.allocations == before, 'in the end all are large enough'
    lender.close()


def test_what_is_lent_stays_readable_after_the_end(driver):
    lender = Lender(driver, 1)
    lent = lender.lend(100)
    lent[:] = 7
    lender.close()
    gc.collect()
    assert (lent == 7).all()


def test_after_the_end_nothing_is_lent_or_locked(driver):
    lender = Lender(driver, 2)
    lent = lender.lend(100)
    lender.close()
    del lent
    assert lender.lend_free(100) is None
    assert lender.lend(100) is None
    assert driver.pinned == {}


def test_any_thread_may_let_go(driver):
    lender = Lender(driver, 1)
    held = [lender.lend(100)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert lender.lend(100) is not None
    lender.close()


def test_it_knows_its_own_memory(driver):
    lender = Lender(driver, 1)
    lent = lender.lend(100)
    assert lender.holds(lent[5:50])
    assert not lender.holds(np.zeros(5, np.uint8))
    lender.close()


def test_where_no_memory_can_be_locked_nothing_is_lent(driver):
    lender = Lender(driver, 1)
    driver.fail('lock', driver.MemoryError('cuMemHostRegister failed'))
    assert lender.lend(100) is None
    lender.close()


def test_a_machine_without_a_driver_locks_nothing():
    assert not HostLock('libno-such-driver.so').lock(4096, 4096)


def test_what_is_free_is_lent_in_any_thread(driver):
    lender = Lender(driver, 2)
    assert lender.lend_free(10) is None, 'only the owner makes more'
    lender.lend(10)
    found = []
    thread = threading.Thread(target=lambda: found.append(lender.lend_free(20)))
    thread.start()
    thread.join()
    assert found[0] is not None
    assert lender.holds(found[0])
    assert lender.lend_free(10) is None
    found.clear()
    assert lender.lend_free(2 << 20) is None, 'too small'
    assert lender.lend_free(10) is not None, 'and still there'
    lender.close()


def test_threads_that_lend_at_the_same_time_get_different_memory(driver):
    lender = Lender(driver, 8)
    held = [lender.lend(10) for _ in range(8)]
    del held
    clashes = []

    def borrow():
        for number in range(300):
            memory = lender.lend_free(10)
            if memory is not None:
                memory[:] = number % 251
                if (memory != number % 251).any():
                    clashes.append(number)

    threads = [threading.Thread(target=borrow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
    assert lender.use.allocations == 8
    lender.close()


def test_a_thread_may_ask_while_it_is_closed(driver):
    """As that of a camera does while its node is cleaned up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            lender = Lender(driver, 32)
            held = [lender.lend(10) for _ in range(32)]
            del held
            closed, asked = threading.Event(), []
            thread = threading.Thread(target=ask_until, args=(lender, closed, asked))
            thread.start()
            lender.close()
            closed.set()
            thread.join()
            assert asked == [None], 'the thread went through to the end'
    finally:
        sys.setswitchinterval(before)


def ask_until(lender, closed, asked):
    while not closed.is_set():
        asked[:] = [lender.lend_free(2 << 20)]
    asked[:] = [lender.lend_free(2 << 20)]


def test_views_by_any_means_are_known(driver):
    lender, other = Lender(driver, 2), Lender(driver, 2)
    lent = lender.lend(100)
    for view in (lent, lent[10:20], lent[10:20].reshape(2, 5).T, np.frombuffer(lent, np.uint8)):
        assert lender.holds(view)
        assert not other.holds(view)
    own = np.zeros(100, np.uint8)
    for array in (own, own[1:], np.frombuffer(bytes(9), np.uint8)):
        assert not lender.holds(array)
    lender.close()
    assert not lender.holds(lent), 'it is not locked any more'
