"""`trt_perception benchmark`, on the CPU."""

import json

import pytest

from networks import (
    write_constant_network,
    write_detector,
    write_scaling_detr,
    yolov8_output,
)
from trt_perception.cli.main import main
from trt_perception.errors import InferenceError
from trt_perception.evaluation.frame_timing import Spread, in_turn
from trt_perception.gpu.trace import Span, chrome_trace
from trt_perception.runtime.layer_times import LayerTime, medians, node_events, onnxruntime_layers


@pytest.fixture
def model(tmp_path):
    return write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9]], ('car',))


def run(model, *words):
    base = ('benchmark', str(model), '--backend', 'onnxruntime-cpu', '--size', '160x96')
    return main([*base, '--count', '5', *words])


def test_prints_every_stage_and_the_network_alone(model, capsys):
    assert run(model) == 0
    printed = capsys.readouterr().out
    for word in ('frame to result', 'network alone', 'convert', 'preprocess', 'infer', 'decode'):
        assert word in printed
    assert 'throughput' not in printed


def test_writes_what_it_measured(model, tmp_path, capsys):
    path = tmp_path / 'figures.json'
    assert run(model, '--cameras', '3', '--throughput', '--layers', '--json', str(path)) == 0
    figures = json.loads(path.read_text())
    assert figures['timing']['batch'] == 3
    assert figures['timing']['whole']['count'] == 5
    assert figures['timing']['whole']['p50_ms'] > 0
    assert figures['frames_per_second'] > 0
    assert {layer['kind'] for layer in figures['layers']} >= {'ReduceMax', 'Add'}
    assert 'frames a second' in capsys.readouterr().out


def test_a_trace_needs_a_gpu(model, tmp_path, capsys):
    assert run(model, '--trace', str(tmp_path / 'trace.json')) == 2
    assert 'frames are on the CPU' in capsys.readouterr().err
    assert not (tmp_path / 'trace.json').exists()


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        (('--contexts', '--cameras', '2'), '--contexts needs a GPU, but the frames are on the CPU'),
        (('--contexts',), 'give --cameras N, too'),
        (('--concurrent', '--cameras', '2'), 'give --contexts, too'),
    ],
)
def test_contexts_are_for_several_cameras_on_a_gpu(model, capsys, words, text):
    assert run(model, *words) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--json', '--trace'])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    model, tmp_path, capsys, option
):
    assert run(model, option, str(tmp_path / 'gone' / 'file.json')) == 2
    output = capsys.readouterr()
    assert 'there is no folder' in output.err
    assert output.out == ''


def test_more_cameras_than_the_network_takes_are_refused(tmp_path, capsys):
    outputs = {'output0': yolov8_output([(32, 24, 16, 8)], [[0.9]])}
    write_constant_network(tmp_path / 'one.onnx', outputs, batch=1)
    yaml = tmp_path / 'one.yaml'
    yaml.write_text('onnx: one.onnx\nfamily: yolov8\ninput: {size: [64, 48]}\nclasses: [car]\n')
    assert run(yaml, '--cameras', '3') == 2
    assert 'one takes 1 image(s) at once on onnxruntime-cpu' in capsys.readouterr().err


def test_layers_of_a_network_with_a_second_input_are_timed(tmp_path, capsys):
    write_scaling_detr(tmp_path / 'detr.onnx', [0.1, 0.1, 0.5, 0.5])
    yaml = tmp_path / 'detr.yaml'
    sizes = 'input: {size: [64, 48], resize: stretch}'
    yaml.write_text(f'onnx: detr.onnx\nfamily: detr\n{sizes}\nclasses: [car]\n')
    assert run(yaml, '--cameras', '2', '--layers', '--threads', '1') == 0
    assert 'Conv' in capsys.readouterr().out


def test_layers_that_cannot_be_timed_are_told(model):
    with pytest.raises(InferenceError, match=r'layers cannot be timed.*missing from input'):
        onnxruntime_layers(model.with_suffix('.onnx'), {}, cuda=False, runs=1)


def test_an_unknown_model_is_refused(tmp_path, capsys):
    assert run(tmp_path / 'gone.yaml') == 2
    assert 'gone.yaml' in capsys.readouterr().err


def test_nothing_profiled_has_no_layers():
    assert medians([]) == []
    assert node_events([]) == []


def test_first_runs_of_a_layer_do_not_count():
    runs = [('a', 'Conv', 9.0), ('b', 'Relu', 9.0), ('a', 'Conv', 1.0), ('b', 'Relu', 2.0)]
    assert medians(runs, skipped=1) == [LayerTime('a', 'Conv', 1.0), LayerTime('b', 'Relu', 2.0)]
    assert medians(runs[:2], skipped=1)[0].ms == 9.0, 'a single run counts'


def test_spread_and_turns():
    assert Spread.of([1.0, 3.0, 2.0]).p50_ms == 2.0
    turns = in_turn(['a', 'b', 'c'], 2)
    assert [next(turns) for _ in range(3)] == [['a', 'b'], ['c', 'a'], ['b', 'c']]


def test_a_trace_without_spans_is_empty():
    assert chrome_trace([])['traceEvents'] == []


def test_a_trace_has_a_row_for_each_lane():
    spans = [Span('copy in', 'convert', 1, 0.5, 1.5), Span('compute', 'infer', 1, 1.5, 4.0)]
    names, events = [], []
    for event in chrome_trace(spans)['traceEvents']:
        (names if event['ph'] == 'M' else events).append(event)
    assert [name['args']['name'] for name in names] == ['copy in', 'compute']
    assert [(e['tid'], e['ts'], e['dur']) for e in events] == [
        (0, 500.0, 1000.0),
        (1, 1500.0, 2500.0),
    ]
