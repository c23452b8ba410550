"""The peak of a process is its own."""

import pytest

from building_cases import finish, start_python

TELL = 'from trt_perception.building.peak_memory import peak_memory_bytes as peak\n'


def test_it_rises_and_is_never_forgotten():
    code = TELL + 'a = peak(); b = bytearray(200 << 20); b[::4096] = b[::4096]; c = peak()\n'
    code += 'del b; print(a, c, peak())'
    before, held, after = map(int, finish(start_python(code)).split())
    assert 0 < before < 150 << 20
    assert held >= before + (190 << 20)
    assert after == pytest.approx(held, rel=0.02)  # the kernel counts in batches


def test_it_is_not_that_of_the_parent():
    code = 'import subprocess, sys\nb = bytearray(400 << 20); b[::4096] = b[::4096]\n'
    code += f'inner = {TELL + "print(peak())"!r}\n'
    code += 'subprocess.run([sys.executable, "-c", inner], check=True)'
    assert int(finish(start_python(code))) < 200 << 20
