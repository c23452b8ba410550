"""The Python libraries that this package imports: whether they are there, and what to install.

Looks at them without any of them, so that it works where the installation is broken.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from trt_perception.runtime.obstacles import is_installed

REQUIRED = {
    'cv2': 'opencv-python-headless>=4.7',
    'msgspec': 'msgspec>=0.18',
    'numpy': 'numpy>=1.23.2',
    'onnx': 'onnx>=1.16',
    'PIL': 'pillow>=10.1',
    'psutil': 'psutil>=5.9',
    'tqdm': 'tqdm>=4.60',
    'yaml': 'pyyaml>=6',
}
"""Modules that every installation needs, and what pip is told to get them."""

OPTIONAL = {
    'faster_coco_eval': ('evaluate', 'train'),
    'onnxslim': ('export',),
    'prometheus_client': ('monitoring',),
    'pynvml': ('monitoring',),
    'ray': ('ray',),
    'rosbags': ('bags', 'ray'),
    'scipy': ('tracking',),
    'torch': ('export', 'train'),
}
"""Modules that some commands need, and the extras of this package that bring them.

onnxruntime and the libraries of a GPU are not among them: the backends say what they lack.
"""


@dataclass(frozen=True)
class Library:
    """A required module.

    Attributes:
        version: what is installed; '' where that is not known.
        problem: why it cannot be imported, with the remedy; '' if it can.
    """

    module: str
    version: str
    problem: str


@dataclass(frozen=True)
class Extra:
    """An optional module that is not installed, and the extras that bring it."""

    module: str
    extras: tuple[str, ...]


def required_libraries() -> tuple[Library, ...]:
    """Every module of `REQUIRED`, imported: one that is there may be broken all the same."""
    return tuple(_look_at(module, wanted) for module, wanted in REQUIRED.items())


def missing_extras() -> tuple[Extra, ...]:
    """The modules of `OPTIONAL` that are not installed; they are not imported."""
    return tuple(
        Extra(module, extras) for module, extras in OPTIONAL.items() if not is_installed(module)
    )


def _look_at(module: str, wanted: str) -> Library:
    remedy = f'python3 -m pip install "{wanted}"'
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or module) == module:
            return Library(module, '', f'{module} is not installed: {remedy}')
        return Library(module, '', f'{module} needs {error.name}, which is not installed')
    except Exception as error:  # a broken library may raise anything
        again = remedy.replace('install', 'install --force-reinstall')
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Library(module, '', f'{module} is installed, but does not start: {said}: {again}')
    return Library(module, str(getattr(imported, '__version__', '')), '')
