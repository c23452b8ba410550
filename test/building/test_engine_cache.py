import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from building_cases import ORIN, ROOT, changed, finish, start_python
from trt_perception.building.engine_cache import (
    OVERRIDE,
    BuiltEngine,
    EngineCache,
    default_folder,
)
from trt_perception.building.engine_identity import GpuIdentity, TensorRTIdentity
from trt_perception.errors import BuildCancelledError, EngineBuildError, ParameterError

PLAN = bytes(range(256)) * 20


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / 'engines')


class Builder:
    """Builds the same plan again and again, and counts."""

    def __init__(self, plan=PLAN):
        self.plan, self.calls = plan, 0

    def __call__(self):
        self.calls += 1
        return BuiltEngine(self.plan, {'build_s': 1.5, 'gate': {'output0': 0.001}})


def obtain(cache, identity=ORIN, build=None):
    return cache.obtain(identity, build or Builder(), label='street')


def engine_files(cache):
    return sorted(path.name for path in cache.folder.glob('*.engine'))


def test_without_a_folder_there_is_nothing_and_it_is_not_made(cache):
    assert cache.entries() == []
    assert cache.prune(max_bytes=0) == []
    assert cache.find(ORIN, 'street') == 'no engine of street was built here before'
    assert not cache.folder.exists()


def test_builds_once_then_finds_what_was_built(cache):
    build = Builder()
    first, second = obtain(cache, build=build), obtain(cache, build=build)
    assert build.calls == 1
    assert (first.origin, second.origin) == ('built', 'cache')
    assert first.plan == second.plan == PLAN
    assert first.facts == second.facts == {'build_s': 1.5, 'gate': {'output0': 0.001}}
    assert first.path == second.path == cache.folder / f'{ORIN.key}.engine'
    assert first.reason == 'no engine of street was built here before'
    assert first.warnings == second.warnings == ()


def test_folder_and_files_are_private(cache):
    obtain(cache)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in cache.folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'onnx': 'd' * 64}, 'content of the ONNX file aaaaaaaaaaaa, now dddddddddddd'),
        (
            {'tensorrt': TensorRTIdentity(flavour='tensorrt', version='10.13.3.9')},
            'TensorRT version 10.3.0.30, now 10.13.3.9',
        ),
        (
            {'gpu': GpuIdentity(name='NVIDIA Thor', compute_capability='11.0')},
            'GPU Orin, now NVIDIA Thor; compute capability 8.7, now 11.0; '
            'number of SMs 8, now none; and 1 more',
        ),
    ],
    ids=['other weights', 'another TensorRT', 'another GPU'],
)
def test_a_miss_says_in_one_line_what_changed(cache, fields, words):
    obtain(cache)
    build = Builder(b'another plan')
    engine = obtain(cache, changed(ORIN, **fields), build)
    assert (engine.origin, engine.plan, build.calls) == ('built', b'another plan', 1)
    assert engine.reason == f'changed since the last engine of street: {words}'
    assert obtain(cache).plan == PLAN


def test_a_miss_is_compared_with_the_most_similar_engine_of_the_same_model(cache):
    far = changed(ORIN, onnx='1' * 64, precision='fp16', workspace_bytes=7)
    for identity in (far, ORIN):
        obtain(cache, identity)
    cache.obtain(changed(ORIN, optimization_level=4), Builder(), label='another model')
    reason = cache.find(changed(ORIN, optimization_level=5), 'street')
    assert reason == 'changed since the last engine of street: builder level 3, now 5'


def test_what_a_build_raises_is_passed_on_and_the_lock_is_free_again(cache):
    def fail():
        raise EngineBuildError('out of memory')

    with pytest.raises(EngineBuildError, match='out of memory'):
        obtain(cache, build=fail)
    assert obtain(cache).origin == 'built'


def damage(cache, change):
    path = cache.folder / f'{ORIN.key}.engine'
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


def regions(content):
    """One length inside each part of the file, and at each border."""
    header_end = 12 + int.from_bytes(content[8:12], 'little')
    plan = header_end + 32
    return [0, 4, 8, 10, 12, 200, header_end, header_end + 16, plan, plan + 1, len(content) - 1]


@pytest.mark.parametrize('region', range(11))
def test_a_truncated_engine_is_built_again(cache, region):
    obtain(cache)
    damage(cache, lambda content: content[: regions(content)[region]])
    engine = obtain(cache)
    assert engine.origin == 'built'
    assert 'the kept engine is refused' in engine.reason
    assert obtain(cache).origin == 'cache'


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_never_served(cache, position, bit):
    if not engine_files(cache):
        obtain(cache)

    def flip(content):
        content[int(position * len(content))] ^= 1 << bit
        return content

    damage(cache, flip)
    assert isinstance(cache.find(ORIN, 'street'), str)
    damage(cache, flip)
    assert cache.find(ORIN, 'street').plan == PLAN


def test_an_engine_under_another_name_is_refused(cache):
    other = changed(ORIN, onnx='d' * 64)
    path = obtain(cache).path
    shutil.copy(path, cache.folder / f'{other.key}.engine')
    engine = obtain(cache, other, Builder(b'right'))
    assert engine.plan == b'right'
    assert 'holds another engine than its name says' in engine.reason


@pytest.mark.parametrize('content', [b'', b'ftrt raw TensorRT plan' * 99, b'\0' * 5000])
def test_a_file_from_elsewhere_is_refused_and_replaced(cache, content):
    obtain(cache)
    damage(cache, lambda _: content)
    assert cache.entries()[0].damaged
    assert 'the kept engine is refused' in obtain(cache).reason
    assert obtain(cache).origin == 'cache'


def test_a_file_that_others_can_write_is_not_trusted(cache):
    obtain(cache).path.chmod(0o666)
    engine = obtain(cache)
    assert engine.origin == 'built'
    assert 'can be written by other users' in engine.reason
    assert obtain(cache).origin == 'cache'


@pytest.mark.parametrize('mode', [0o777, 0o775])
def test_a_folder_that_others_can_write_is_not_used_but_the_engine_is(cache, mode):
    obtain(cache)
    before = engine_files(cache)
    cache.folder.chmod(mode)
    engine = obtain(cache)
    assert (engine.origin, engine.plan, engine.path) == ('built', PLAN, None)
    assert 'chmod 700' in engine.warnings[0]
    assert 'not kept' in engine.warnings[0]
    assert engine_files(cache) == before


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder away')
def test_a_folder_of_somebody_else_is_not_used_but_the_engine_is(cache):
    obtain(cache)
    os.chown(cache.folder, 12345, -1)
    engine = obtain(cache)
    assert (engine.origin, engine.path) == ('built', None)
    assert 'belongs to user 12345' in engine.reason


@contextlib.contextmanager
def without_root():
    """Become an ordinary user for a while, whom read-only folders stop."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


def test_a_read_only_folder_serves_and_does_not_stop_a_build(monkeypatch):
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        folder.chmod(0o755)
        cache = EngineCache(folder / 'engines')
        path = obtain(cache).path
        path.chmod(0o444)
        cache.folder.chmod(0o555)
        with without_root():
            assert obtain(cache).origin == 'cache'
            engine = obtain(cache, changed(ORIN, precision='fp16'))
        assert (engine.origin, engine.plan, engine.path) == ('built', PLAN, None)
        assert 'Permission denied' in engine.warnings[0]
        assert OVERRIDE in engine.warnings[0]
        assert engine_files(cache) == [path.name]
    finally:
        cache.folder.chmod(0o700)
        shutil.rmtree(folder)


@contextlib.contextmanager
def largest_file(size):
    """No file of this process may grow beyond `size` bytes: writing fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('size', [0, 5, 700, 3000])
def test_where_nothing_more_can_be_written_the_engine_is_used_and_nothing_is_left(cache, size):
    obtain(cache)
    before = engine_files(cache)
    with largest_file(size):
        engine = obtain(cache, changed(ORIN, precision='fp16'), Builder(b'x' * 4000))
    assert (engine.origin, engine.plan, engine.path) == ('built', b'x' * 4000, None)
    assert 'File too large' in engine.warnings[0]
    assert 'Make room' in engine.warnings[0]
    assert engine_files(cache) == before
    assert obtain(cache).origin == 'cache'


FULL = """
import ctypes, os, sys
from building_cases import ORIN
from trt_perception.building.engine_cache import BuiltEngine, EngineCache
folder = sys.argv[1]
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(CLONE_NEWNS) or libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None):
    sys.exit('no rights')
if libc.mount(b'tmpfs', folder.encode(), b'tmpfs', 0, b'size=256k,mode=700'):
    sys.exit('no rights')
cache = EngineCache(__import__('pathlib').Path(folder))
engine = cache.obtain(ORIN, lambda: BuiltEngine(bytes(1 << 20)), label='street')
print(engine.origin, len(engine.plan), engine.path, engine.warnings)
print(sorted(os.listdir(folder)))
"""


def test_a_full_file_system_does_not_stop_a_build(tmp_path):
    """A real one: a small tmpfs in a mount namespace of the child's own."""
    process = start_python(FULL, tmp_path)
    output, error = process.communicate(timeout=60)
    if process.returncode and 'no rights' in error:
        pytest.skip('this user may not mount a tmpfs')
    assert process.returncode == 0, error
    engine, files = output.splitlines()
    assert engine.startswith('built 1048576 None')
    assert 'No space left on device' in engine
    assert files == "['.building.lock']"


TOGETHER = """
import sys, time
from pathlib import Path
from building_cases import ORIN
from trt_perception.building.engine_cache import BuiltEngine, EngineCache
folder, log = map(Path, sys.argv[1:3])

def note(what):
    with log.open('a') as file:
        file.write(f'{what}\\n')

def build():
    note('built')
    for _ in range(600):
        if log.read_text().count('waits') == 2:
            break
        time.sleep(0.05)
    return BuiltEngine(b'plan' * 100000)

engine = EngineCache(folder).obtain(ORIN, build, label='street', on_wait=lambda _: note('waits'))
print(engine.origin, engine.plan == b'plan' * 100000)
"""


def test_builders_that_start_together_build_once(tmp_path):
    """The one that builds is not done before the other two wait, however slow they start."""
    log = tmp_path / 'log'
    processes = [start_python(TOGETHER, tmp_path / 'engines', log) for _ in range(3)]
    outputs = sorted(finish(process).strip() for process in processes)
    assert outputs == ['built True', 'cache True', 'cache True']
    assert log.read_text().splitlines() == ['built', 'waits', 'waits']


HOLD = """
import sys, time
from pathlib import Path
from building_cases import ORIN
from trt_perception.building.engine_cache import BuiltEngine, EngineCache

def build():
    print('building', flush=True)
    time.sleep(60)

EngineCache(Path(sys.argv[1])).obtain(ORIN, build, label='street')
"""


def test_waiting_can_be_cancelled_and_a_dead_builder_holds_nobody_up(tmp_path):
    process = start_python(HOLD, tmp_path)
    try:
        assert process.stdout.readline() == 'building\n'
        cache, waits = EngineCache(tmp_path), []
        with pytest.raises(BuildCancelledError, match='another process'):
            cache.obtain(
                ORIN, Builder(), label='street', on_wait=waits.append, cancelled=lambda: True
            )
        assert waits == ['another process builds an engine here; waiting for it']
    finally:
        process.kill()
        process.communicate()
    assert obtain(cache).origin == 'built'


KILLED = """
import os, sys
from pathlib import Path
from building_cases import ORIN, changed
from trt_perception.building.engine_cache import BuiltEngine, EngineCache
cache = EngineCache(Path(sys.argv[1]))

def serve(number):
    plan = number.to_bytes(2, 'little') * 500_000
    while True:
        for level in range(3):
            identity = changed(ORIN, onnx=f'{number:064d}', optimization_level=level)
            cache.obtain(identity, lambda: BuiltEngine(plan), label='street')
        for entry in cache.entries():
            entry.path.unlink(missing_ok=True)

# Forking from a process that has everything imported makes 50 real processes cheap.
for line in sys.stdin:
    child = os.fork()
    if not child:
        serve(int(line))
    print(child, flush=True)
    os.waitpid(child, 0)
    print('ended', flush=True)
"""


def test_fifty_killed_builds_leave_nothing_but_whole_engines(tmp_path):
    pauses = random.Random(3)
    cache = EngineCache(tmp_path / 'engines')
    seen = partial = 0
    mother = subprocess.Popen(
        [sys.executable, '-c', KILLED, str(cache.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT / 'test',
    )
    for number in range(50):
        print(number, file=mother.stdin, flush=True)
        child = int(mother.stdout.readline())
        time.sleep(pauses.uniform(0.001, 0.03))
        os.kill(child, signal.SIGKILL)
        assert mother.stdout.readline() == 'ended\n'
        if cache.folder.exists():
            partial += any(cache.folder.glob('.*.partial'))
        for entry in cache.entries():
            assert entry.damaged == ''
            engine = cache.find(entry.identity, 'street')
            assert engine.plan == int(entry.identity.onnx).to_bytes(2, 'little') * 500_000
            seen += 1
    mother.stdin.close()
    assert mother.wait(30) == 0
    # Else none of the kills came while an engine was being written, or after one was.
    assert partial > 0
    assert seen > 0
    assert obtain(cache).origin == 'built'
    assert list(cache.folder.glob('.*.partial')) == []


def test_entries_say_what_is_kept_the_last_used_first(cache):
    for age, level in ((300, 1), (200, 2), (100, 3)):
        path = obtain(cache, changed(ORIN, optimization_level=level)).path
        os.utime(path, (time.time() - age,) * 2)
    obtain(cache, changed(ORIN, optimization_level=1))
    levels = [entry.identity.optimization_level for entry in cache.entries()]
    assert levels == [1, 3, 2]
    entry = cache.entries()[0]
    assert (entry.label, entry.damaged, entry.facts['build_s']) == ('street', '', 1.5)
    assert entry.size_bytes == entry.path.stat().st_size > len(PLAN)


def test_pruning_keeps_the_last_used_that_fit(cache):
    for age, level in ((300, 1), (200, 2), (100, 3)):
        path = obtain(cache, changed(ORIN, optimization_level=level)).path
        os.utime(path, (time.time() - age,) * 2)
    size = cache.entries()[0].size_bytes
    assert len(cache.prune(max_bytes=2 * size + 10, dry_run=True)) == 1
    assert len(cache.entries()) == 3
    cache.prune(max_bytes=2 * size + 10)
    assert [entry.identity.optimization_level for entry in cache.entries()] == [3, 2]
    cache.prune(max_age_s=150)
    assert [entry.identity.optimization_level for entry in cache.entries()] == [3]
    cache.prune(max_bytes=0)
    assert cache.entries() == []


def test_pruning_never_keeps_an_engine_that_was_used_before_a_deleted_one(cache):
    sizes = {300: 1_000, 200: 40_000, 100: 30_000}
    for level, (age, size) in enumerate(sizes.items()):
        identity = changed(ORIN, optimization_level=level)
        path = obtain(cache, identity, Builder(bytes(size))).path
        os.utime(path, (time.time() - age,) * 2)
    gone = cache.prune(max_bytes=50_000)
    assert [entry.identity.optimization_level for entry in gone] == [1, 0]
    assert [entry.identity.optimization_level for entry in cache.entries()] == [2]


def test_pruning_deletes_damaged_engines_and_touches_no_file_of_others(cache):
    obtain(cache)
    (cache.folder / 'notes.txt').write_text('mine')
    (cache.folder / 'old.engine').write_bytes(b'mine too')
    damage(cache, lambda content: content[:50])
    assert [bool(entry.damaged) for entry in cache.prune()] == [True]
    assert sorted(p.name for p in cache.folder.iterdir()) == [
        '.building.lock',
        'notes.txt',
        'old.engine',
    ]


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(OVERRIDE, str(tmp_path / 'here'))
    assert default_folder() == tmp_path / 'here'
    monkeypatch.delenv(OVERRIDE)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_folder() == tmp_path / 'trt_perception' / 'engines'
    monkeypatch.setenv('XDG_CACHE_HOME', 'not/absolute')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert default_folder() == tmp_path / '.cache' / 'trt_perception' / 'engines'


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    for name in (OVERRIDE, 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)

    def no_home():
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(Path, 'home', staticmethod(no_home))
    with pytest.raises(ParameterError, match=OVERRIDE):
        default_folder()


def test_the_header_is_json_that_anybody_can_read(cache):
    content = obtain(cache).path.read_bytes()
    length = int.from_bytes(content[8:12], 'little')
    header = msgspec.json.decode(content[12 : 12 + length])
    assert header['header']['label'] == 'street'
    assert header['header']['identity']['gpu']['name'] == 'Orin'
    assert header['payload_bytes'] == len(PLAN)
    assert content[12 + length + 32 :] == PLAN
