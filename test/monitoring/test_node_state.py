"""How a node says it is doing."""

from __future__ import annotations

import math

from trt_perception.monitoring.node_state import NodeState


def test_a_node_that_says_nothing_has_no_figures():
    state = NodeState('/a')
    assert math.isnan(state.drop_share)
    assert math.isnan(state.rate_hz)
    assert (state.camera, state.state, state.gpu) == ('', '', '')


def test_the_share_is_of_all_images_that_were_done_with():
    assert NodeState('/a', frames_out=3, frames_dropped=1).drop_share == 0.25
    assert NodeState('/a', frames_dropped=1).drop_share == 1.0
