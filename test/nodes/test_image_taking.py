"""Images of another process, taken as bytes into memory of our choice."""

from __future__ import annotations

import gc
import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy
from sensor_msgs.msg import Image

from networks import write_detector
from nodes.image_sender import image_sender, picture
from nodes.middleware import numbered
from on_stand_in import CHOICE, CpuStages, network_on
from stand_in_driver import StandInDriver
from trt_perception.errors import FrameError
from trt_perception.gpu.lending import Lender
from trt_perception.model_spec import load_model_spec
from trt_perception.nodes import byte_take, image_taking
from trt_perception.nodes.byte_take import NO_NUMBER, Info
from trt_perception.nodes.frame_subscription import FrameSubscription
from trt_perception.nodes.image_taking import frame_and_header, implausible
from trt_perception.nodes.image_wait import ImageWait
from trt_perception.nodes.sequence_gaps import Missed
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.perception import open_pipeline

NUMBERS = itertools.count()
PATIENCE_S = 20.0
NOW_NS = 1_700_000_000 * 10**9


@pytest.fixture(scope='module')
def node(graph):
    node = rclpy.create_node('taker', context=graph.context)
    yield node
    node.destroy_node()


@pytest.fixture(scope='module')
def sender(graph):
    with image_sender(graph) as sender:
        yield sender


@pytest.fixture
def lender():
    """Blocks that no GPU needs to have locked."""
    return Lender(SimpleNamespace(lock=lambda *_: True, unlock=lambda _: None), 20)


@pytest.fixture
def said(node, monkeypatch):
    """What is logged."""
    texts = []
    log = SimpleNamespace(info=texts.append, warning=texts.append)
    monkeypatch.setattr(node, 'get_logger', lambda: log)
    return texts


@pytest.fixture
def open_taking(graph, node, sender, lender, said):
    """Gives a `Taking`; several may follow each other."""
    opened = []

    def give(**arguments):
        arguments = {'memory': lender.lend, **arguments}
        taking = Taking(graph, node, sender, **arguments)
        opened.append(taking)
        return taking

    yield give
    for taking in opened:
        taking.close()


class Taking:
    """A subscription, and a sender in another process."""

    def __init__(self, graph, node, sender, **arguments) -> None:
        self.topic = f'/taken/image_{next(NUMBERS)}'
        self.subscription = FrameSubscription(
            node, transport='raw', reliability='reliable', image=self.topic, **arguments
        )
        self._wait = ImageWait(graph.context, [self.subscription.handle])
        self.sender = sender
        sender.turn_to(self.topic)
        graph.wait_for(lambda: node.count_publishers(self.topic), 'the sender')

    def close(self) -> None:
        self.subscription.close()

    def arrival(self):
        """What comes next."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            arrival = self.subscription.take()
            if arrival is not None:
                return arrival
            self._wait.wait(0.1)
        raise AssertionError('no image came')

    def sent(self, width, height, seed, **arguments):
        """The arrival of a picture that is sent."""
        self.sender.send(width, height, seed, **arguments)
        return self.arrival()


def assert_shows(arrival, width, height, seed):
    frame, header = frame_and_header(picture(width, height, seed))
    assert arrival.header == header
    for name in ('height', 'width', 'step', 'encoding', 'big_endian', 'stamp_ns', 'frame_id'):
        assert getattr(arrival.frame, name) == getattr(frame, name), name
    np.testing.assert_array_equal(arrival.frame.data, frame.data)


def test_images_of_any_sizes_arrive_byte_for_byte(open_taking, lender, said):
    taking = open_taking()
    sizes = [(64, 48), (64, 48), (3, 1), (0, 0), (640, 480), (1920, 1080), (64, 48), (640, 480)]
    for seed, (width, height) in enumerate(sizes, 1):
        arrival = taking.sent(width, height, seed)
        assert_shows(arrival, width, height, seed)
        ours = seed > 1 and width > 0
        assert lender.holds(arrival.frame.data) or not ours, 'only the first is taken by rclpy'
    assert said == []


def test_without_memory_images_are_taken_by_rclpy(open_taking):
    taking = open_taking(memory=None)
    for seed in (1, 2, 3):
        assert_shows(taking.sent(64, 48, seed), 64, 48, seed)
        assert taking.subscription.take() is None


def test_memory_is_not_used_again_while_anybody_looks_at_it(open_taking, lender):
    taking = open_taking()
    kept = [taking.sent(64, 48, seed) for seed in range(1, 12)]
    for seed, arrival in enumerate(kept, 1):
        assert_shows(arrival, 64, 48, seed)
    rows = [arrival.frame.data[100:200] for arrival in kept]
    wanted = [row.copy() for row in rows]
    del kept, arrival
    for seed in range(12, 16):
        taking.sent(64, 48, seed)
    np.testing.assert_array_equal(rows, wanted)
    del rows
    gc.collect()
    before = lender.use.allocations
    for seed in range(16, 30):
        taking.sent(64, 48, seed)
    assert lender.use.allocations == before, 'what is free is used again'


@numbered
def test_images_that_were_replaced_are_counted_by_their_numbers(graph, open_taking):
    taking = open_taking()
    heard = graph.collect(Image, taking.topic)
    taking.sender.turn_to(taking.topic, hearers=2)
    for seed in (1, 2):
        assert taking.sent(64, 48, seed).missed == Missed()
    taking.subscription.looked_away()
    for seed in (3, 4, 5):
        taking.sender.send(64, 48, seed)
    # Here they have arrived, so that they have in the other subscription of this process too.
    heard.wait(lambda message: message.header.stamp.sec == 5)
    arrival = taking.arrival()
    assert arrival.frame.stamp_ns == 5 * 10**9
    assert arrival.missed == Missed(replaced=2)
    assert abs(arrival.received_s - time.perf_counter()) < PATIENCE_S
    heard.close()


def test_a_damaged_image_is_refused_and_the_next_one_served(open_taking):
    taking = open_taking()
    for seed in (1, 2):
        taking.sent(64, 48, seed)
    with pytest.raises(FrameError, match='it ends after') as caught:
        taking.sent(64, 48, 3, without=1000)
    assert caught.value.cause == 'corrupt'
    arrival = taking.sent(64, 48, 4)
    assert_shows(arrival, 64, 48, 4)
    assert arrival.missed == Missed()


def test_a_damaged_image_decides_nothing(open_taking, lender, said):
    """Where it is the very one that rclpy reads as well."""
    taking = open_taking()
    taking.sent(64, 48, 1)
    with pytest.raises(FrameError):
        taking.sent(64, 48, 2, without=1000)
    assert_shows(taking.sent(64, 48, 3), 64, 48, 3)
    assert lender.holds(taking.sent(64, 48, 4).frame.data)
    assert said == []


def test_where_there_is_no_memory_the_image_is_left_out(open_taking, lender):
    broken = []

    def lend(nbytes):
        if broken:
            raise MemoryError('none left')
        return lender.lend(nbytes)

    taking = open_taking(memory=lend)
    for seed in (1, 2):
        taking.sent(64, 48, seed)
    broken.append(True)
    with pytest.raises(FrameError, match='no memory for it: none left'):
        taking.sent(64, 48, 3)
    broken.clear()
    arrival = taking.sent(64, 48, 4)
    assert_shows(arrival, 64, 48, 4)
    assert arrival.missed == Missed(), 'the one before was left out, and not lost'


def test_on_a_gpu_a_camera_s_bytes_are_not_copied_on_the_host(open_taking, tmp_path, monkeypatch):
    model = write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9, 0.1]], ('car', 'dog'))
    spec, driver = load_model_spec(model), StandInDriver()
    pipeline = DevicePipeline(spec, network_on(driver, spec.onnx), CHOICE, make_stages=CpuStages)
    taking = open_taking(memory=pipeline.frame_memory)
    first = taking.sent(64, 48, 1)
    assert not pipeline.has_lent(first.frame)
    on_cpu = open_pipeline(model, backend='onnxruntime-cpu', threads=1)

    def refuse(*_, **__):
        raise AssertionError('copied')

    monkeypatch.setattr('trt_perception.gpu.host_copy._copy', refuse)
    for seed in (2, 3, 4):
        arrival = taking.sent(64, 48, seed)
        assert pipeline.has_lent(arrival.frame)
        (perceived,) = pipeline.process([arrival.frame])
        (wanted,) = on_cpu.process([arrival.frame])
        np.testing.assert_array_equal(perceived.result.boxes, wanted.result.boxes)
    # A node that is deactivated while its frames are still around.
    pipeline.close()
    assert_shows(arrival, 64, 48, 4)
    gone = taking.sent(64, 48, 5)
    assert_shows(gone, 64, 48, 5)
    on_cpu.close()


def refuse_to_load(monkeypatch):
    def missing(name):
        raise OSError(f'{name}: cannot open shared object file')

    monkeypatch.setattr(byte_take, '_loaded', missing)


def read_wrongly(monkeypatch):
    monkeypatch.setattr(image_taking, 'difference', lambda *_: 'rclpy reads another width')


def misplace_the_number(monkeypatch):
    class Shifted(byte_take.ByteTake):
        def take(self):
            taken = super().take()
            return taken and (taken[0], taken[1]._replace(number=140_000_000_000_000))

    monkeypatch.setattr(image_taking, 'ByteTake', Shifted)


def fail_in_rcl(monkeypatch):
    monkeypatch.setattr(byte_take, '_NOTHING_THERE', -1)


@pytest.mark.parametrize(
    ('break_it', 'why'),
    [
        (refuse_to_load, 'librcl.so: cannot open shared object file'),
        (read_wrongly, 'rclpy reads another width'),
        pytest.param(
            misplace_the_number,
            'publication_sequence_number was',
            marks=numbered,
        ),
        (fail_in_rcl, 'rcl gave no message, but the status 401'),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_where_bytes_are_not_as_expected_rclpy_takes_all_and_that_is_said(
    open_taking, lender, said, monkeypatch, break_it, why
):
    break_it(monkeypatch)
    taking = open_taking()
    for seed in (1, 2, 3, 4):
        arrival = taking.sent(64, 48, seed)
        assert_shows(arrival, 64, 48, seed)
        assert arrival.missed == Missed()
        assert taking.subscription.take() is None
    assert not lender.holds(arrival.frame.data)
    [text] = said
    assert text.startswith(f'{taking.topic}: images are taken by rclpy')
    assert why in text


EXAMPLE = {
    'source_timestamp': NOW_NS,
    'received_timestamp': NOW_NS,
    'publication_sequence_number': 4,
}


@pytest.mark.parametrize(
    ('info', 'example', 'words'),
    [
        (Info(NOW_NS, NOW_NS, 5), EXAMPLE, ''),
        (Info(NOW_NS, NOW_NS, 1), EXAMPLE, ''),  # a publisher that was started anew
        (Info(NOW_NS, NOW_NS, 2**47), {**EXAMPLE, 'publication_sequence_number': None}, ''),
        (Info(NOW_NS, NOW_NS, 2**47), {k: EXAMPLE[k] for k in [*EXAMPLE][:2]}, ''),
        (Info(NOW_NS, 0, 5), {**EXAMPLE, 'received_timestamp': 0}, ''),
        (Info(NOW_NS, 0, 5), EXAMPLE, 'received_timestamp was'),
        (Info(2**47, NOW_NS, 5), EXAMPLE, 'source_timestamp was'),
        (Info(NOW_NS, NOW_NS, 0), EXAMPLE, 'publication_sequence_number was'),
        (Info(NOW_NS, NOW_NS, 2**47), EXAMPLE, 'publication_sequence_number was'),
        (Info(NOW_NS, NOW_NS, NO_NUMBER), EXAMPLE, 'publication_sequence_number was'),
    ],
)
def test_times_and_numbers_are_told_from_what_stands_elsewhere(info, example, words):
    text = implausible(info, example)
    assert text.startswith(words)
    assert bool(text) == bool(words)
