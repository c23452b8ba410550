"""Every name of TensorRT that the package uses exists in every supported TensorRT."""

import json
from pathlib import Path

import pytest

from tensorrt_use import uses_in, uses_in_package
from trt_perception.errors import BackendUnavailableError
from trt_perception.runtime.tensorrt_flavour import FLAVOURS, find_flavour

ROOT = Path(__file__).resolve().parent.parent
NAMES = json.loads((ROOT / 'test' / 'data' / 'tensorrt_names.json').read_text())
"""Public names of the module and of its classes, read from the real bindings: name by version."""

VERSIONS = NAMES['versions']
MEMBERS = frozenset(
    name
    for groups in NAMES['classes'].values()
    for members in groups.values()
    for name in members.split()
)
USES = uses_in_package(ROOT / 'trt_perception', MEMBERS)


def versions_with(name):
    """The versions that have 'Builder' or 'Builder.create_network'."""
    owner, _, member = name.rpartition('.')
    groups = NAMES['classes'].get(owner, {}) if owner else NAMES['module']
    for versions, members in groups.items():
        if member in members.split():
            return VERSIONS if versions == 'all' else join_versions(versions)
    return []


def join_versions(text):
    return [version for version in VERSIONS if version in text]


def test_nothing_is_found_where_nothing_is_used():
    assert uses_in('').found == []
    assert uses_in(HEADER + 'x = 1\nx.parse()\n').found == []


def test_a_class_of_the_same_name_from_elsewhere_does_not_count():
    code = 'class Builder: ...\ndef f(b: Builder): b.build_engine()'
    assert uses_in(code).found == []


def test_every_use_is_understood():
    assert USES.unclear == []


def test_finds_what_is_known_to_be_used():
    names = {use.name for use in USES.found}
    assert names >= {
        'Builder',
        'Builder.create_network',
        'ICudaEngine.get_tensor_profile_shape',
        'IExecutionContext.execute_async_v3',
        'IBuilderConfig.set_memory_pool_limit',
        'IProgressMonitor.step_complete',
        'MemoryPoolType.WORKSPACE',
        'NetworkDefinitionCreationFlag.STRONGLY_TYPED',
        'OnnxParser.parse',
        'ParserError.node_operator',
        'Runtime.deserialize_cuda_engine',
        'TensorIOMode.INPUT',
        'nptype',
    }
    assert {use.name for use in USES.found if use.only_rtx} >= {
        'ComputeCapability.SM86',
        'IBuilderConfig.set_compute_capability',
    }


@pytest.mark.parametrize('version', VERSIONS)
def test_every_name_exists_in(version):
    missing = [
        f'{use.where}: {use.name}'
        for use in USES.found
        if version not in versions_with(use.name)
        if version.startswith('rtx') or not use.only_rtx
    ]
    assert missing == []


@pytest.mark.parametrize('name', FLAVOURS)
def test_every_name_exists_in_what_is_installed(name):
    try:
        flavour = find_flavour(name)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    for use in USES.found:
        if use.only_rtx and name != 'tensorrt-rtx':
            continue
        value = flavour.module
        for part in use.name.split('.'):
            assert hasattr(value, part), f'{use.where}: {flavour} has no {use.name}'
            value = getattr(value, part)


HEADER = """
from trt_perception.runtime.tensorrt_flavour import Builder, BuilderConfig, Flavour, TensorRT
from trt_perception.runtime.tensorrt_flavour import ExecutionContext, find_flavour
"""


@pytest.mark.parametrize(
    ('code', 'name'),
    [
        ('def f(trt: TensorRT): return trt.Bilder(0)', 'Bilder'),
        ('def f(trt: TensorRT):\n b = trt.Builder(0)\n b.build_engine()', 'Builder.build_engine'),
        ('def f(c: BuilderConfig): c.max_workspace_size = 1', 'IBuilderConfig.max_workspace_size'),
        ('def f(trt: TensorRT): return trt.BuilderFlag.FP16', 'BuilderFlag.FP16'),
        ('def f(v: Flavour):\n t = v.module\n def g():\n  return t.Nothing', 'Nothing'),
        (
            'def f(trt: TensorRT):\n class M(trt.IProgressMonitor):\n  def on_step(self): pass',
            'IProgressMonitor.on_step',
        ),
        (
            'def f(trt: TensorRT):\n'
            ' for i in range(trt.Builder(0).create_network(1).num_inputz): pass',
            'INetworkDefinition.num_inputz',
        ),
        ('def f(trt: TensorRT): return [e for e in trt.Oops]', 'Oops'),
        ('def f() -> Builder: ...\ndef g(): f().build_engine()', 'Builder.build_engine'),
        ('def f(): find_flavour().module.Gone', 'Gone'),
        (
            'class R:\n def a(self):\n  self.c: ExecutionContext = None\n'
            ' def b(self): self.c.execute_async_v2()',
            'IExecutionContext.execute_async_v2',
        ),
        ('def f(x):\n t: TensorRT = x\n t.Oops', 'Oops'),
    ],
)
def test_a_name_that_is_not_everywhere_is_caught(code, name):
    """Misspelt ones, and those that TensorRT has dropped."""
    found = {use.name for use in uses_in(HEADER + code).found}
    assert name in found
    assert versions_with(name) != VERSIONS


@pytest.mark.parametrize(
    'code',
    [
        'def f(trt: TensorRT): return getattr(trt, "Builder")',
        'def f(trt: TensorRT): return hasattr(trt.BuilderFlag, "FP16")',
        'def f(c: BuilderConfig): c.set_memory_pool_limit(pool=1, pool_size=2)',
        'def f(c: BuilderConfig): return c.flags',
        'def f(c): return c.builder_optimization_level',
    ],
)
def test_what_cannot_be_followed_is_an_error(code):
    assert uses_in(HEADER + code, members=MEMBERS).unclear != []


def test_names_that_one_version_lacks_are_told_from_those_that_all_have():
    assert versions_with('Builder.create_network') == VERSIONS
    assert versions_with('BuilderFlag.FP16') == ['10.3.0', '10.13.3.9', '10.16.1.11']
    assert versions_with('IBuilderConfig.set_compute_capability') == ['rtx 1.7.1.116']
    assert versions_with('Builder.create_everything') == []
    assert versions_with('NoClass.at_all') == []
