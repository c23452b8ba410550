import pytest

from building_cases import ORIN, changed
from trt_perception.building.engine_identity import GpuIdentity, TensorRTIdentity
from trt_perception.building.timing_cache import keep_timing_cache, load_timing_cache


def test_there_is_none_at_first_and_none_is_kept(tmp_path):
    assert load_timing_cache(tmp_path / 'engines', ORIN) == b''
    keep_timing_cache(tmp_path / 'engines', ORIN, b'')
    assert not (tmp_path / 'engines').exists()


def test_serves_every_network_on_the_same_gpu_and_version(tmp_path):
    keep_timing_cache(tmp_path / 'engines', ORIN, b'times')
    assert load_timing_cache(tmp_path / 'engines', changed(ORIN, onnx='9' * 64)) == b'times'


@pytest.mark.parametrize(
    'fields',
    [
        {'tensorrt': TensorRTIdentity(flavour='tensorrt', version='10.3.0.31')},
        {'gpu': GpuIdentity(name='Orin', compute_capability='8.7', sm_count=16)},
    ],
)
def test_another_gpu_or_version_has_its_own(tmp_path, fields):
    keep_timing_cache(tmp_path, ORIN, b'times')
    assert load_timing_cache(tmp_path, changed(ORIN, **fields)) == b''


def test_a_damaged_one_is_not_used(tmp_path):
    keep_timing_cache(tmp_path, ORIN, b'times')
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b'X')
    assert load_timing_cache(tmp_path, ORIN) == b''


def test_where_it_cannot_be_kept_the_build_goes_on(tmp_path):
    (tmp_path / 'file').touch()
    keep_timing_cache(tmp_path / 'file', ORIN, b'times')
    tmp_path.chmod(0o777)
    keep_timing_cache(tmp_path, ORIN, b'times')
    assert [path.name for path in tmp_path.iterdir()] == ['file']
