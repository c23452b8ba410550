"""The package says the same about itself everywhere."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, 'setup', seen.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / 'setup.py'))
    return seen


@pytest.fixture
def extras() -> dict[str, list[str]]:
    """What is optional, by the name of the extra."""
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    named = config['options.extras_require']
    return {name: lines.split() for name, lines in named.items()}


def test_name_and_version_agree(package: ElementTree.Element, metadata: dict[str, Any]) -> None:
    assert metadata['name'] == package.findtext('name') == 'trt_perception'
    assert metadata['version'] == package.findtext('version')


def test_every_message_package_that_is_imported_is_required(package: ElementTree.Element) -> None:
    pattern = r'^\s*from (\w+)\.(?:msg|srv) import'
    sources = (ROOT / 'trt_perception').rglob('*.py')
    used = {n for file in sources for n in re.findall(pattern, file.read_text(), re.MULTILINE)}
    required = {element.text for element in package if element.tag in ('depend', 'exec_depend')}
    assert 'sensor_msgs' in used
    assert used - required - {'trt_perception'} == set()


def test_changelog_begins_with_this_version(package: ElementTree.Element) -> None:
    versions = re.findall(r'^## \[(\d[^]]*)\]', (ROOT / 'CHANGELOG.md').read_text(), re.M)
    assert versions[0] == package.findtext('version')


def test_license_is_the_whole_apache_license(
    package: ElementTree.Element, metadata: dict[str, Any]
) -> None:
    text = (ROOT / 'LICENSE').read_text()
    assert 'Version 2.0, January 2004' in text
    assert 'END OF TERMS AND CONDITIONS' in text
    assert package.findtext('license') == metadata['license'] == 'Apache-2.0'


def test_supported_pythons_agree(metadata: dict[str, Any]) -> None:
    supported = runpy.run_path(str(ROOT / 'tools' / 'bootstrap.py'))['SUPPORTED']
    oldest = '.'.join(map(str, min(supported)))
    pyproject = (ROOT / 'pyproject.toml').read_text()
    assert metadata['python_requires'] == f'>={oldest}'
    assert f'target-version = "py{oldest.replace(".", "")}"' in pyproject
    assert f'python_version = "{oldest}"' in pyproject


def test_pip_and_the_environment_name_the_same_libraries(
    metadata: dict[str, Any], extras: dict[str, list[str]]
) -> None:
    def names(lines: list[str]) -> set[str]:
        found = (re.match(r'[A-Za-z0-9._-]+', line) for line in lines)
        return {match[0].lower() for match in found if match}

    pinned = names((ROOT / 'requirements' / 'python.in').read_text().splitlines())
    wanted = [*metadata['install_requires'], *extras['onnxruntime'], *extras['bags']]
    assert names(wanted) <= pinned


def test_every_extra_that_is_spoken_of_exists(extras: dict[str, list[str]]) -> None:
    """In texts for users, where it is what they shall install."""
    pages = [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]
    sources = (ROOT / 'trt_perception').rglob('*.py')
    spoken: set[str] = set()
    for file in (*pages, *sources):
        for names in re.findall(r"(?:trt_perception|'\.)\[([a-z,]+)\]", file.read_text()):
            spoken |= set(names.split(','))
    assert 'monitoring' in spoken
    assert spoken <= set(extras)


def test_the_installed_package_has_the_extras(extras: dict[str, list[str]]) -> None:
    """A ROS 2 build makes metadata of its own, and pip installs nothing for an unknown extra."""
    known = importlib.metadata.metadata('trt_perception').get_all('Provides-Extra')
    assert sorted(known or []) == sorted(extras)
    required = importlib.metadata.requires('trt_perception') or []
    assert any('prometheus' in line and 'monitoring' in line for line in required)
