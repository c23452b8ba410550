"""`trt_perception inspect`: what is in an ONNX file, a calibration or an engine."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trt_perception.cli.paths import path
from trt_perception.errors import ModelFileError

Description = dict[str, Any]
"""What `--json` prints; text lines come from the same entries."""


def describe() -> str:
    """One line for the help text."""
    return 'Describe an ONNX file, a calibration file, a calibration cache or an engine.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and how to print it."""
    parser.add_argument('file', metavar='FILE', type=path)
    parser.add_argument('--json', action='store_true', help='print JSON, for programs')


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    content = _described(arguments.file)
    if arguments.json:
        print(json.dumps(content, indent=2))
    else:
        print('\n'.join(_lines(content)))
    return 0


def _described(path: Path) -> Description:
    try:
        start = path.read_bytes()[:4096] if path.stat().st_size < 4096 else _start(path)
    except OSError as error:
        raise ModelFileError(f'{path}: cannot be read: {error}') from error
    for belongs, description in KINDS:
        if belongs(start):
            return {'file': str(path), 'bytes': path.stat().st_size, **description(path)}
    return {'file': str(path), 'bytes': path.stat().st_size, **_onnx(path)}


def _start(path: Path) -> bytes:
    with open(path, 'rb') as file:
        return file.read(4096)


def _is_calibration_file(start: bytes) -> bool:
    from trt_perception.building.calibration_ranges import FORMAT

    return start.lstrip().startswith(b'{') and FORMAT.encode() in start


def _is_calibration_cache(start: bytes) -> bool:
    from trt_perception.building.calibration_text import is_calibration_text

    return is_calibration_text(start)


def _calibration_file(path: Path) -> Description:
    from trt_perception.building.calibration_ranges import load_ranges

    ranges = load_ranges(path)
    tensors = [
        {'tensor': name, 'range': e.range, 'low': e.low, 'high': e.high}
        for name, e in sorted(ranges.tensors.items())
    ]
    return {
        'kind': 'calibration file',
        'for': ranges.onnx,
        'onnx sha256': ranges.onnx_sha256,
        'digest': ranges.digest(),
        'method': f'{ranges.method} {ranges.detail}'.strip(),
        'images': f'{ranges.images.count} of {ranges.images.source or "unknown source"}',
        'tensors': tensors,
    }


def _calibration_cache(path: Path) -> Description:
    from trt_perception.building.calibration_text import LEVELS, parse_calibration_text

    cache = parse_calibration_text(path.read_bytes(), str(path))
    return {
        'kind': "TensorRT's calibration cache",
        'version': cache.version,
        'algorithm': cache.algorithm,
        'tensors': [
            {'tensor': e.tensor, 'scale': e.scale, 'range': e.scale * LEVELS} for e in cache.scales
        ],
    }


def _is_engine(start: bytes) -> bool:
    from trt_perception.sealed_file import MAGIC

    return start.startswith(MAGIC)


def _engine(path: Path) -> Description:
    import hashlib

    import msgspec

    from trt_perception.building.engine_file import read_engine_file

    header, plan = read_engine_file(path)
    facts = dict(header.facts)
    gate = facts.pop('gate', None)
    said = Counter(facts.pop('messages', ()))
    floating = [{'node': n, 'reason': r} for n, r in facts.pop('float_nodes', {}).items()]
    profiles = [
        f'{name} {extents}'
        for profile in header.identity.profiles
        for name, extents in profile.items()
    ]
    identity = msgspec.to_builtins(header.identity) | {'profiles': profiles}
    return {
        'kind': 'engine',
        'model': header.label,
        'built': header.built,
        'key': header.identity.key,
        'plan bytes': len(plan),
        'plan sha256': hashlib.sha256(plan).hexdigest(),
        'identity': dict(_leaves(identity)),
        'facts': facts,
        'gate': dict(_leaves(gate)) if gate else 'not compared with float32 yet',
        'nodes that stay float': floating,
        'messages of TensorRT': [
            {'message': text.strip(), 'times': times} for text, times in said.most_common()
        ],
    }


def _leaves(value: dict[str, Any], path: str = '') -> Iterator[tuple[str, Any]]:
    """Entries of nested mappings under joined names; what is empty is left out."""
    for key, entry in value.items():
        if isinstance(entry, dict):
            yield from _leaves(entry, f'{path}{key}.')
        elif entry not in (None, (), []):
            yield f'{path}{key}', entry


def _onnx(path: Path) -> Description:
    from trt_perception.building.graph_index import GraphIndex
    from trt_perception.building.onnx_graph import graph_digest, load_graph, opset_of
    from trt_perception.cli.recognised import recognised
    from trt_perception.onnx_file import read_onnx

    file = read_onnx(path)
    model = load_graph(path)
    index = GraphIndex(model)
    work = index.multiply_adds()
    quantised = index.int8_nodes()
    narrow = sum(work[name] for name in quantised)
    total = sum(work.values())
    kinds = Counter(node.op_type for node in index.nodes.values())
    return {
        'kind': 'ONNX',
        'sha256': graph_digest(path),
        'opset': opset_of(model),
        **recognised(path, file),
        'inputs': [_tensor(spec) for spec in file.inputs],
        'outputs': [_tensor(spec) for spec in file.outputs],
        'metadata': file.metadata,
        'operators': ', '.join(f'{kind} {count}' for kind, count in kinds.most_common()),
        'multiply-adds': total,
        'int8 share': round(narrow / total, 4) if total else 0.0,
        'weighted layers': [
            {
                'node': name,
                'operator': index.nodes[name].op_type,
                'multiply-adds': count,
                'int8': name in quantised,
            }
            for name, count in work.items()
        ],
    }


def _tensor(spec: Any) -> str:
    extents = 'x'.join('?' if extent < 0 else str(extent) for extent in spec.shape)
    return f'{spec.name} {spec.dtype} {extents}'


KINDS: list[tuple[Callable[[bytes], bool], Callable[[Path], Description]]] = [
    (_is_calibration_file, _calibration_file),
    (_is_calibration_cache, _calibration_cache),
    (_is_engine, _engine),
]
"""How a kind of file is known by its first 4096 bytes, and what describes it; else it is ONNX."""


def _lines(content: Description) -> list[str]:
    from trt_perception.cli.tables import aligned

    lines: list[str] = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [tuple(value[0])] + [tuple(_cell(c) for c in row.values()) for row in value]
            table = aligned(rows, '<' + '>' * (len(rows[0]) - 1))
            lines += ['', f'{key} ({len(value)})', *(f'  {row}' for row in table.splitlines())]
        elif isinstance(value, list):
            lines += [f'{key:15} {item}' for item in value]
        elif isinstance(value, dict):
            lines += [f'{key:15} {k} = {v}' for k, v in value.items()]
        else:
            lines.append(f'{key:15} {_cell(value)}')
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return '-'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return f'{value:.6g}' if isinstance(value, float) else str(value)
