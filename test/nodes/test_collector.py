"""What Python's collector looks at in a node that serves frames, and what it finds at its end."""

from __future__ import annotations

import gc
import weakref

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from trt_perception.nodes.collector import collect_all, collect_new, spare
from trt_perception.nodes.common_parameters import NodeParameters
from trt_perception.nodes.lifecycle import PerceptionNode


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_spared():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_a_ring_among_what_is_spared_is_freed_by_collect_all_alone():
    ring = Ring()
    gone = weakref.ref(ring)
    spare()
    del ring
    collect_new()
    assert gone() is not None
    collect_all()
    assert gone() is None


@pytest.mark.parametrize('collect', [collect_new, collect_all])
def test_rubbish_is_freed_and_what_is_left_is_spared(collect):
    kept, ring = Ring(), Ring()
    gone = weakref.ref(ring)
    del ring
    collect()
    assert gone() is None
    assert not any(one is kept for one in gc.get_objects())


class Keeper(PerceptionNode):
    """Has a ring while it is configured, and another one while it is active."""

    def __init__(self, **arguments):
        self.rings = {}
        super().__init__('keeper', NodeParameters, **arguments)

    def configure(self):
        self.rings['model'] = Ring()

    def activate(self):
        self.rings['worker'] = Ring()

    def deactivate(self):
        self.rings.pop('worker', None)

    def cleanup(self):
        self.rings.clear()


def test_a_node_spares_what_it_configured_until_that_is_cleaned_up(graph):
    node = Keeper(context=graph.context)
    for timer in node.timers:
        timer.cancel()
    imported = Ring()
    try:
        for _ in range(2):
            node.trigger_configure()
            node.trigger_activate()
            looked_at = gc.get_objects()
            assert not any(one is imported or one is node.rings['model'] for one in looked_at)
            assert any(one is node.rings['worker'] for one in looked_at)
            model, worker = map(weakref.ref, (node.rings['model'], node.rings['worker']))
            del looked_at
            node.trigger_deactivate()
            gc.collect()
            assert worker() is None
            assert model() is not None
            node.trigger_cleanup()
            assert model() is None
            assert not any(one is imported for one in gc.get_objects())
    finally:
        node.close()
