import hashlib
import logging
import os
import stat
from pathlib import Path

import pytest

from trt_perception.errors import KernelError, MissingDependencyError, ParameterError
from trt_perception.kernels import compiling
from trt_perception.kernels.compilers import Nvcc, Nvrtc, Source, find_compiler, find_nvcc
from trt_perception.kernels.compiling import (
    FOLDER,
    OPTIONS,
    SOURCES,
    compile_source,
    compiled,
    default_folder,
    source_of,
)

CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (11, 0), (12, 0)]
BROKEN = Source('broken.cu', 'extern "C" __global__ void f() { nonsense; }', {})


class Counting:
    """Stands for a compiler: its cubin is a digest of what it was given."""

    def __init__(self, version='one 1.0'):
        self.version = version
        self.calls = 0

    def compile(self, source, architecture, options):
        self.calls += 1
        text = f'{source.text}{architecture}{options}{self.version}'
        return hashlib.sha256(text.encode()).digest() * 100


@pytest.fixture
def compiler(monkeypatch):
    stand_in = Counting()
    monkeypatch.setattr(compiling, 'find_compiler', lambda: stand_in)
    return stand_in


def nvrtc():
    try:
        return Nvrtc()
    except MissingDependencyError as error:
        pytest.skip(str(error))


def nvcc():
    path = find_nvcc()
    if not path:
        pytest.skip('there is no nvcc')
    return Nvcc(path)


def no_compiler():
    raise MissingDependencyError('there is none')


def test_the_sources_are_all_there():
    assert {path.stem for path in FOLDER.glob('*.cu')} == set(SOURCES)


def test_arithmetic_is_never_fused():
    assert '--fmad=false' in OPTIONS
    assert not any('fast' in option for option in OPTIONS)


def test_what_was_compiled_is_kept(tmp_path, compiler):
    first = compiled('letterbox', (8, 7), tmp_path / 'kept')
    assert compiled('letterbox', (8, 7), tmp_path / 'kept') == first
    assert compiler.calls == 1
    (file,) = (tmp_path / 'kept').iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_gpu_source_or_compiler_has_a_file_of_its_own(tmp_path, compiler, monkeypatch):
    compiled('letterbox', (8, 7), tmp_path)
    compiled('letterbox', (9, 0), tmp_path)
    compiled('class_map', (8, 7), tmp_path)
    compiler.version = 'two 2.0'
    compiled('letterbox', (8, 7), tmp_path)
    monkeypatch.setattr(compiling, 'OPTIONS', (*OPTIONS, '-G'))
    compiled('letterbox', (8, 7), tmp_path)
    assert compiler.calls == len(list(tmp_path.iterdir())) == 5


def test_a_changed_header_is_noticed(tmp_path, compiler, monkeypatch):
    sources = tmp_path / 'sources'
    sources.mkdir()
    (sources / 'a.cu').write_text('#include "b.cuh"')
    (sources / 'b.cuh').write_text('1')
    monkeypatch.setattr(compiling, 'FOLDER', sources)
    compiled('a', (8, 7), tmp_path / 'kept')
    (sources / 'b.cuh').write_text('2')
    compiled('a', (8, 7), tmp_path / 'kept')
    assert compiler.calls == 2


@pytest.mark.parametrize('damage', [lambda d: d[:-1], lambda d: d + b'x', lambda d: b'', 'flip'])
def test_a_damaged_file_is_compiled_again(tmp_path, compiler, damage):
    good = compiled('letterbox', (8, 7), tmp_path)
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    if damage == 'flip':
        file.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    else:
        file.write_bytes(damage(data))
    assert compiled('letterbox', (8, 7), tmp_path) == good
    assert compiler.calls == 2
    assert file.read_bytes() == data


def test_a_file_under_the_name_of_another_is_not_used(tmp_path, compiler):
    compiled('letterbox', (8, 7), tmp_path)
    (ours,) = tmp_path.iterdir()
    other = compiled('class_map', (8, 7), tmp_path)
    (theirs,) = set(tmp_path.iterdir()) - {ours}
    ours.replace(theirs)
    assert compiled('class_map', (8, 7), tmp_path) == other
    assert compiler.calls == 3


def test_a_folder_that_others_can_write_is_not_trusted(tmp_path, compiler, caplog):
    tmp_path.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        compiled('letterbox', (8, 7), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert 'cannot be kept' in caplog.text


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path, compiler, caplog):
    (tmp_path / 'file').write_text('')
    with caplog.at_level(logging.WARNING):
        assert compiled('letterbox', (8, 7), tmp_path / 'file' / 'kept')
    assert 'cannot be kept' in caplog.text


def test_without_a_compiler_what_was_kept_serves(tmp_path, compiler, monkeypatch):
    good = compiled('letterbox', (8, 7), tmp_path)
    monkeypatch.setattr(compiling, 'find_compiler', no_compiler)
    assert compiled('letterbox', (8, 7), tmp_path) == good
    with pytest.raises(MissingDependencyError):
        compiled('letterbox', (8, 6), tmp_path)


def test_without_any_compiler_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr('trt_perception.kernels.compilers.find_nvcc', lambda: '')
    monkeypatch.setitem(__import__('sys').modules, 'cuda.bindings', None)
    with pytest.raises(MissingDependencyError, match=r'trt_perception\[nvrtc\]'):
        find_compiler()


def test_the_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv('TRT_PERCEPTION_KERNELS', str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv('TRT_PERCEPTION_KERNELS')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_folder() == tmp_path / 'trt_perception' / 'kernels'
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert default_folder() == tmp_path / '.cache' / 'trt_perception' / 'kernels'


def test_without_a_home_the_error_names_the_variable(monkeypatch):
    def homeless():
        raise RuntimeError('no home')

    monkeypatch.delenv('TRT_PERCEPTION_KERNELS', raising=False)
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr(Path, 'home', homeless)
    with pytest.raises(ParameterError, match='TRT_PERCEPTION_KERNELS'):
        default_folder()


@pytest.mark.parametrize('script', ['exit 1', 'echo release 1; exit 0'])
def test_an_nvcc_that_fails_says_so(tmp_path, script):
    path = tmp_path / 'nvcc'
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] || {{ echo boom >&2; exit 3; }}\n{script}\n')
    path.chmod(0o755)
    with pytest.raises(KernelError, match=r'boom|--version fails'):
        Nvcc(str(path)).compile(BROKEN, 'sm_90', OPTIONS)


def test_nvcc_is_looked_for_in_its_usual_places(tmp_path, monkeypatch):
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'nvcc').write_text('#!/bin/sh\n')
    (folder / 'nvcc').chmod(0o755)
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    assert find_nvcc() == str(folder / 'nvcc')
    monkeypatch.delenv('CUDA_HOME')
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    assert find_nvcc() == str(folder / 'nvcc')


@pytest.mark.parametrize('find', [nvcc, nvrtc])
def test_the_compilers_text_is_shown(find):
    with pytest.raises(KernelError, match=r'(?s)sm_90.*broken\.cu\(1\).*nonsense'):
        compile_source(find(), BROKEN, (9, 0))


def test_a_gpu_that_the_compiler_does_not_know_is_an_error_that_helps():
    with pytest.raises(KernelError, match='newer CUDA toolkit'):
        compile_source(nvrtc(), source_of('letterbox'), (99, 0))


@pytest.mark.parametrize('name', SOURCES)
def test_nvcc_compiles_every_source(name):
    assert compile_source(nvcc(), source_of(name), (8, 7)).startswith(b'\x7fELF')


@pytest.mark.parametrize('capability', CAPABILITIES, ids=str)
@pytest.mark.parametrize('name', SOURCES)
def test_nvrtc_compiles_every_source_for_every_gpu(name, capability):
    assert compile_source(nvrtc(), source_of(name), capability).startswith(b'\x7fELF')
