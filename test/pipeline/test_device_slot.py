"""The way of a batch in and out, on the stand-in: every encoding, and guessed lengths."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.test_letterbox import random_frame
from on_stand_in import CpuLetterbox, stand_in_owner
from stand_in_driver import StandInDriver, host_array
from trt_perception.gpu.lending import Lender
from trt_perception.kernels.letterbox import DEVICE_ENCODINGS
from trt_perception.model_input import InputSpec
from trt_perception.pipeline.batch_entry import Entries
from trt_perception.pipeline.device_slot import Slot
from trt_perception.preprocessing.colour import check_frame, to_bgr
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor

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


SPEC = InputSpec(size=(48, 32))


def entered(owner, frames, in_place):
    """What the letterbox makes of the frames as they lie on the GPU."""

    def work(gpu):
        buffers, driver = gpu.buffers(), owner.driver
        lent = Lender(gpu.host_lock, 2), Lender(gpu.host_lock, 4)
        slot = Slot(gpu, buffers, *lent, Entries(lambda size: Letterbox.fit(size, SPEC.size)), 0)
        stream = gpu.stream()
        given = []
        for frame, here in zip(frames, in_place, strict=True):
            memory = lent[1].lend(frame.data.size) if here else frame.data
            memory[:] = frame.data
            given.append(replace(frame, data=memory))
        sizes = [check_frame(frame) for frame in given]
        for _ in range(2):  # worked out, and looked up
            images = slot.copy_in(given, sizes, stream)
        tensor = buffers.device('tensor', len(frames) * 3 * 48 * 32 * 4)
        CpuLetterbox(driver, SPEC, np.float32).enqueue(images, tensor, stream)
        stream.synchronize()
        made = host_array(tensor, np.float32, (len(frames), 3, 32, 48)).copy()
        gpu.release(buffers)
        return made

    return owner.call(work)


frames_of_any_kind = st.builds(
    lambda encoding, width, height, times, padding, big_endian, seed: random_frame(
        width,
        height * times,
        encoding,
        padding=2 * padding,
        big_endian=big_endian and encoding.endswith('16'),
        seed=seed,
    ),
    encoding=st.sampled_from(sorted(DEVICE_ENCODINGS)),
    width=st.integers(1, 200),
    height=st.integers(1, 40),
    times=st.integers(1, 7),
    padding=st.integers(0, 5),
    big_endian=st.booleans(),
    seed=st.integers(0, 9),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(frames_of_any_kind, st.booleans()), min_size=1, max_size=3))
def test_frames_of_any_encoding_and_size_arrive_in_either_memory(owner, given_frames):
    frames = [frame for frame, _ in given_frames]
    made = entered(owner, frames, [here for _, here in given_frames])
    for one, frame in zip(made, frames, strict=True):
        expected = np.empty((3, 32, 48), np.float32)
        Preprocessor(SPEC)(to_bgr(frame), expected)
        np.testing.assert_array_equal(one, expected)
