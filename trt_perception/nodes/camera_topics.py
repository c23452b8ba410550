"""The topics of a node's cameras: what their images come on, and what their results begin with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_topic_name import validate_topic_name

from trt_perception.errors import ParameterError
from trt_perception.nodes.inference_parameters import InferenceParameters

_NAME = re.compile(r'[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*')


def private_prefix(name: str) -> str:
    """What the topics of a camera begin with; '' is the name of the only one."""
    return f'~/{name}/' if name else '~/'


def image_topics(parameters: InferenceParameters) -> dict[str, str]:
    """The topic of the raw images of each camera, before remapping.

    Returns:
        By name, in the order of the parameter; {'': 'image'} for the node with one camera.

    Raises:
        ParameterError: a name that cannot be part of a topic, a camera given twice, or topics
            that do not fit the names.
    """
    names, topics = parameters.cameras, parameters.camera_topics
    if not names:
        if topics:
            raise ParameterError(
                f'camera_topics names {len(topics)} topics, but cameras is empty. Name a camera '
                'for each, or remap `image` for a single one'
            )
        return {'': 'image'}
    for name in names:
        if not _NAME.fullmatch(name):
            raise ParameterError(
                f'cameras: {name!r} cannot be part of a topic. Allowed: letters, digits and '
                'single underscores, beginning with a letter'
            )
    _refuse_repetition('cameras', names)
    if not topics:
        return {name: f'{name}/image' for name in names}
    if len(topics) != len(names):
        raise ParameterError(
            f'camera_topics has {len(topics)} entries and cameras {len(names)}: '
            'give one topic for each camera in the same order, or none for <camera>/image'
        )
    _refuse_repetition('camera_topics', topics)
    return dict(zip(names, topics, strict=True))


def check_heard_once(node: Node, topics: Mapping[str, str]) -> None:
    """Refuse what is no topic, and one topic for two cameras.

    Args:
        node: by whose remapping the topics are called.
        topics: as of `image_topics`.

    Raises:
        ParameterError: see above.
    """
    heard: dict[str, str] = {}
    for name, topic in topics.items():
        try:
            validate_topic_name(topic)
            full = node.resolve_topic_name(topic)
        except (InvalidTopicNameException, RuntimeError) as error:
            why = str(error).partition(', at ')[0]  # rcl adds the line in its source
            raise ParameterError(
                f'camera_topics: {topic!r} is no name of a topic: {why}'
            ) from error
        if full in heard:
            raise ParameterError(
                f'cameras {heard[full]} and {name} both read {full}. Every camera has a topic '
                'of its own: correct camera_topics or the remapping'
            )
        heard[full] = name


def _refuse_repetition(parameter: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(
            f'{parameter}: {", ".join(twice)} is there more than once. Every camera has one '
            'name and one topic'
        )
