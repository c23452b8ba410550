from __future__ import annotations

import configparser
import re
import runpy
import sys
from pathlib import Path

import pytest
import setuptools

from trt_perception.building.libraries import (
    OPTIONAL,
    REQUIRED,
    missing_extras,
    required_libraries,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_required_ones_are_there():
    assert [library.module for library in required_libraries()] == [*REQUIRED]
    assert [library.problem for library in required_libraries() if library.problem] == []


def test_setup_py_names_the_same_ones(monkeypatch):
    seen = {}
    monkeypatch.setattr(setuptools, 'setup', seen.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / 'setup.py'))
    assert sorted(REQUIRED.values()) == sorted(seen['install_requires'])


def test_setup_cfg_names_the_extras():
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    extras = {extra for extras in OPTIONAL.values() for extra in extras}
    assert extras <= set(config['options.extras_require'])


@pytest.mark.parametrize(
    ('content', 'says'),
    [
        (None, r'yaml is not installed: python3 -m pip install "pyyaml>=6"'),
        ('import no_such_thing', 'yaml needs no_such_thing, which is not installed'),
        ('raise ImportError("libfoo.so.3: cannot open")', 'does not start: libfoo.so.3: cannot'),
        ('raise RuntimeError', r'does not start: RuntimeError: .*--force-reinstall "pyyaml>=6"'),
    ],
    ids=['absent', 'needs another', 'needs a shared library', 'broken'],
)
def test_what_stands_in_the_way_is_told_with_its_remedy(monkeypatch, tmp_path, content, says):
    monkeypatch.delitem(sys.modules, 'yaml', raising=False)
    if content is None:
        monkeypatch.setitem(sys.modules, 'yaml', None)
    else:
        (tmp_path / 'yaml.py').write_text(content)
        monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = [library.problem for library in required_libraries() if library.problem]
    assert re.search(says, problem)


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy', None)
    assert ('scipy', ('tracking',)) in [(lack.module, lack.extras) for lack in missing_extras()]
