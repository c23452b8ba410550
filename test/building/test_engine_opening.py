"""How an engine is loaded for as many cameras as there are."""

from types import SimpleNamespace

import pytest

from trt_perception.building import engine_opening
from trt_perception.building.engine_opening import this_device
from trt_perception.pipeline.perception import GpuUse


@pytest.mark.parametrize(
    'use', [GpuUse(), GpuUse(cameras=4), GpuUse(cameras=4, context_each=True, concurrent=True)]
)
def test_an_engine_is_told_for_how_many_cameras_it_is(monkeypatch, use):
    asked = []

    def shared_engine(plan, flavour, precision, **options):
        asked.append((plan, precision, options))
        return SimpleNamespace(open='open', stream='stream')

    monkeypatch.setattr(engine_opening, 'find_flavour', lambda backend: backend)
    monkeypatch.setattr(engine_opening, 'building_gpu', lambda: None)
    monkeypatch.setattr(engine_opening, 'shared_engine', shared_engine)
    monkeypatch.setattr(
        engine_opening, 'DeviceNetwork', lambda opened, stream_of: (opened, stream_of)
    )
    assert this_device('tensorrt', use).execute(b'plan', 'fp16') == ('open', 'stream')
    told = {
        'cameras': use.cameras,
        'context_each': use.context_each,
        'concurrent': use.concurrent,
    }
    assert asked == [(b'plan', 'fp16', told)]
