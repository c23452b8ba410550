"""Which node serves a model's task."""

from __future__ import annotations

from trt_perception.errors import ModelSpecError
from trt_perception.families import Task
from trt_perception.model_spec import ModelSpec

SERVED_BY: dict[Task, str] = {
    'detect': 'detect_node',
    'pose': 'detect_node',
    'oriented': 'detect_node',
    'face': 'detect_node',
    'instance': 'segment_node',
    'semantic': 'segment_node',
    'classify': 'classify_node',
    'embed': 'classify_node',
}
"""Objects, pixels, or the image as a whole: a node for each."""


def tasks_of(node: str) -> tuple[Task, ...]:
    """The tasks that a node serves."""
    return tuple(task for task, served_by in SERVED_BY.items() if served_by == node)


def check_task(spec: ModelSpec, tasks: tuple[Task, ...], node: str) -> None:
    """Refuse a model whose task another node serves.

    Args:
        spec: the model.
        tasks: those that the node serves.
        node: its name, which may have been remapped.

    Raises:
        ModelSpecError: its text names the node that serves the model.
    """
    if spec.task not in tasks:
        raise ModelSpecError(
            f'model {spec.name} is for the task {spec.task}, {node} does: {", ".join(tasks)}. '
            f'Set the parameter `model` to another one, or start {SERVED_BY[spec.task]}'
        )
