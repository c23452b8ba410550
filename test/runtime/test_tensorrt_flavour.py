import sys

import pytest

from building_cases import finish, start_python
from trt_perception.errors import BackendUnavailableError, ParameterError
from trt_perception.runtime.tensorrt_flavour import check_version, find_flavour

MODULES = ('tensorrt', 'tensorrt_bindings', 'tensorrt_rtx', 'tensorrt_rtx_bindings')


@pytest.fixture
def nothing_installed(monkeypatch):
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def installed(nothing_installed, monkeypatch, tmp_path):
    """Writes a module of that name, which the import system then finds by itself."""

    def write(name, content):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(content)
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)

    yield write
    for name in MODULES:
        sys.modules.pop(name, None)


def test_with_nothing_installed_each_flavour_says_how_to_get_it(nothing_installed):
    with pytest.raises(BackendUnavailableError) as caught:
        find_flavour()
    text = str(caught.value)
    assert 'tensorrt: TensorRT is not installed: on a Jetson install JetPack 6.1' in text
    assert 'tensorrt-rtx: TensorRT-RTX is not installed: python3 -m pip install' in text


def test_an_unknown_flavour_lists_the_known_ones():
    with pytest.raises(ParameterError, match='allowed: auto, tensorrt, tensorrt-rtx'):
        find_flavour('onnx')


@pytest.mark.parametrize(
    ('name', 'version'),
    [
        ('tensorrt', '10.3.0'),
        ('tensorrt', '10.3.0.30'),
        ('tensorrt', '10.16.1.11'),
        ('tensorrt', '11.4.0.106'),
        ('tensorrt-rtx', '1.0'),
        ('tensorrt-rtx', '1.7.1.116'),
    ],
)
def test_supported_versions_pass(name, version):
    check_version(name, version)


@pytest.mark.parametrize(
    ('name', 'version', 'match'),
    [
        ('tensorrt', '8.6.1', r'TensorRT 8\.6\.1 is too old: 10\.3 is the oldest supported'),
        ('tensorrt', '10.2.0.19', r'too old: 10\.3'),
        ('tensorrt', '12.0.1', 'newer than this package knows'),
        ('tensorrt-rtx', '0.9', r'TensorRT-RTX 0\.9 is too old'),
        ('tensorrt-rtx', '2.0', 'newer than this package knows'),
        ('tensorrt', '', 'too old'),
    ],
)
def test_other_versions_name_the_supported_ones(name, version, match):
    with pytest.raises(BackendUnavailableError, match=match):
        check_version(name, version)


def test_finds_what_is_installed_tensorrt_first(installed):
    installed('tensorrt_rtx', '__version__ = "1.7.1.116"')
    assert str(find_flavour()) == 'TensorRT-RTX 1.7.1.116'
    installed('tensorrt', '__version__ = "10.3.0"')
    flavour = find_flavour()
    assert (flavour.name, flavour.version) == ('tensorrt', '10.3.0')
    assert flavour.module is sys.modules['tensorrt']
    assert find_flavour('tensorrt-rtx').name == 'tensorrt-rtx'


@pytest.mark.parametrize('name', ['tensorrt_bindings', 'tensorrt_rtx_bindings'])
def test_the_bindings_alone_will_do(installed, name):
    installed(name, '__version__ = "1.7.1" if "rtx" in __name__ else "11.4.0.106"')
    assert find_flavour().module is sys.modules[name]


def test_an_old_tensorrt_is_named_with_the_oldest_supported_one(installed):
    installed('tensorrt', '__version__ = "8.6.1"')
    with pytest.raises(BackendUnavailableError, match=r'8\.6\.1 is too old: 10\.3 is the oldest'):
        find_flavour('tensorrt')


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        ('import libraries_of_nobody', "does not start: No module named 'libraries_of_nobody'"),
        ('raise OSError("libnvinfer.so.10: cannot open")', r'does not start: libnvinfer\.so\.10'),
        ('raise RuntimeError("driver")', 'does not start: driver'),
        ('', 'is not TensorRT: it states no version.*PYTHONPATH'),
    ],
)
def test_a_broken_installation_is_told_from_an_absent_one(installed, content, match):
    installed('tensorrt', content)
    with pytest.raises(BackendUnavailableError, match=match):
        find_flavour('tensorrt')


def test_looking_for_a_flavour_imports_nothing_before():
    code = (
        'import sys, trt_perception.building.tensorrt_builder\n'
        f'print([name for name in {MODULES!r} if name in sys.modules])'
    )
    assert finish(start_python(code)) == '[]\n'
