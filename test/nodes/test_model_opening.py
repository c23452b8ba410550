"""What a node asks for when it opens its model."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from types import SimpleNamespace

from trt_perception.building.variants import VariantName
from trt_perception.nodes import model_opening
from trt_perception.nodes.model_opening import ModelOpening
from trt_perception.nodes.tracked_parameters import DetectParameters


@pytest.mark.parametrize(
    ('cameras', 'max_batch', 'at_once'),
    [((), 0, 1), ((), 4, 1), (('a', 'b', 'c'), 0, 3), (('a', 'b', 'c'), 2, 2), (('a',), 8, 1)],
)
def test_as_many_images_at_once_as_there_are_cameras_in_batches_or_contexts(
    monkeypatch, cameras, max_batch, at_once
):
    asked = []

    def opened(model, **arguments):
        asked.append(arguments)
        return SimpleNamespace(runtime=SimpleNamespace(backend='tensorrt'))

    monkeypatch.setattr(model_opening, 'open_built_pipeline', opened)
    parameters = DetectParameters(cameras=cameras, max_batch=max_batch, cpu_fallback=True)
    node = SimpleNamespace(parameters=parameters, stopping=SimpleNamespace(is_set=bool))
    ModelOpening(node, lambda: None).open_one(VariantName('street_detect', 'fp32'))
    [arguments] = asked
    assert arguments['max_batch'] == at_once
    use = arguments['gpu_use']
    assert (use.cameras, use.context_each, use.cpu_fallback) == (at_once, False, True)
