"""What is asked for, what can be had, and which of it is said. With a node: test_multi_camera.py"""

from __future__ import annotations

import pytest

from trt_perception.nodes.batch_size import NetworkBound, batch_size

OPEN = NetworkBound('street', 'tensorrt', None)
OPEN_ON_CPU = NetworkBound('street', 'onnxruntime-cpu', None)
ONE = NetworkBound('street', 'tensorrt', 1)
TWO = NetworkBound('street', 'tensorrt', 2)


@pytest.mark.parametrize(
    ('asked', 'cameras', 'network', 'deadline_ms', 'size'),
    [
        (0, 1, OPEN, 0.0, 1),
        (0, 4, OPEN, 5.0, 4),
        (0, 4, OPEN_ON_CPU, 0.0, 1),
        (0, 4, TWO, 5.0, 2),
        (3, 4, OPEN_ON_CPU, 5.0, 3),
        (1, 4, OPEN, 0.0, 1),
    ],
)
def test_what_can_be_had_is_not_spoken_of(asked, cameras, network, deadline_ms, size):
    assert batch_size(asked, cameras, network, deadline_ms) == (size, [])


@pytest.mark.parametrize(
    ('asked', 'cameras', 'network', 'deadline_ms', 'size', 'words'),
    [
        (8, 1, OPEN, 0.0, 1, 'max_batch is 8, but a batch holds one image of each camera'),
        (8, 4, OPEN, 0.0, 4, 'batches hold 4. Name more cameras by `cameras`'),
        (3, 4, TWO, 0.0, 2, 'street takes 2 images at once on tensorrt: batches hold 2'),
        (0, 1, OPEN, 5.0, 1, 'no effect, since the only camera waits for no other'),
        (0, 4, ONE, 5.0, 1, 'no effect, since the network takes one image at once'),
        (0, 4, OPEN_ON_CPU, 5.0, 1, 'max_batch is 0, which is 1 on a CPU: set max_batch to 2'),
        (1, 4, OPEN, 5.0, 1, 'no effect, since max_batch is 1: set max_batch to 2 or more'),
    ],
)
def test_what_cannot_be_had_is_said_with_its_cause(
    asked, cameras, network, deadline_ms, size, words
):
    found, [text] = batch_size(asked, cameras, network, deadline_ms)
    assert found == size
    assert words in text


def test_a_batch_and_a_deadline_for_one_camera_are_both_told():
    size, [batch, deadline] = batch_size(8, 1, OPEN, 5.0)
    assert size == 1
    assert 'max_batch is 8' in batch
    assert 'batch_deadline_ms has no effect, since the only camera' in deadline
    assert 'set max_batch' not in deadline
