import dataclasses
import json
import sys

import pytest

from trt_perception.building.device_facts import (
    FAST_PRECISIONS,
    PRECISIONS,
    Jetson,
    backends,
    cuda_runtime_version,
    device_facts,
    jetson,
    memory,
)
from trt_perception.runtime.gpu_probes import Gpu


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """No GPU library, no backend, no program on the path."""
    for name in ('tensorrt', 'tensorrt_bindings', 'tensorrt_rtx', 'tensorrt_rtx_bindings'):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ('pynvml', 'onnxruntime', 'pycuda'):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv('PATH', str(tmp_path))


def test_an_empty_machine_is_described_with_what_each_backend_lacks(nothing_installed, tmp_path):
    facts = device_facts(tmp_path)
    assert (facts.memory_bytes, facts.memory_free_bytes, facts.jetson) == (0, 0, None)
    lacks = {backend.name: ' '.join(backend.lacks) for backend in facts.backends}
    assert list(lacks) == ['tensorrt', 'tensorrt-rtx', 'onnxruntime-cuda', 'onnxruntime-cpu']
    assert 'JetPack 6.1' in lacks['tensorrt']
    assert 'tensorrt-rtx-cu13-libs' in lacks['tensorrt-rtx']
    assert all('not installed' in text for text in lacks.values())
    json.dumps(dataclasses.asdict(facts))


def test_reads_a_jetson(tmp_path, nothing_installed):
    put(tmp_path, 'proc/device-tree/model', 'NVIDIA Jetson Orin Nano Developer Kit\0')
    put(
        tmp_path,
        'etc/nv_tegra_release',
        '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n',
    )
    put(tmp_path, 'proc/meminfo', 'MemTotal:  7802120 kB\nMemAvailable: 5000000 kB\n')
    put(tmp_path, 'usr/local/cuda/version.json', '{"cuda": {"version": "12.6.68"}}')
    assert jetson(tmp_path) == Jetson('NVIDIA Jetson Orin Nano Developer Kit', '36.4.3', '6.2')
    assert memory(tmp_path) == (7802120 << 10, 5000000 << 10)
    assert cuda_runtime_version(tmp_path) == '12.6.68'


@pytest.mark.parametrize(
    ('release', 'linux', 'jetpack'),
    [
        ('# R36 (release), REVISION: 4.0, GCID: 1', '36.4.0', '6.1'),
        ('# R38 (release), REVISION: 2.0, GCID: 1', '38.2.0', '7.0'),
        ('# R99 (release), REVISION: 1.0, GCID: 1', '99.1.0', ''),
        ('garbage', '', ''),
    ],
)
def test_jetpack_follows_from_jetson_linux_where_it_is_known(
    tmp_path, nothing_installed, release, linux, jetpack
):
    put(tmp_path, 'proc/device-tree/model', 'NVIDIA Jetson AGX Orin\0')
    put(tmp_path, 'etc/nv_tegra_release', release)
    assert jetson(tmp_path) == Jetson('NVIDIA Jetson AGX Orin', linux, jetpack)


@pytest.mark.parametrize('text', ['', '{}', '[]', 'no json', '{"cuda": 12}'])
def test_a_broken_version_file_of_cuda_is_survived(tmp_path, text):
    put(tmp_path, 'usr/local/cuda/version.json', text)
    assert cuda_runtime_version(tmp_path) in (None, cuda_runtime_version(tmp_path / 'empty'))


def obstacles(name, *capabilities):
    gpus = [Gpu('GPU', capability) for capability in capabilities]
    (backend,) = (backend for backend in backends(gpus) if backend.name == name)
    return ' '.join(backend.lacks)


def test_without_a_gpu_its_absence_is_named():
    assert 'no NVIDIA GPU' in obstacles('tensorrt')
    assert 'no NVIDIA GPU' in obstacles('tensorrt-rtx')
    assert 'GPU' not in obstacles('onnxruntime-cpu')


@pytest.mark.parametrize('capability', ['8.7', '9.0', '11.0'])
def test_rtx_serves_no_jetson_and_no_data_centre(capability):
    assert 'use TensorRT itself here' in obstacles('tensorrt-rtx', capability)
    assert 'compute capability' not in obstacles('tensorrt', capability)


def test_gpus_that_are_too_old_or_newer_than_the_table():
    assert 'this GPU is older' in obstacles('tensorrt', '6.1')
    assert 'compute capability' not in obstacles('tensorrt', '13.0')
    assert 'compute capability' not in obstacles('tensorrt', None)
    assert 'compute capability' not in obstacles('tensorrt', '6.1', '8.6')


def test_the_table_of_fast_precisions_knows_its_words():
    assert set().union(*FAST_PRECISIONS.values()) == set(PRECISIONS)
    for capability, fast in FAST_PRECISIONS.items():
        assert list(fast) == [name for name in PRECISIONS if name in fast], capability
    assert 'tf32' not in FAST_PRECISIONS['7.5']
    assert 'fp8' not in FAST_PRECISIONS['8.7']
    assert 'fp8' in FAST_PRECISIONS['8.9']


def test_this_very_machine_is_described():
    facts = device_facts()
    assert facts.processors >= 1
    assert facts.memory_bytes >= facts.memory_free_bytes > 0
    assert len(facts.fast_precisions) == len(facts.gpus)
