"""Identities and child processes for the tests of the engine cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import onnx

from trt_perception.building.engine_identity import (
    CudaIdentity,
    EngineIdentity,
    GpuIdentity,
    PlatformIdentity,
    ShapeRange,
    TensorRTIdentity,
)

ROOT = Path(__file__).resolve().parent.parent

ORIN = EngineIdentity(
    onnx='a' * 64,
    precision='int8',
    calibration='c' * 64,
    keep_float=('/head/conv', '/head/dfl'),
    converters={'onnxruntime': '1.23.2'},
    tensorrt=TensorRTIdentity(flavour='tensorrt', version='10.3.0.30'),
    cuda=CudaIdentity(runtime='12.6', driver='540.4.0'),
    platform=PlatformIdentity(system='Linux', architecture='aarch64'),
    gpu=GpuIdentity(name='Orin', compute_capability='8.7', sm_count=8, memory_gib=7),
    profiles=({'images': ShapeRange(min=(1, 3, 64, 64), opt=(4, 3, 64, 64), max=(8, 3, 64, 64))},),
    optimization_level=3,
    workspace_bytes=1 << 30,
)
"""A full identity, in which every field is filled that can be."""


def changed(identity: EngineIdentity, **fields: Any) -> EngineIdentity:
    """The same identity but for some fields."""
    return msgspec.structs.replace(identity, **fields)


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process of its own that runs `code`."""
    return subprocess.Popen(
        [sys.executable, '-c', code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT / 'test',
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 60) -> str:
    """What a process printed; it must have ended well."""
    output, error = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, error
    return output


DETECTOR = 'family: yolov8\nclasses: [a, b]\n'


def write_model(folder: Path, network: Any, yaml: str = DETECTOR) -> Path:
    """Save an ONNX model as net.onnx with a YAML file beside it, whose path is returned."""
    folder.mkdir(exist_ok=True)
    onnx.save(network, str(folder / 'net.onnx'))
    (folder / 'net.yaml').write_text(f'onnx: net.onnx\n{yaml}')
    return folder / 'net.yaml'
