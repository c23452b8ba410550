import os
import sys
from pathlib import Path

import pytest

from trt_perception.runtime.gpu_probes import (
    Gpu,
    ProbeFailed,
    completed,
    cuda_driver_version,
    cuda_gpus,
    driver_version,
    find_gpus,
    jetson_compute_capability,
    nvml_gpus,
    parse_smi,
    proc_gpus,
    short_bus_id,
    smi_gpus,
)

needs_gpu = pytest.mark.skipif(
    not Path('/proc/driver/nvidia/version').exists(), reason='there is no NVIDIA driver here'
)
KERNEL = (
    'NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\n'
    'GCC version:  gcc version 11.4.0\n'
)


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_anything_every_source_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    for probe, match in (
        (nvml_gpus, 'nvidia-ml-py is not installed'),
        (smi_gpus, 'there is no program nvidia-smi'),
        (lambda: cuda_gpus('libcuda_of_nobody.so.1'), 'libcuda_of_nobody.so.1 is not installed'),
        (lambda: cuda_driver_version('libcuda_of_nobody.so.1'), 'is not installed'),
        (lambda: proc_gpus(tmp_path), 'the kernel knows no NVIDIA GPU'),
    ):
        with pytest.raises(ProbeFailed, match=match):
            probe()


def test_reads_what_nvidia_smi_prints():
    printed = (
        'NVIDIA GeForce RTX 4090, 8.9, 24564, 23000, 580.65.06, 00000000:01:00.0\n'
        'Orin (nvgpu), [N/A], [N/A], [Not Supported], 540.4.0, [N/A]\n'
    )
    assert parse_smi('') == []
    assert parse_smi('No devices were found\n') == []
    assert parse_smi(printed) == [
        Gpu(
            'NVIDIA GeForce RTX 4090', '8.9', None, 24564 << 20, 23000 << 20, '580.65.06',
            '0000:01:00.0', 'nvidia-smi',
        ),
        Gpu('Orin (nvgpu)', driver='540.4.0', source='nvidia-smi'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('script', 'expected'),
    [
        ('echo "Tesla T4, 7.5, 15360, 15000, 580.1.2, 00000000:00:1E.0"', ['Tesla T4']),
        ('echo "NVIDIA-SMI has failed because it could not talk to the driver"; exit 9', None),
    ],
)
def test_asks_the_program(tmp_path, monkeypatch, script, expected):
    program = tmp_path / 'nvidia-smi'
    program.write_text(f'#!/bin/sh\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}/bin')
    if expected is None:
        with pytest.raises(ProbeFailed, match=r'nvidia-smi fails: .*exit status 9'):
            smi_gpus()
    else:
        assert [gpu.name for gpu in smi_gpus()] == expected


def test_reads_the_files_of_the_kernel_module(tmp_path):
    put(tmp_path, 'proc/driver/nvidia/version', KERNEL)
    put(
        tmp_path,
        'proc/driver/nvidia/gpus/0000:41:00.0/information',
        'Model: \t\t NVIDIA H200\nIRQ: 5\n',
    )
    gpu = Gpu('NVIDIA H200', driver='540.4.0', bus_id='0000:41:00.0', source='/proc')
    assert proc_gpus(tmp_path) == [gpu]


def test_knows_a_jetson_by_its_device_tree(tmp_path):
    put(tmp_path, 'proc/device-tree/model', 'NVIDIA Jetson Orin Nano Developer Kit\0')
    gpu = Gpu('NVIDIA Jetson Orin Nano Developer Kit', '8.7', source='device tree')
    assert proc_gpus(tmp_path) == [gpu]


@pytest.mark.parametrize(
    ('board', 'capability'),
    [
        ('', None),
        ('Raspberry Pi 5 Model B', None),
        ('NVIDIA Jetson AGX Orin Developer Kit', '8.7'),
        ('NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super', '8.7'),
        ('NVIDIA Jetson AGX Thor Developer Kit', '11.0'),
        ('NVIDIA Jetson Xavier NX Developer Kit', '7.2'),
        ('NVIDIA Jetson Nano Developer Kit', '5.3'),
        ('NVIDIA Jetson of the future', None),
    ],
)
def test_compute_capability_of_a_board(board, capability):
    assert jetson_compute_capability(board) == capability


@pytest.mark.parametrize(
    ('text', 'version'),
    [
        ('', None),
        (KERNEL, '540.4.0'),
        ('NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65  Mon\n', '580.65'),
    ],
)
def test_version_of_the_driver(tmp_path, text, version):
    put(tmp_path, 'proc/driver/nvidia/version', text)
    assert driver_version(tmp_path) == version


def test_what_one_source_leaves_open_is_taken_from_the_same_gpu_only():
    first, second = Gpu('A', bus_id='0000:01:00.0'), Gpu('B', bus_id='0000:02:00.0')
    others = [
        Gpu('b', '8.9', 128, bus_id='0000:02:00.0', source='CUDA driver'),
        Gpu('c', '9.0', 132, bus_id='0000:03:00.0', source='CUDA driver'),
    ]
    assert completed([], others) == []
    assert completed([first, second], others) == [
        first,
        Gpu('B', '8.9', 128, bus_id='0000:02:00.0'),
    ]


def test_the_only_gpu_is_the_same_gpu():
    others = [Gpu('Orin', '8.7', 8, source='CUDA driver')]
    assert completed([Gpu('Jetson')], others) == [Gpu('Jetson', '8.7', 8)]


def test_bus_ids_are_written_in_two_ways():
    assert short_bus_id('00000000:C1:00.0') == short_bus_id('0000:c1:00.0') == '0000:c1:00.0'
    assert short_bus_id(None) is None


@pytest.mark.gpu
@needs_gpu
def test_the_sources_agree_on_a_real_gpu():
    gpus, _ = find_gpus()
    assert gpus
    assert all(gpu.sm_count and gpu.compute_capability and gpu.memory_bytes for gpu in gpus)
    by_source = {}
    for probe in (nvml_gpus, cuda_gpus, smi_gpus):
        try:
            by_source[probe.__name__] = {(g.bus_id, g.compute_capability) for g in probe()}
        except ProbeFailed:
            continue
    assert by_source['cuda_gpus'] == {(gpu.bus_id, gpu.compute_capability) for gpu in gpus}
    assert len({frozenset(found) for found in by_source.values()}) == 1
    assert driver_version() == gpus[0].driver or gpus[0].driver is None
