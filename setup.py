"""Installs the package outside ROS 2: the core and the command line, no nodes.

A ROS 2 build does not use this file: under ament_cmake, CMakeLists.txt
installs the modules beside the generated messages. This one is for
`pip install .`, to run the same pipeline on files where there is no ROS. What
is optional is in setup.cfg, which both read.
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
    entry_points={'console_scripts': ['trt_perception = trt_perception.cli.main:main']},
)
