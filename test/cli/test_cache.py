import json
import os
import time

import pytest

from building_cases import ORIN, changed
from trt_perception.building.engine_cache import OVERRIDE, BuiltEngine, EngineCache
from trt_perception.building.timing_cache import keep_timing_cache
from trt_perception.cli.main import main


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(OVERRIDE, str(tmp_path / 'engines'))
    return EngineCache(tmp_path / 'engines')


def keep(cache, *levels):
    for level in levels:
        identity = changed(ORIN, optimization_level=level)
        path = cache.obtain(identity, lambda: BuiltEngine(bytes(5000)), label='street').path
        os.utime(path, (time.time() - 86400 * (10 - level),) * 2)


def test_an_empty_cache_is_listed(cache, capsys):
    assert main(['cache', 'list']) == 0
    assert capsys.readouterr().out == f'0 engines, 0 B, in {cache.folder}\n'
    assert main(['cache', 'list', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_lists_what_is_kept(cache, capsys):
    keep(cache, 1, 3)
    (cache.folder / ('0' * 64 + '.engine')).write_bytes(b'rubbish')
    assert main(['cache', 'list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('3 engines')
    assert lines[1].split()[:4] == ['model', 'precision', 'batch', 'pictures']
    assert 'not an engine file of this package' in lines[2] or 'damaged' in lines[2]
    shown = ['street', 'int8', '1:4:8', '64x64', 'tensorrt', '10.3.0.30', 'Orin']
    assert lines[3].split()[:7] == shown
    assert '7 d' in lines[3]
    assert '9 d' in lines[4]


def test_json_holds_everything(cache, capsys):
    keep(cache, 1)
    assert main(['cache', 'list', '--json']) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry['identity']['gpu']['compute_capability'] == '8.7'
    assert entry['path'].endswith('.engine')


def test_prunes_by_age_and_size(cache, capsys):
    keep(cache, 1, 2, 3)
    assert main(['cache', 'prune', '--max-age', '8d', '--dry-run']) == 0
    assert 'would be deleted' in capsys.readouterr().out
    assert len(cache.entries()) == 3
    # 9 and 8 days and some seconds old
    assert main(['cache', 'prune', '--max-age', '8d']) == 0
    assert '2 engines' in capsys.readouterr().out
    assert main(['cache', 'prune', '--max-size', '1kB']) == 0
    assert cache.entries() == []


def test_a_folder_that_others_can_write_is_refused(cache, capsys):
    keep(cache, 1)
    cache.folder.chmod(0o777)
    assert main(['cache', 'list']) == 2
    assert 'chmod 700' in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_named(tmp_path, capsys):
    (tmp_path / 'file').touch()
    assert main(['cache', '--engines', str(tmp_path / 'file'), 'list']) == 2
    assert 'file: Not a directory' in capsys.readouterr().err


def test_the_folder_may_be_named_before_and_behind(tmp_path, capsys):
    here, there = EngineCache(tmp_path / 'here'), EngineCache(tmp_path / 'there')
    keep(here, 1)
    keep(there, 1, 2)
    assert main(['cache', '--engines', str(here.folder), 'list']) == 0
    assert main(['cache', 'list', '--engines', str(there.folder)]) == 0
    output = capsys.readouterr().out
    assert f'in {here.folder}' in output
    assert f'in {there.folder}' in output
    assert main(['cache', 'prune', '--max-size', '1kB', '--engines', str(there.folder)]) == 0
    assert (len(here.entries()), len(there.entries())) == (1, 0)


def test_an_engine_from_elsewhere_is_kept_when_it_is_named(cache, tmp_path, capsys):
    elsewhere = EngineCache(tmp_path / 'elsewhere')
    keep(elsewhere, 1)
    [kept] = elsewhere.entries()
    carried = tmp_path / 'carried.engine'
    carried.write_bytes(kept.path.read_bytes())
    carried.chmod(0o666)
    assert isinstance(cache.find(kept.identity, 'street'), str)
    assert main(['cache', 'add', str(carried)]) == 0
    assert 'street' in capsys.readouterr().out
    found = cache.find(kept.identity, 'street')
    assert found.plan == bytes(5000)
    assert found.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize('harm', ['empty', 'foreign', 'cut', 'flipped'])
def test_what_is_no_whole_engine_is_not_added(cache, tmp_path, capsys, harm):
    elsewhere = EngineCache(tmp_path / 'elsewhere')
    keep(elsewhere, 1)
    whole = bytearray(elsewhere.entries()[0].path.read_bytes())
    flipped = whole.copy()
    flipped[-9] ^= 4
    content = {'empty': b'', 'foreign': b'ptrt' * 99, 'cut': whole[:-1], 'flipped': flipped}[harm]
    (tmp_path / 'x.engine').write_bytes(content)
    assert main(['cache', 'add', str(tmp_path / 'x.engine')]) == 2
    assert 'x.engine: ' in capsys.readouterr().err
    assert cache.entries() == []
    assert main(['cache', 'add', str(tmp_path / 'gone')]) == 2


def test_a_missing_engine_file_is_named(cache, tmp_path, capsys):
    assert main(['cache', 'add', str(tmp_path / 'gone.engine')]) == 2
    said = capsys.readouterr().err
    assert 'gone.engine: cannot be read: No such file or directory' in said
    assert str(cache.folder) not in said


def test_an_engine_that_cannot_be_added_is_not_said_to_be_used(cache, tmp_path, capsys):
    elsewhere = EngineCache(tmp_path / 'elsewhere')
    keep(elsewhere, 1)
    cache.folder.touch()
    assert main(['cache', 'add', str(elsewhere.entries()[0].path)]) == 2
    said = capsys.readouterr().err
    assert f'{cache.folder}: File exists' in said
    assert '--engines' in said
    assert 'is used' not in said


def test_one_engine_is_not_called_engines(cache, capsys):
    keep(cache, 1)
    assert main(['cache', 'list']) == 0
    assert capsys.readouterr().out.startswith('1 engine, ')


def test_timing_caches_are_counted_and_deleted_too(cache, capsys):
    keep(cache, 1)
    keep_timing_cache(cache.folder, ORIN, bytes(2000))
    assert main(['cache', 'list']) == 0
    assert capsys.readouterr().out.startswith('1 engine and 1 timing cache, ')
    assert main(['cache', 'prune', '--max-size', '0']) == 0
    assert '1 engine and 1 timing cache' in capsys.readouterr().out
    assert (cache.entries(), cache.timings()) == ([], [])
