import fcntl
import signal
import time

import pytest

from building_cases import finish, start_python, write_model
from family_networks import FAMILIES, Net
from trt_perception.building import engine_opening
from trt_perception.building.cpu_execution import for_onnxruntime
from trt_perception.building.engine_cache import OVERRIDE, EngineCache
from trt_perception.building.precision import prepare_graph
from trt_perception.cli import build
from trt_perception.cli.main import main
from trt_perception.errors import BackendUnavailableError
from trt_perception.runtime import obstacles
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.tensorrt_flavour import find_flavour


@pytest.fixture
def engines(tmp_path, monkeypatch):
    folder = tmp_path / 'engines'
    monkeypatch.setenv(OVERRIDE, str(folder))
    return folder


@pytest.fixture
def model(tmp_path):
    yaml = 'family: yolov8\nclasses: [a, b, c, d, e, f]\n'
    return str(write_model(tmp_path / 'model', FAMILIES['yolov8'](batch='batch'), yaml))


@pytest.fixture
def rtx():
    try:
        find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        (['--batch', '4:1'], 'MIN:OPT:MAX'),
        (['--size', '64x64:128x96'], 'WxH:WxH:WxH'),
        (['--workspace', 'much'], 'not a size'),
        (['--level', 'high'], 'invalid int'),
    ],
)
def test_what_cannot_be_read_is_refused(model, engines, capsys, arguments, match):
    with pytest.raises(SystemExit):
        main(['build', model, *arguments])
    assert match in capsys.readouterr().err


def test_an_unknown_model_is_named(engines, tmp_path, capsys):
    assert main(['build', str(tmp_path / 'gone.yaml')]) == 2
    assert 'gone.yaml: no such model file' in capsys.readouterr().err


def test_builds_then_finds_what_was_built(rtx, model, engines, capsys):
    arguments = ['build', model, '--precision', 'fp32', '--compute-capability', '8.6', '--quiet']
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert 'net fp32: built in' in first
    assert 'no engine of net was built here before' in first
    assert 'for compute capability 8.6' in first
    assert main(arguments) == 0
    assert 'net fp32: was built before' in capsys.readouterr().out
    assert main([*arguments, '--batch', '1:4:8']) == 0
    assert 'changed since the last engine of net: optimisation profile' in capsys.readouterr().out
    assert len(EngineCache(engines).entries()) == 2


@pytest.fixture
def executing(monkeypatch, tmp_path):
    """A device that executes: by onnxruntime, from the network that the engines are built from."""
    batches = []

    class Counted(OnnxRuntime):
        def infer(self, inputs):
            batches.append(len(next(iter(inputs.values()))))
            return super().infer(inputs)

    def execute(plan, precision):
        graph = prepare_graph(tmp_path / 'model' / 'net.onnx', precision).model
        (tmp_path / 'executed.onnx').write_bytes(for_onnxruntime(graph))
        return Counted(tmp_path / 'executed.onnx')

    device = engine_opening.EngineDevice(find_flavour('tensorrt-rtx'), None, execute)
    monkeypatch.setattr(engine_opening, 'this_device', lambda flavour: device)
    monkeypatch.setattr(obstacles, 'obstacles', lambda backend: ())
    monkeypatch.setattr(build, 'building_capability', lambda: '8.6')
    return batches


def test_what_was_built_without_figures_is_gated_where_it_can_run(
    rtx, model, engines, capsys, request
):
    arguments = ['build', model, '--precision', 'fp32', '--compute-capability', '8.6', '--quiet']
    assert main(arguments) == 0
    assert 'not compared with float32 yet: it is for another GPU' in capsys.readouterr().out
    batches = request.getfixturevalue('executing')
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert 'was built before' in output
    assert 'agrees  100.0% of objects agree' in output
    [kept] = EngineCache(engines).entries()
    assert kept.facts['gate']['images'] > 0
    seen = len(batches)
    assert main(arguments) == 0
    assert 'agrees  100.0% of objects agree' in capsys.readouterr().out
    assert len(batches) == seen > 0, 'an engine is gated once'


def test_an_engine_below_the_limits_fails_the_build_and_is_not_built_again(
    rtx, model, engines, capsys, executing
):
    with open(model, 'a') as file:
        file.write('quantisation: {gate: {relative_error: 0.0000001}}\n')
    arguments = ['build', model, '-p', 'fp16', '--compute-capability', '8.6', '--quiet']
    for how in ('built in', 'was built before'):
        assert main(arguments) == 2
        output, error = capsys.readouterr()
        assert how in output
        assert 'the fp16 engine of net is not accurate enough: output output0 differs by' in error


def test_an_engine_for_whole_batches_is_gated_with_them(rtx, model, engines, capsys, executing):
    arguments = ['build', model, '--precision', 'fp32', '--compute-capability', '8.6', '--quiet']
    assert main([*arguments, '--batch', '2:2:4']) == 0
    assert '% of objects agree' in capsys.readouterr().out
    assert set(executing) == {2}


def test_sizes_are_built_or_refused_in_words(rtx, tmp_path, engines, capsys):
    yaml = 'family: yolov8\nclasses: [a, b]\ninput: {size: [128, 96]}\n'
    network = FAMILIES['yolov8'](batch='batch', open_size=True)
    model = str(write_model(tmp_path / 'open', network, yaml))
    arguments = ['build', model, '-p', 'fp32', '--compute-capability', '8.6', '--quiet', '--size']
    assert main([*arguments, '64x64:128x96:256x192']) == 0
    assert 'takes   images 1x3x64x64:1x3x96x128:1x3x192x256' in capsys.readouterr().out
    [kept] = EngineCache(engines).entries()
    assert str(kept.identity.profiles[0]['images']) == '1x3x64x64:1x3x96x128:1x3x192x256'
    for size, match in (
        ('64x64:128x96:256x200', 'multiples of 32'),
        ('64x64', 'leaves out 128x96'),
    ):
        assert main([*arguments, size]) == 2
        assert match in capsys.readouterr().err
    assert len(EngineCache(engines).entries()) == 1


def test_what_is_wrong_is_said_with_the_remedy(rtx, model, engines, capsys):
    for arguments, match in (
        (['--flavour', 'tensorrt-rtx'], '--compute-capability'),
        (['--compute-capability', '8.7'], 'need TensorRT itself'),
        (['--compute-capability', '8.6', '--level', '9'], 'builder level 9'),
        (['--compute-capability', '8.6', '--precision', 'fp12'], 'fp12'),
        (['--compute-capability', '8.6', '--precision', 'int8'], 'trt_perception calibrate'),
        (['--compute-capability', '8.6', '--flavour', 'onnx'], 'tensorrt-rtx'),
    ):
        assert main(['build', model, '--quiet', *arguments]) == 2
        assert match in capsys.readouterr().err
    assert EngineCache(engines).entries() == []


def deep_network():
    net = Net(size=(64, 64))
    x = 'images'
    for number in range(300):
        x = net.conv(x, 16 + number % 7 * 4)
    return net.model({net.conv(x, 6, 1, act='none'): (6, 64, 64)})


COMMAND = 'import sys; from trt_perception.cli.main import main; sys.exit(main(sys.argv[1:]))'


def test_ctrl_c_stops_a_build_and_leaves_nothing(rtx, tmp_path, engines):
    yaml = 'family: semantic\nclasses: [a, b, c, d, e, f]\n'
    model = write_model(tmp_path / 'model', deep_network(), yaml)
    arguments = ('build', model, '-p', 'fp32', '--compute-capability', '8.6')
    process = start_python(COMMAND, *arguments)
    wait_for_builder(engines / '.building.lock', process)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, ''), error
    assert 'Traceback' not in error
    assert [path.name for path in engines.iterdir()] == ['.building.lock']
    assert 'built in' in finish(start_python(COMMAND, *arguments))


def wait_for_builder(lock, process):
    """Return once another process holds the lock."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if lock.exists():
            with lock.open('r+') as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
        time.sleep(0.001)
    raise AssertionError('nobody builds')
