"""`trt_perception models`: which models there are."""

from __future__ import annotations

import argparse


def describe() -> str:
    """One line for the help text."""
    return 'List the models that detect and the nodes know by name.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None so far."""


def run(arguments: argparse.Namespace) -> int:
    """Print a table; a model whose files are wrong is listed with what is wrong."""
    from trt_perception.cli.tables import aligned
    from trt_perception.errors import PerceptionError
    from trt_perception.model_spec import load_model_spec
    from trt_perception.model_store import list_models, models_dir

    rows = [('model', 'task', 'input', 'classes')]
    broken = []
    for path in list_models():
        try:
            spec = load_model_spec(path)
        except PerceptionError as error:
            broken.append(f'{path.stem}: {error}')
            continue
        width, height = spec.input.size
        names = ', '.join(spec.class_names[:16])
        more = len(spec.classes) - 16
        rows.append(
            (
                path.stem,
                spec.task,
                f'{width}x{height}',
                f'{len(spec.classes)}: {names}' + (f' and {more} more' if more > 0 else ''),
            )
        )
    print(f'{len(rows) - 1} models in {models_dir()}')
    if len(rows) > 1:
        print(aligned(rows, '<<<<'))
    for line in broken:
        print(f'cannot be used: {line}')
    return 0
