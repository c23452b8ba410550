"""Installs the package outside ROS 2: the core and the command line, no nodes.

A ROS 2 build does not use this file: under ament_cmake, CMakeLists.txt
installs the modules beside the generated messages. This one is for
`pip install .`, to run the same pipeline on files where there is no ROS.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def package_xml(tag: str) -> str:
    """Gives the text of an element of package.xml, its lines joined."""
    element = ElementTree.parse(ROOT / 'package.xml').find(tag)
    if element is None or element.text is None:
        raise SystemExit(f'package.xml has no <{tag}>')
    return ' '.join(element.text.split())


def config_files() -> list[tuple[str, list[str]]]:
    """Gives config/ as data files, at the place that a ROS 2 build uses too."""
    files: dict[str, list[str]] = {}
    for path in sorted((ROOT / 'config').rglob('*')):
        if path.is_file():
            relative = path.relative_to(ROOT)
            folder = f'share/trt_perception/{relative.parent.as_posix()}'
            files.setdefault(folder, []).append(str(relative))
    return list(files.items())


setup(
    name=package_xml('name'),
    version=package_xml('version'),
    description=package_xml('description'),
    license=package_xml('license'),
    python_requires='>=3.10',
    packages=find_packages(include=['trt_perception', 'trt_perception.*']),
    package_data={'trt_perception': ['py.typed', 'kernels/*.cu', 'kernels/*.cuh']},
    data_files=config_files(),
    install_requires=[
        'msgspec>=0.18',
        'numpy>=1.23.2',
        'onnx>=1.16',
        'opencv-python-headless>=4.7',
        'pillow>=10.1',
        'psutil>=5.9',
        'pyyaml>=6',
        'tqdm>=4.60',
    ],
    extras_require={
        'onnxruntime': ['onnxruntime>=1.17'],
        'gpu': ['cuda-bindings>=12', 'pycuda>=2024.1'],
        'nvrtc': ['cuda-bindings>=12', 'nvidia-cuda-nvrtc>=13'],
        'bags': ['rosbags>=0.11', 'rosbags-image>=0.10'],
        'evaluate': ['faster-coco-eval>=1.6'],
        'ray': ['ray>=2.9', 'rosbags>=0.11'],
        'tracking': ['scipy>=1.8'],
        'monitoring': ['nvidia-ml-py>=12.535', 'prometheus-client>=0.19'],
        'export': ['onnxruntime>=1.17', 'onnxslim>=0.1.50', 'torch>=2.2'],
        'train': ['faster-coco-eval>=1.6', 'torch>=2.2'],
    },
    entry_points={'console_scripts': ['trt_perception = trt_perception.cli.main:main']},
)
