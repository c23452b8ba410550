import os
import time

import pytest

from building_cases import ORIN, changed
from trt_perception.building.engine_cache import BuiltEngine, EngineCache
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


def test_a_build_that_takes_it_counts_as_use(tmp_path):
    keep_timing_cache(tmp_path, ORIN, b'times')
    (file,) = tmp_path.iterdir()
    os.utime(file, (1, 1))
    load_timing_cache(tmp_path, ORIN)
    assert time.time() - file.stat().st_mtime < 60


@pytest.fixture
def cache(tmp_path):
    """An engine, used 100 s ago, and two timing caches, used 200 and 50 s ago."""
    cache = EngineCache(tmp_path)
    cache.keep(ORIN, BuiltEngine(bytes(4000)), label='street')
    newer = changed(ORIN, gpu=GpuIdentity(name='Orin', compute_capability='8.7', sm_count=16))
    for identity, age in ((ORIN, 200), (newer, 50)):
        before = {file.path for file in cache.timings()}
        keep_timing_cache(tmp_path, identity, bytes(1000))
        (path,) = {file.path for file in cache.timings()} - before
        os.utime(path, (time.time() - age,) * 2)
    (engine,) = cache.entries()
    os.utime(engine.path, (time.time() - 100,) * 2)
    return cache


def test_they_are_listed_beside_the_engines(cache):
    assert [file.path.suffix for file in cache.timings()] == ['.timing', '.timing']
    assert len(cache.entries()) == 1
    assert cache.prune() == []


def test_they_count_for_the_limit_and_go_with_the_longest_unused(cache):
    newest, oldest = cache.timings()
    (engine,) = cache.entries()
    everything = newest.size_bytes + engine.size_bytes + oldest.size_bytes
    assert cache.prune(max_bytes=everything) == []
    assert [file.path for file in cache.prune(max_bytes=everything - 1)] == [oldest.path]
    assert [file.path for file in cache.prune(max_bytes=newest.size_bytes)] == [engine.path]
    assert [file.path for file in cache.prune(max_bytes=0)] == [newest.path]
    assert not [path for path in cache.folder.iterdir() if path.suffix in ('.engine', '.timing')]


def test_they_go_with_age(cache):
    newest, oldest = cache.timings()
    assert [file.path for file in cache.prune(max_age_s=150, dry_run=True)] == [oldest.path]
    assert oldest.path.exists()
    assert [file.path for file in cache.prune(max_age_s=150)] == [oldest.path]
    assert cache.timings() == [newest]


def test_a_damaged_one_goes_and_what_only_looks_like_one_stays(cache):
    newest, _ = cache.timings()
    newest.path.write_bytes(b'rubbish')
    other = cache.folder / 'mine.timing'
    other.touch()
    assert [file.path for file in cache.prune()] == [newest.path]
    assert other.exists()
