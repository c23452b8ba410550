"""The nodes of the demonstration: their programs, connections and parameters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXECUTABLES = {
    'camera_node': 'camera_node',
    'detect_node': 'detect_node',
    'instance_node': 'segment_node',
    'semantic_node': 'segment_node',
    'overlay_node': 'overlay_node',
}
"""The program of each node."""

REMAPPINGS = {
    'overlay_node': {
        'detections': 'detect_node/detections',
        'detections_label_info': 'detect_node/label_info',
        'instances': 'instance_node/detections',
        'instances_label_info': 'instance_node/label_info',
        'instance_mask': 'instance_node/mask',
        'mask': 'semantic_node/mask',
        'label_info': 'semantic_node/label_info',
    }
}


def command_of(name: str, programs: Path, parameters: Path) -> list[str]:
    """How a node of the demonstration is started.

    Args:
        name: one of `EXECUTABLES`.
        programs: folder of the installed executables.
        parameters: YAML file of `parameters_of`, by node.
    """
    command = [sys.executable, str(programs / EXECUTABLES[name])]
    command += ['--ros-args', '-r', f'__node:={name}', '--params-file', str(parameters)]
    for old, new in REMAPPINGS.get(name, {}).items():
        command += ['-r', f'{old}:={new}']
    return command


def parameters_of(
    arguments: argparse.Namespace, models: Sequence[Path]
) -> dict[str, dict[str, Any]]:
    """Parameters of the demonstration by node.

    Args:
        arguments: its `size`, `source`, `seed`, `rate` and `frames`.
        models: for detection, instance masks and semantic masks.
    """
    width, height = arguments.size
    source = arguments.source
    if source == 'synthetic' and arguments.seed is not None:
        source = f'synthetic:{arguments.seed}'
    detect, instance, semantic = (str(model) for model in models)
    return {
        'camera_node': {
            'autostart': False,
            'source': source,
            'size': f'{width}x{height}',
            'rate': arguments.rate,
            'count': arguments.frames,
        },
        'detect_node': {'model': detect},
        'instance_node': {'model': instance},
        'semantic_node': {'model': semantic},
        'overlay_node': {
            'inputs': ['detections', 'instances', 'instance_mask', 'mask'],
            'models': [detect, instance, semantic],
            'timeout': 2.0,
            'mask_opacity': 0.45,
            'legend': True,
        },
    }
