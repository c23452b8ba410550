"""`trt_perception doctor`: what this machine can do, and what to install."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trt_perception.building.device_facts import DeviceFacts
    from trt_perception.nodes.transport_measurement import TransportReport


def describe() -> str:
    """One line for the help text."""
    return (
        'Report what this machine can do: GPU, driver, TensorRT; what is missing, and the remedy.'
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to print it."""
    parser.add_argument('--json', action='store_true', help='print JSON, for programs')
    parser.add_argument(
        '--transport',
        action='store_true',
        help='measure instead how images travel from one process to another, and say what to '
        'change; takes about half a minute, needs ROS 2',
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the report. It is 0 even where nothing runs: the report is what was asked for."""
    import dataclasses
    import json

    if arguments.transport:
        from trt_perception.nodes.transport_measurement import measure_transport

        path = measure_transport()
        print(transport_json(path) if arguments.json else transport_report(path))
        return 0

    from trt_perception.building.device_facts import device_facts

    facts = device_facts()
    print(json.dumps(dataclasses.asdict(facts), indent=2) if arguments.json else report(facts))
    return 0


def report(facts: DeviceFacts) -> str:
    """The facts as text for the terminal."""
    lines = [
        f'system      {facts.system}, {facts.architecture}, Python {facts.python}',
        f'processor   {facts.processors} CPUs, {_gib(facts.memory_bytes)} memory, '
        f'{_gib(facts.memory_free_bytes)} free',
    ]
    if facts.jetson:
        board = facts.jetson
        lines.append(
            f'Jetson      {board.board or "unknown board"}, JetPack {board.jetpack or "unknown"} '
            f'(Jetson Linux {board.jetson_linux or "unknown"})'
        )
    lines.append(
        f'CUDA        driver {facts.driver or "none"}, serves CUDA up to '
        f'{facts.cuda_driver or "none"}; installed runtime {facts.cuda_runtime or "none"}'
    )
    return '\n'.join([*lines, *_gpus(facts), '', *_libraries(facts), '', *_backends(facts)])


def transport_report(path: TransportReport) -> str:
    """How images travel, as text for the terminal."""
    lines = [f'middleware  {path.middleware}', f'launch      {path.transport}', '']
    lines.append(f'{"image, bgr8":14}{"settings":24}{"median":>10}{"99 %":>10}  lost')
    for one in path.figures:
        size = f'{one.size[0]}x{one.size[1]}'
        lines.append(
            f'{size:14}{one.settings:24}{one.p50_ms:7.1f} ms{one.p99_ms:7.1f} ms'
            f'  {one.lost} of {one.sent}'
        )
    lines.append('')
    return '\n'.join([*lines, *(path.advice or ['Nothing to change.'])])


def transport_json(path: TransportReport) -> str:
    """The same for programs; figures that there are not are null."""
    import dataclasses
    import json
    import math

    told = dataclasses.asdict(path)
    for one in told['figures']:
        one.update({k: None for k, v in one.items() if isinstance(v, float) and math.isnan(v)})
    return json.dumps(told, indent=2, allow_nan=False)


def _gpus(facts: DeviceFacts) -> list[str]:
    from trt_perception.building.device_facts import PRECISIONS

    if not facts.gpus:
        return ['GPU         none found', *(f'            {why}' for why in facts.gpu_unknown)]
    lines = []
    for gpu, fast in zip(facts.gpus, facts.fast_precisions, strict=True):
        lines.append(
            f'GPU         {gpu.name}, compute capability {gpu.compute_capability or "unknown"}, '
            f'{gpu.sm_count or "unknown number of"} SMs, {_gib(gpu.memory_bytes)} memory, '
            f'{_gib(gpu.memory_free_bytes)} free (says {gpu.source})'
        )
        if fast is None:
            lines.append('            precisions with fast hardware: unknown for this GPU')
            continue
        slow = [name for name in PRECISIONS if name not in fast]
        lines.append(
            f'            fast hardware for {", ".join(fast)}'
            + (f'; not for {", ".join(slow)}' if slow else '')
        )
    return [*lines, f'            source: {facts.fast_precisions_source}']


def _libraries(facts: DeviceFacts) -> list[str]:
    problems = [library.problem for library in facts.libraries if library.problem]
    found = f'{len(facts.libraries) - len(problems)} of {len(facts.libraries)}'
    lines = [f'libraries   {found} that are always needed', *(f'    {text}' for text in problems)]
    if facts.missing_extras:
        lacks = (f'{lack.module} ({" or ".join(lack.extras)})' for lack in facts.missing_extras)
        lines.append(f'            optional, not installed (by extra): {", ".join(lacks)}')
    return lines


def _backends(facts: DeviceFacts) -> list[str]:
    lines = []
    for backend in facts.backends:
        state = 'ready' if not backend.lacks else 'not ready'
        lines.append(f'{backend.name:18}{state:11}{backend.version}'.rstrip())
        lines += [f'    {obstacle}' for obstacle in backend.lacks]
    return lines


def _gib(size: int | None) -> str:
    return 'unknown' if size is None else f'{size / (1 << 30):.1f} GiB'
