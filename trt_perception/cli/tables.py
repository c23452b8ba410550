"""Plain text tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trt_perception.pipeline.statistics import StageLatency


def aligned(rows: Sequence[Sequence[str]], sides: str, gap: int = 2) -> str:
    """Cells in columns.

    Args:
        rows: cells; every row has as many.
        sides: '<' or '>' per column: where its cells stand.
        gap: spaces between columns.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, sides, widths, strict=True)
        lines.append((' ' * gap).join(f'{cell:{side}{width}}' for cell, side, width in cells))
    return '\n'.join(line.rstrip() for line in lines)


def stage_table(stages: Sequence[StageLatency]) -> str:
    """Median and 99th percentile of each stage."""
    rows = [('stage', 'p50 ms', 'p99 ms')]
    rows += [(s.stage, f'{s.p50_ms:.2f}', f'{s.p99_ms:.2f}') for s in stages]
    return aligned(rows, '<>>')


def counted(causes: Mapping[str, int]) -> str:
    """'0', or the sum with each cause, such as '3 (corrupt 2, empty 1)'."""
    total = sum(causes.values())
    if not total:
        return '0'
    return f'{total} ({", ".join(f"{cause} {n}" for cause, n in sorted(causes.items()))})'
