import argparse
import dataclasses
import json
import subprocess
import sys

from trt_perception.building.device_facts import Backend, Jetson, device_facts
from trt_perception.building.libraries import REQUIRED
from trt_perception.cli import doctor
from trt_perception.runtime.gpu_probes import Gpu


def test_prints_a_report(capsys):
    assert doctor.run(argparse.Namespace(json=False, transport=False)) == 0
    printed = capsys.readouterr().out
    for word in ('system', 'processor', 'CUDA', 'GPU', 'tensorrt', 'onnxruntime-cpu'):
        assert word in printed


def test_prints_json_for_programs(capsys):
    assert doctor.run(argparse.Namespace(json=True, transport=False)) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts['backends'][0]['name'] == 'tensorrt'
    assert facts['fast_precisions_source'].startswith('NVIDIA')


def test_a_jetson_and_an_unknown_gpu_are_told():
    facts = dataclasses.replace(
        device_facts(),
        jetson=Jetson('NVIDIA Jetson Orin Nano', '36.4.3', ''),
        gpus=(Gpu('Orin', '8.7', 8, 7 << 30, None, source='CUDA driver'), Gpu('Next', '99.0')),
        fast_precisions=(('fp32', 'fp16', 'int8'), None),
        backends=(Backend('tensorrt', '10.3.0', ()), Backend('x', '', ('no x: get x',))),
    )
    text = doctor.report(facts)
    assert 'NVIDIA Jetson Orin Nano, JetPack unknown (Jetson Linux 36.4.3)' in text
    assert 'compute capability 8.7, 8 SMs, 7.0 GiB memory, unknown free' in text
    assert 'fast hardware for fp32, fp16, int8; not for tf32, bf16, fp8' in text
    assert 'precisions with fast hardware: unknown for this GPU' in text
    assert 'tensorrt          ready      10.3.0' in text
    assert 'x                 not ready\n    no x: get x' in text


def test_works_where_nothing_can_be_imported():
    """In a fresh process without GPU libraries, onnx, onnxruntime and OpenCV."""
    absent = ('tensorrt', 'tensorrt_rtx', 'pynvml', 'pycuda', 'onnx', 'onnxruntime', 'cv2')
    code = (
        'import sys\n'
        f'for name in {absent!r}: sys.modules[name] = None\n'
        'from trt_perception.cli.main import main\n'
        'sys.exit(main(["doctor"]))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'onnxruntime is not installed' in done.stdout


ONLY_PYTHON = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        top = name.partition('.')[0]
        if top not in sys.stdlib_module_names and top != 'trt_perception':
            raise ModuleNotFoundError(f'No module named {top!r}', name=top)

sys.meta_path.insert(0, Refused())
from trt_perception.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""Runs the command line where Python's own library is all that is installed."""


def only_python(*arguments):
    command = [sys.executable, '-c', ONLY_PYTHON, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_says_what_to_install_where_only_python_is():
    done = only_python('doctor')
    assert (done.returncode, done.stderr) == (0, '')
    assert 'libraries   0 of 8' in done.stdout
    for requirement in REQUIRED.values():
        assert f'is not installed: python3 -m pip install "{requirement}"' in done.stdout
    assert 'onnxruntime-cpu' in done.stdout
    assert 'pynvml (monitoring)' in done.stdout


def test_says_so_to_programs_too():
    done = only_python('doctor', '--json')
    assert done.returncode == 0, done.stderr
    libraries = json.loads(done.stdout)['libraries']
    assert [entry['module'] for entry in libraries if entry['problem']] == [*REQUIRED]


def test_another_command_points_to_it():
    done = only_python('detect', 'synthetic', '--model', 'street_detect')
    assert done.returncode == 2
    assert done.stderr.startswith('trt_perception: No module named')
    assert '`trt_perception doctor` says what is missing' in done.stderr
    assert 'Traceback' not in done.stderr
