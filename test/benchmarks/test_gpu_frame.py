"""The benchmark of the GPU's pipeline: its steps on the stand-in, and the tables it makes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from networks import write_detector
from on_stand_in import CpuStages, network_on, stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.runtime.selection import BackendChoice

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture(scope='module')
def modules():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_frame_report
        import gpu_frame_steps

        yield gpu_frame_steps, gpu_frame_report
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def steps(modules, monkeypatch, tmp_path):
    """The steps with few small frames on the stand-in."""
    steps, _ = modules
    model = write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9, 0.1]], ('car', 'dog'))
    driver = StandInDriver()
    owners = []

    def acquire():
        if not owners:
            owners.append(stand_in_owner(driver))
            owners[0].users = 0
        owners[0].users += 1
        return owners[0]

    def release(owner):
        owner.users -= 1

    def opened(path, *, backend, gpu_use):
        spec = load_model_spec(model)
        network = network_on(driver, spec.onnx, acquire)
        choice = BackendChoice(backend, 'a test')
        return DevicePipeline(spec, network, choice, make_stages=CpuStages, overlap=gpu_use.overlap)

    monkeypatch.setattr('trt_perception.runtime.device_network.release_owner', release)
    monkeypatch.setattr(steps, 'acquire_owner', acquire)
    monkeypatch.setattr(steps, 'release_owner', release)
    monkeypatch.setattr(steps, 'open_pipeline', opened)
    monkeypatch.setattr(steps, 'SIZE', (96, 64))
    monkeypatch.setattr(steps, 'COUNT', 3)
    monkeypatch.setattr(steps, 'FRAMES', 40)
    frame = Frame.from_bgr(np.full((64, 96, 3), 90, np.uint8))
    monkeypatch.setattr(steps, 'frames_of', lambda count=6: [frame] * count)
    monkeypatch.setattr(steps, 'time_frames', lambda *a, batch=1, **k: time_few(a, batch))
    yield steps
    for owner in owners:
        owner.close()


def time_few(arguments, batch):
    from trt_perception.evaluation.frame_timing import time_frames

    return time_frames(*arguments, batch=batch, count=3, warm_up=1)


def test_latency_is_of_both_memories(steps, tmp_path):
    locked, ordinary = steps.frame_latency(['street_detect'], tmp_path)
    assert (locked['memory'], ordinary['memory']) == (steps.LOCKED, steps.ORDINARY)
    for row in (locked, ordinary):
        assert row['objects'] == 1
        assert row['frame']['p99_ms'] >= row['frame']['p50_ms'] > 0
        assert row['aim_ms'] == 0.4


def test_cameras_are_one_batch_or_a_context_each(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, 'frames_per_second', lambda *_, **__: 10.0)
    rows = list(steps.cameras(['street_detect'], tmp_path))
    assert [row['how'] for row in rows] == ['one batch'] * 2 + ['a context each'] * 2
    assert all(row['share_of_bare'] > 0 and row['device_bytes'] > 0 for row in rows)


def test_memory_of_each_further_camera(steps, tmp_path):
    rows = list(steps.camera_memory(['street_detect'], tmp_path))
    assert [row['how'] for row in rows] == ['one batch', 'a context each']
    for row in rows:
        assert list(row['device_bytes']) == [1, 4, 8]
        assert row['of each further camera'] > 0


def test_so_many_frames_of_random_sizes(steps, tmp_path):
    (row,) = steps.random_sizes(['street_detect'], tmp_path)
    assert row['frames'] == 40
    assert row['device_bytes_moved'] == 0
    (row,) = steps.random_sizes(['street_detect'], tmp_path, seconds=0)
    assert row['frames'] == 0, 'it ends when its time is over'


def spread(p50):
    return {'count': 9, 'p50_ms': p50, 'p99_ms': p50 * 1.6, 'max_ms': 2 * p50}


@pytest.fixture
def document(modules):
    steps, _ = modules
    latency = [
        {
            **{'network': name, 'memory': memory, 'objects': 10, 'frame': spread(over + 1.0)},
            **{'bare': spread(1.0), 'over_ms': over, 'aim_ms': 0.4, 'p99_over_median': 1.6},
            'stages': {'infer': 1.0},
        }
        for name in ('street_detect', 'm_instance_fp16', 'n_detect_fp32')
        for memory, over in ((steps.LOCKED, 0.3), (steps.ORDINARY, 0.5))
    ]
    cameras = [
        {
            **{'network': 'street_detect', 'how': 'one batch', 'memory': memory},
            **{'frames_per_second': 800.0, 'bare_frames_per_second': 1000.0},
            **{'share_of_bare': 0.8, 'latency': spread(4.0), 'device_bytes': 10**8},
        }
        for memory in (steps.LOCKED, steps.ORDINARY)
    ]
    peer = {'network': 'n_detect_fp32', 'version': '8', 'objects': 20, 'frame': spread(5.0)}
    used = {'1': 10**8, '8': 3 * 10**8}
    results = {
        'latency of shipped networks': latency,
        'cameras': cameras,
        'ultralytics': [peer],
        'memory of cameras': [
            {
                **{'network': 'street_detect', 'how': 'one batch', 'device_bytes': used},
                'of each further camera': 2.9e7,
            }
        ],
        'random sizes': [
            {
                **{'network': 'street_detect', 'frames': 100_000, 'seconds': 50.0},
                **{'device_bytes_moved': 0, 'host_bytes_moved': 500_000, 'frames_free_rss': []},
            }
        ],
        'torch': [{'network': 'n_detect_fp16', 'by': 'torch eager', 'bare': spread(3.0)}],
    }
    steps_done = {
        name: {'results': rows, 'ended': '', 'said': [], 'began': 'now', 'seconds': 1.0}
        for name, rows in results.items()
    }
    failed = {'results': [], 'ended': 'exit status 1', 'said': ['no /opt/made/up/file']}
    machine = {'python': '3.12', 'cores': 16, 'facts': {'gpus': []}, 'versions': {'numpy': '2'}}
    return {
        'format': 'trt_perception.gpu_frame',
        'command': 'python benchmarks/gpu_frame.py',
        'machine': machine,
        'steps': {**steps_done, 'onnxruntime used plainly': failed},
    }


def test_nothing_measured_is_nothing_told(modules):
    _, report = modules
    for _, make in report.BLOCKS.values():
        assert '|---' in ''.join(make({'steps': {}})) or make({'steps': {}}) == []


def test_the_file_has_every_step(modules, document):
    _, report = modules
    text = report.as_markdown(report.without_paths(document))
    for name in document['steps']:
        assert f'## {name}' in text
    assert 'Incomplete: exit status 1. no file' in text


def test_no_folder_of_the_machine_is_kept(modules):
    _, report = modules
    told = {'a': ['/srv/x/model.onnx: bad', 3], 'b': 'see https://a.org/b/c and 1/2'}
    assert report.without_paths(told) == {
        'a': ['model.onnx: bad', 3],
        'b': 'see https://a.org/b/c and 1/2',
    }


def test_aims_that_were_missed_stand_out(modules, document):
    _, report = modules
    lines = report.latency(document)
    assert '| street_detect, 10 objects | 1.00 | 0.4 | 1.30 | 0.30 | **1.60** |' in lines[2]
    assert '| 1.50 | **0.50** |' in lines[2]
    assert 'as YOLOv8m with masks, float16' in lines[3]
    assert '**80%**' in report.cameras(document)[2]
    assert '| 5.00 | 1.30 | **3.8** | 1.50 | **3.3** |' in report.peers(document)[2]
    assert '29 MB' in report.memory(document)[0]
    boxes, masks, *_, tail, faster, eight = report.aims(document)[2:]
    assert boxes == '| boxes at most 0.4 ms over the network | 0.30 | 0.50 |'
    assert masks.endswith('| 0.30 | 0.50 |')
    assert tail.endswith('| 1.60 | 1.60 |')
    assert faster.endswith('| 3.8 | 3.3 |')
    assert eight.endswith('| 80% | 80% |')


def test_the_documentation_has_a_place_for_each_table(modules, document, tmp_path):
    _, report = modules
    for file in ('docs/performance.md', 'README.md'):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text((BENCHMARKS.parent / file).read_text())
    report.rewrite_docs(document, tmp_path)
    once = (tmp_path / 'docs/performance.md').read_text()
    assert '100,000 frames of random sizes' in once
    report.rewrite_docs(json.loads(json.dumps(document)), tmp_path)
    assert (tmp_path / 'docs/performance.md').read_text() == once, 'no second table'
