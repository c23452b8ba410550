"""Results whose length is guessed from the batch before, on the stand-in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.gpu.lending import Lender
from trt_perception.pipeline.batch_entry import Entries
from trt_perception.pipeline.device_slot import Slot

NBYTES = 5000
HEAD = 100


@pytest.fixture(scope='module')
def owner():
    driver = StandInDriver()
    owner = stand_in_owner(driver)
    owner.driver = driver
    yield owner
    owner.close()


def rounds(owner, batches):
    """What arrives of each batch, whose parts are found to be needed after its head."""

    def work(gpu):
        buffers = gpu.buffers()
        lent = Lender(gpu.host_lock, 2), Lender(gpu.host_lock, 2)
        slot = Slot(gpu, buffers, *lent, Entries(None), 0)
        stream = gpu.stream()
        arrived, waits = [], []
        for number, (nbytes, parts) in enumerate(batches):
            memory = owner.driver.bytes_at(slot.result(nbytes), nbytes)
            memory[:] = np.random.default_rng(number).integers(0, 256, nbytes)
            host = slot.copy_out(HEAD, nbytes, stream)
            slot.done.synchronize()
            before = owner.driver.calls['Event.synchronize']
            slot.copy_rest(host, parts, stream)
            waits.append(owner.driver.calls['Event.synchronize'] - before)
            same = [np.array_equal(host[p], memory[p]) for p in (slice(0, HEAD), *parts)]
            arrived.append(all(same))
        gpu.release(buffers)
        return arrived, waits

    return owner.call(work)


def test_no_batches_nothing_copied(owner):
    assert rounds(owner, []) == ([], [])


def test_what_the_batch_before_needed_is_there_at_once(owner):
    parts = [slice(200, 900), slice(2000, 2600)]
    larger = [slice(200, 1000), slice(2000, 2700)]
    much_larger = [slice(200, 1900), slice(2000, 4900)]
    arrived, waits = rounds(
        owner, [(NBYTES, p) for p in (parts, parts, larger, much_larger, parts, [], parts)]
    )
    assert all(arrived)
    assert waits == [1, 0, 0, 1, 0, 0, 1]


parts_of_a_batch = st.lists(st.integers(HEAD, NBYTES), max_size=6).map(
    lambda edges: [slice(a, b) for a, b in zip(*[iter(sorted(edges))] * 2, strict=False)]
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([NBYTES, NBYTES + 700]), parts_of_a_batch),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_is_needed_arrives(owner, batches):
    arrived, _ = rounds(owner, batches)
    assert all(arrived)
