"""The launch file for several cameras: its arguments, and how these reach the nodes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trt_perception.errors import ParameterError
from trt_perception.model_store import PACKAGE
from trt_perception.nodes.abandoned_memory import remove_abandoned_segments
from trt_perception.nodes.launching import (
    ARGUMENTS,
    CAMERA,
    DETECT,
    SEGMENT,
    Argument,
    parameters_for,
    respawn,
)
from trt_perception.nodes.transport import choose_transport

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

_AS_ELSEWHERE = (
    *('image_transport', 'reliability', 'model', 'params_file', 'namespace'),
    *('backend', 'precision', 'fallback_precision'),
    *('respawn', 'log_level', 'use_sim_time'),
)

CAMERAS_ARGUMENTS: Mapping[str, Argument] = {
    'cameras': Argument(
        'Names of the cameras, with commas. The images of each are looked for on <camera>/image',
        'front,left,right,rear',
    ),
    'camera_topics': Argument(
        'Topics of the images of the cameras where they are others, in their order, with commas'
    ),
    'node': Argument('Which node looks at the images', DETECT, (DETECT, SEGMENT)),
    'source': Argument(
        'Empty where cameras publish. Else a camera node is started for each, which shows this: '
        'synthetic (a street of its own for each), a folder, a video, a bag'
    ),
    'max_age': Argument(
        'Seconds by their stamp after which images are dropped before any work. Empty: what the '
        'parameter files say'
    ),
    **{name: ARGUMENTS[name] for name in _AS_ELSEWHERE},
}
"""Every argument, in the order in which they are listed."""


def launch_cameras() -> LaunchDescription:
    """A launch description with one node for several cameras, and camera nodes if asked for."""
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    declared = [
        DeclareLaunchArgument(
            name,
            default_value=argument.default,
            description=argument.description,
            choices=argument.choices,
        )
        for name, argument in CAMERAS_ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    from launch.actions import LogInfo, SetEnvironmentVariable
    from launch_ros.actions import Node

    given = {name: context.launch_configurations[name] for name in CAMERAS_ARGUMENTS}
    nodes = nodes_of(given)
    remove_abandoned_segments()
    # Cameras that are there already, and whoever looks at the results, share the memory too.
    processes = len(camera_names(given['cameras'])) + 2
    transport = choose_transport(os.environ, processes)
    actions: list[LaunchDescriptionEntity] = [LogInfo(msg=transport.reason)]
    actions += [SetEnvironmentVariable(*pair) for pair in transport.variables.items()]
    for arguments in nodes:
        actions.append(
            Node(
                package=PACKAGE,
                output='screen',
                ros_arguments=['--log-level', given['log_level']],
                **respawn(given),
                **arguments,
            )
        )
    return actions


def nodes_of(given: Mapping[str, str]) -> list[dict[str, Any]]:
    """What to start: for each node the arguments of launch_ros.

    Raises:
        ParameterError: no camera is named, `camera_topics` does not fit them, `max_age` is no
            number, or `params_file` no file.
    """
    names = camera_names(given['cameras'])
    files = {**given, 'source': ''}
    *own, values = parameters_for(given['node'], files, [given['node']])
    assert isinstance(values, dict)
    values = {**values, 'cameras': names, **_topics(given, names), **_max_age(given['max_age'])}
    nodes = [_node(given['node'], given['namespace'], [*own, values])]
    for number, name in enumerate(names if given['source'] else ()):
        # Streets of other numbers look different, and so do the cameras.
        street = f'synthetic:{number + 1}' if given['source'] == 'synthetic' else given['source']
        shown = parameters_for(CAMERA, {**given, 'source': street}, [CAMERA])
        namespace = f'{given["namespace"]}/{name}'.lstrip('/')
        if given['namespace'].startswith('/'):
            namespace = f'/{namespace}'
        nodes.append(_node(CAMERA, namespace, [*shown, {'frame_id': name}]))
    return nodes


def camera_names(text: str) -> list[str]:
    """The names between the commas.

    Raises:
        ParameterError: there is none, or one is there twice.
    """
    names = [name.strip() for name in text.split(',') if name.strip()]
    if not names:
        raise ParameterError('cameras: names no camera; give some, such as cameras:=front,rear')
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParameterError(
            f'cameras: {", ".join(twice)} is there more than once. Every camera has one name'
        )
    return names


def _node(executable: str, namespace: str, parameters: list[Any]) -> dict[str, Any]:
    return {
        'executable': executable,
        'name': executable,
        'namespace': namespace,
        'parameters': parameters,
    }


def _topics(given: Mapping[str, str], names: Sequence[str]) -> dict[str, list[str]]:
    topics = [topic.strip() for topic in given['camera_topics'].split(',') if topic.strip()]
    if not topics:
        return {}
    if given['source']:
        raise ParameterError(
            'camera_topics: with `source` cameras are started, and these publish <camera>/image. '
            'Leave one of the two out'
        )
    if len(topics) != len(names):
        raise ParameterError(
            f'camera_topics names {len(topics)} topics, and cameras {len(names)} cameras: give one '
            'for each, in the same order'
        )
    return {'camera_topics': topics}


def _max_age(text: str) -> dict[str, float]:
    if not text:
        return {}
    try:
        return {'max_age': float(text)}
    except ValueError as error:
        raise ParameterError(f'max_age: {text!r} is no number of seconds') from error
