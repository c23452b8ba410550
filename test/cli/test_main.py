import subprocess
import sys

import pytest

from trt_perception.cli.main import COMMANDS, build_parser, main

HEAVY = ('numpy', 'cv2', 'onnx', 'onnxruntime', 'yaml', 'PIL', 'rosbags', 'tqdm', 'rclpy')


def test_without_a_command_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert 'COMMAND' in capsys.readouterr().err


def test_every_command_is_described(capsys):
    text = build_parser().format_help()
    for name in COMMANDS:
        assert f'    {name} ' in text or f'    {name}\n' in text
        with pytest.raises(SystemExit) as end:
            main([name, '--help'])
        assert end.value.code == 0
        assert 'usage: trt_perception' in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    """So that it answers at once."""
    code = (
        'import sys\n'
        'from trt_perception.cli.main import build_parser\n'
        'build_parser().format_help()\n'
        f'print([name for name in {HEAVY!r} if name in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == '[]\n', done.stderr
