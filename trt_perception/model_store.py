"""Where the package's models lie, and how a name becomes a file."""

from __future__ import annotations

import difflib
import os
import sysconfig
from pathlib import Path

from trt_perception.errors import ModelSpecError

PACKAGE = 'trt_perception'
OVERRIDE = 'TRT_PERCEPTION_MODELS'
"""Environment variable that names another folder of model YAML files."""


def config_dirs() -> list[Path]:
    """Where the package's `config` folder may lie, whether it exists or not, nearest first.

    The source tree, an installed ROS package on `AMENT_PREFIX_PATH`, the data folder of a pip
    installation.
    """
    root = Path(__file__).resolve().parent.parent
    # Only a source tree has package.xml there; site-packages may hold a stranger's `config`.
    folders = [root / 'config'] if (root / 'package.xml').is_file() else []
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    bases = [*filter(None, prefixes), sysconfig.get_path('data')]
    return folders + [Path(base) / 'share' / PACKAGE / 'config' for base in bases]


def models_dir() -> Path:
    """The folder of model YAML files.

    The environment variable `TRT_PERCEPTION_MODELS`, else `models` in one of `config_dirs`.

    Raises:
        ModelSpecError: the former is no folder, or none of the latter exists.
    """
    override = os.environ.get(OVERRIDE)
    if override:
        if not Path(override).is_dir():
            raise ModelSpecError(
                f'{OVERRIDE} is {override!r}, which is no folder. Correct or unset it'
            )
        return Path(override)
    candidates = [folder / 'models' for folder in config_dirs()]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = ', '.join(str(folder) for folder in candidates)
    raise ModelSpecError(
        f'no folder with model files found (looked in {looked}). Set {OVERRIDE}, '
        'or source the workspace in which the package is installed'
    )


def list_models() -> list[Path]:
    """The YAML files in `models_dir()`, sorted by name."""
    return sorted(models_dir().glob('*.yaml'))


def find_model(model: str | Path) -> Path:
    """The file that describes a model.

    Args:
        model: a name in `models_dir()` such as 'street_detect', or the path of a YAML file, or
            of an ONNX file that says everything itself.

    Raises:
        ModelSpecError: there is none of that name or at that path.
    """
    if not str(model):
        raise ModelSpecError(
            'no model is named: set the parameter `model` (model:= of the launch files) to the '
            'path of a model .yaml or .onnx file, or to a name in config/models'
        )
    path = Path(model).expanduser()
    if path.suffix in ('.yaml', '.yml', '.onnx'):
        if path.is_file():
            return path
        raise ModelSpecError(f'{path}: no such model file. Check the parameter `model`')
    known = {file.stem: file for file in list_models()}
    if str(model) in known:
        return known[str(model)]
    if path.exists():
        raise ModelSpecError(
            f'{path}: is not a model file. Those end in .yaml (or .yml), which describes a model, '
            'or in .onnx'
        )
    near = difflib.get_close_matches(str(model), list(known), 1)
    hint = f' (did you mean {near[0]!r}?)' if near else ''
    raise ModelSpecError(
        f'no model {str(model)!r}{hint} in {models_dir()}. '
        f'There are: {", ".join(known) or "none"}. A path to a .yaml or .onnx file works too'
    )
