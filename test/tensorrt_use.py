"""Finds, in the package's own sources, every name of TensorRT's API that they use.

The sources say which values are TensorRT's by the type aliases of
`trt_perception.runtime.tensorrt_flavour`. From there types are followed through assignments,
calls and attributes. What a call or a property of TensorRT gives is stated in `GIVES`; a use that
is not stated there is an error, and so is a name of TensorRT's on a value of unknown type. So none
is forgotten.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

ALIASES_MODULE = 'trt_perception.runtime.tensorrt_flavour'
MODULE = 'module'
PLAIN = ''
"""The type of a value that is not TensorRT's: a number, a text, or an object to pass on."""

ALIASES = {
    'TensorRT': MODULE,
    'TensorRTForRtx': MODULE,
    'Builder': 'Builder',
    'BuilderConfig': 'IBuilderConfig',
    'BuilderConfigForRtx': 'IBuilderConfig',
    'Network': 'INetworkDefinition',
    'Parser': 'OnnxParser',
    'CudaEngine': 'ICudaEngine',
    'CudaEngineForRtx': 'ICudaEngine',
    'ExecutionContext': 'IExecutionContext',
    'Severity': PLAIN,
}
"""What each alias stands for."""

ONLY_RTX = {'TensorRTForRtx', 'BuilderConfigForRtx', 'CudaEngineForRtx'}

FIELDS = {'Flavour': {'module': MODULE}, 'find_flavour': {'module': MODULE}}
"""Fields of the package's own types, and of what its functions return, that are TensorRT's."""

GIVES = {
    'Builder.build_serialized_network': 'IHostMemory',
    'Builder.create_builder_config': 'IBuilderConfig',
    'Builder.create_network': 'INetworkDefinition',
    'Builder.create_optimization_profile': 'IOptimizationProfile',
    'IBuilderConfig.add_optimization_profile': PLAIN,
    'IBuilderConfig.builder_optimization_level': PLAIN,
    'IBuilderConfig.create_timing_cache': 'ITimingCache',
    'IBuilderConfig.get_timing_cache': 'ITimingCache',
    'IBuilderConfig.num_compute_capabilities': PLAIN,
    'IBuilderConfig.progress_monitor': PLAIN,
    'IBuilderConfig.set_compute_capability': PLAIN,
    'IBuilderConfig.set_memory_pool_limit': PLAIN,
    'IBuilderConfig.set_timing_cache': PLAIN,
    'ICudaEngine.create_execution_context': 'IExecutionContext',
    'ICudaEngine.create_runtime_config': 'IRuntimeConfig',
    'ICudaEngine.device_memory_size_v2': PLAIN,
    'ICudaEngine.get_tensor_dtype': PLAIN,
    'ICudaEngine.get_tensor_mode': PLAIN,
    'ICudaEngine.get_tensor_name': PLAIN,
    'ICudaEngine.get_tensor_profile_shape': PLAIN,
    'ICudaEngine.get_tensor_shape': PLAIN,
    'ICudaEngine.num_io_tensors': PLAIN,
    'ICudaEngine.num_optimization_profiles': PLAIN,
    'IExecutionContext.execute_async_v3': PLAIN,
    'IExecutionContext.get_tensor_shape': PLAIN,
    'IExecutionContext.profiler': PLAIN,
    'IExecutionContext.set_device_memory': PLAIN,
    'IExecutionContext.set_input_shape': PLAIN,
    'IExecutionContext.set_optimization_profile_async': PLAIN,
    'IExecutionContext.set_tensor_address': PLAIN,
    'INetworkDefinition.get_input': 'ITensor',
    'INetworkDefinition.num_inputs': PLAIN,
    'INetworkDefinition.num_layers': PLAIN,
    'INetworkDefinition.num_outputs': PLAIN,
    'IOptimizationProfile.set_shape': PLAIN,
    'IRuntimeConfig.cuda_graph_strategy': PLAIN,
    'IRuntimeConfig.set_execution_context_allocation_strategy': PLAIN,
    'ITensor.name': PLAIN,
    'ITensor.shape': PLAIN,
    'ITimingCache.serialize': 'IHostMemory',
    'OnnxParser.get_error': 'ParserError',
    'OnnxParser.num_errors': PLAIN,
    'OnnxParser.parse': PLAIN,
    'OnnxParser.supports_operator': PLAIN,
    'ParserError.desc': PLAIN,
    'ParserError.node': PLAIN,
    'ParserError.node_name': PLAIN,
    'ParserError.node_operator': PLAIN,
    'Runtime.deserialize_cuda_engine': 'ICudaEngine',
}


@dataclass(frozen=True)
class Use:
    """One name: 'Builder.create_network', or 'Builder' for what the module itself holds.

    Attributes:
        only_rtx: it is reached through an alias of TensorRT-RTX alone.
        where: file and line.
    """

    name: str
    only_rtx: bool
    where: str


@dataclass
class Uses:
    """What was found in some sources, and what could not be followed."""

    found: list[Use] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Type:
    """A module, a class ('Builder' as such), or an object of a class."""

    name: str
    only_rtx: bool
    is_class: bool = False


def uses_in(source: str, file: str = 'source', members: frozenset[str] = frozenset()) -> Uses:
    """Every use in one source text.

    Args:
        source: a module.
        file: how it is called in what is found.
        members: names that classes of TensorRT have: found on a value of unknown type, they are
            unclear, if they are long enough to be TensorRT's alone.
    """
    uses = Uses()
    tree = ast.parse(source)
    known = _known_names(tree)
    if not known:
        return uses
    scope = _Scope(file, uses, {}, known)
    scope.own = _own_fields(tree, known)
    scope.run(tree.body)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or (node.lineno, node.attr) in scope.seen:
            continue
        if '_' in node.attr and node.attr in members:
            scope.unclear(f'of which type is the owner of {node.attr}?', node)
    return uses


def _known_names(tree: ast.Module) -> dict[str, str]:
    """Aliases, own types and functions by name: those imported, and functions that return them."""
    known = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == ALIASES_MODULE:
            known |= {a.name: a.name for a in node.names if a.name in {*ALIASES, *FIELDS}}
    for node in ast.walk(tree):
        returned = node.returns if isinstance(node, ast.FunctionDef) else None
        if isinstance(returned, ast.Name) and returned.id in known:
            known[node.name] = returned.id
    return known


def _own_fields(tree: ast.Module, known: dict[str, str]) -> dict[str, str]:
    """Fields that are TensorRT's, of the classes of a module: `self.name: Alias = ...`."""
    own = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Attribute):
            continue
        if isinstance(node.annotation, ast.Name) and node.annotation.id in known:
            own[node.target.attr] = node.annotation.id
    return own


def uses_in_package(package: Path, members: frozenset[str]) -> Uses:
    """Every use in the files below a folder; see `uses_in`."""
    uses = Uses()
    for path in sorted(package.rglob('*.py')):
        one = uses_in(path.read_text(), path.name, members)
        uses.found += one.found
        uses.unclear += one.unclear
    return uses


class _Scope(ast.NodeVisitor):
    """Follows types through one function or module, in the order of the text."""

    def __init__(
        self, file: str, uses: Uses, types: dict[str, object], known: dict[str, str]
    ) -> None:
        self.file, self.uses, self.types, self.known = file, uses, types, known
        self.seen: set[tuple[int, str]] = set()
        self.own: dict[str, str] = {}

    def inner(self) -> _Scope:
        scope = _Scope(self.file, self.uses, dict(self.types), self.known)
        scope.seen, scope.own = self.seen, self.own
        return scope

    def typed(self, name: str) -> object:
        """What a value is that is annotated with, or returned by, something of this name."""
        name = self.known.get(name, '')
        if name in ALIASES:
            return _Type(ALIASES[name], name in ONLY_RTX)
        return name or None

    def run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    # What binds names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        inner = self.inner()
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            alias = argument.annotation.id if isinstance(argument.annotation, ast.Name) else ''
            inner.types[argument.arg] = self.typed(alias)
        inner.run(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            kind = self.type_of(base)
            if isinstance(kind, _Type) and kind.is_class:
                # What overrides nothing would never be called.
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith('_'):
                        self.note(f'{kind.name}.{method.name}', kind, method)
        self.inner().run(node.body)

    def visit_Assign(self, node: ast.Assign) -> None:
        kind = self.type_of(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.types[target.id] = kind
            else:
                self.type_of(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        kind = self.type_of(node.value) if node.value else None
        stated = node.annotation.id if isinstance(node.annotation, ast.Name) else ''
        if isinstance(node.target, ast.Name):
            self.types[node.target.id] = self.typed(stated) or kind

    # What uses them

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self.type_of(node)
        else:
            super().generic_visit(node)

    def type_of(self, node: ast.expr) -> object:
        """A `_Type`, the name of one of the package's own types, or None."""
        if isinstance(node, ast.Name):
            return self.types.get(node.id)
        if isinstance(node, ast.Attribute):
            return self.attribute(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        super().generic_visit(node)
        return None

    def attribute(self, node: ast.Attribute) -> object:
        kind = self.type_of(node.value)
        if isinstance(node.value, ast.Name) and node.value.id == 'self' and node.attr in self.own:
            return self.typed(self.own[node.attr])
        if isinstance(kind, str):
            name = FIELDS[kind].get(node.attr)
            return _Type(name, False) if name else None
        if not isinstance(kind, _Type) or not kind.name:
            return None
        self.seen.add((node.lineno, node.attr))
        if node.attr.startswith('__'):  # every object has these
            return _Type(PLAIN, kind.only_rtx)
        if kind.name == MODULE:
            self.note(node.attr, kind, node)
            return _Type(node.attr, kind.only_rtx, is_class=True)
        full = f'{kind.name}.{node.attr}'
        self.note(full, kind, node)
        if kind.is_class:  # a member of an enumeration, or a method that is called by its class
            return _Type(PLAIN, kind.only_rtx)
        if full not in GIVES:
            self.unclear(f'state in GIVES what {full} gives', node)
        return _Type(GIVES.get(full, PLAIN), kind.only_rtx)

    def call(self, node: ast.Call) -> object:
        kind = self.type_of(node.func)
        arguments = [*node.args, *(word.value for word in node.keywords)]
        given = [self.type_of(argument) for argument in arguments]
        name = node.func.id if isinstance(node.func, ast.Name) else ''
        if name in ('getattr', 'hasattr', 'setattr') and isinstance(given[0], _Type):
            self.unclear(f'{name} hides a name of TensorRT', node)
        if isinstance(kind, _Type):
            if node.keywords:
                self.unclear('names of parameters are not checked; pass by position', node)
            return _Type(kind.name, kind.only_rtx) if kind.is_class else kind
        return self.typed(name)

    def note(self, name: str, kind: _Type, node: ast.AST) -> None:
        self.uses.found.append(Use(name, kind.only_rtx, f'{self.file}:{node.lineno}'))

    def unclear(self, text: str, node: ast.AST) -> None:
        self.uses.unclear.append(f'{self.file}:{node.lineno}: {text}')
