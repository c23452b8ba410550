"""The tables of parameters that `readme_tables.py` writes, from the structs of the nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def parameter_tables() -> str:
    """One table for what all nodes have, and one for each node's own."""
    from trt_perception.nodes.common_parameters import NodeParameters
    from trt_perception.nodes.parameter_rows import parameter_rows
    from trt_perception.nodes.parameter_table import NODES

    common = {row.name for row in parameter_rows(NodeParameters)}
    parts = ['**every node**', parameter_table(parameter_rows(NodeParameters))]
    for name, kind in NODES.items():
        rows = [row for row in parameter_rows(kind) if row.name not in common]
        parts += [f'**{name}**', parameter_table(rows)]
    return '\n\n'.join(parts)


def short_parameter_tables() -> str:
    """Each parameter once, under the nodes that have it, with the first sentence about it."""
    from trt_perception.nodes.parameter_rows import parameter_rows
    from trt_perception.nodes.parameter_table import NODES

    nodes_of: dict[tuple[str, str, str], list[str]] = {}
    for node, kind in NODES.items():
        for row in parameter_rows(kind):
            meaning = row.description.split('. ')[0].rstrip('.')
            nodes_of.setdefault((f'`{row.name}`', default_of(row), meaning), []).append(node)
    groups: dict[str, list[tuple[str, ...]]] = {}
    for cells, nodes in nodes_of.items():
        title = 'every node' if len(nodes) == len(NODES) else ', '.join(nodes)
        groups.setdefault(title, []).append(cells)
    parts = []
    for title, rows in groups.items():
        parts += [f'**{title}**', table(('parameter', 'default', 'meaning'), rows)]
    return '\n\n'.join(parts)


def parameter_table(rows: Any) -> str:
    return table(
        ('parameter', 'default', 'allowed', 'may change', 'meaning'),
        [(f'`{r.name}`', default_of(r), r.allowed, r.change, r.description) for r in rows],
    )


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ['| ' + ' | '.join(heading) + ' |', '|' + '---|' * len(heading)]
    lines += ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |' for row in rows]
    return '\n'.join(lines)


def default_of(row: Any) -> str:
    """What holds unless a parameter is set, in words."""
    return str(row.unset) if row.default is None else shown(row.default)


def shown(value: Any) -> str:
    """A default as a user would write it."""
    if isinstance(value, bool):
        return f'`{str(value).lower()}`'
    if isinstance(value, tuple):
        return '`[' + ', '.join(map(str, value)) + ']`'
    return f'`{value}`' if value != '' else 'empty'
