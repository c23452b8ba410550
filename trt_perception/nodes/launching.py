"""What the launch files have in common: their arguments, and how these reach the nodes.

`launch` and `launch_ros` are imported where they are used, since an environment without them
can still run the nodes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trt_perception.errors import ParameterError
from trt_perception.model_store import PACKAGE, config_dirs
from trt_perception.nodes.abandoned_memory import remove_abandoned_segments
from trt_perception.nodes.transport import choose_transport

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

CAMERA, DETECT, SEGMENT, OVERLAY = 'camera_node', 'detect_node', 'segment_node', 'overlay_node'
CLASSIFY = 'classify_node'


@dataclass(frozen=True)
class Argument:
    """A launch argument."""

    description: str
    default: str = ''
    choices: tuple[str, ...] | None = None


_EMPTY = '. Empty: what the parameter files say'

ARGUMENTS: Mapping[str, Argument] = {
    'source': Argument(
        'What the camera shows: synthetic, an image, a folder, a video, a device such as '
        f'/dev/video0, or a bag{_EMPTY}'
    ),
    'image': Argument(
        'Topic of the camera images (sensor_msgs/Image); JPEG images are looked for beside it, '
        'under /compressed',
        'image',
    ),
    'image_transport': Argument(
        'Which images are read: raw those of `image`, compressed those of `image`/compressed'
        f'{_EMPTY}',
        choices=('', 'raw', 'compressed'),
    ),
    'reliability': Argument(
        'What is asked of whoever publishes the images: best_effort for drivers that offer no '
        f'more{_EMPTY}',
        choices=('', 'reliable', 'best_effort'),
    ),
    'detections': Argument(
        'Topic of the detections; empty is detections under the name of the node. Nodes of Isaac '
        'ROS read detections_output'
    ),
    'model': Argument(
        f'Model: a name in config/models, or the path of a model YAML or ONNX file{_EMPTY}'
    ),
    'segment_model': Argument('Model of the segmentation node, like the argument model'),
    'params_file': Argument(
        'YAML file with parameters, keyed by node name; they go before those installed in config/'
    ),
    'namespace': Argument('Namespace of the nodes and of all relative topics'),
    'backend': Argument(f'What runs the networks: auto takes the best that is present{_EMPTY}'),
    'precision': Argument(
        'Number format of the networks: fp32, fp16 or int8. TensorRT builds its engines at the '
        f'first start{_EMPTY}'
    ),
    'fallback_precision': Argument(
        'Last precision to fall back to where an engine is not accurate enough: fp16, fp32 or '
        f'none{_EMPTY}'
    ),
    'overlay': Argument(
        'Whether to start the overlay node, which draws the results', 'true', ('true', 'false')
    ),
    'respawn': Argument(
        'Whether a node whose process ends is started again; it then resumes by itself, unless '
        'its parameter autostart is false',
        'true',
        ('true', 'false'),
    ),
    'log_level': Argument(
        'Least severity of log lines', 'info', ('debug', 'info', 'warn', 'error', 'fatal')
    ),
    'use_sim_time': Argument(
        'Whether time comes from the topic /clock', 'false', ('true', 'false')
    ),
}
"""Every argument of the launch files, in the order in which they are listed."""

_STREET_MODELS = ('street_detect', 'street_instance', 'street_semantic')
"""Models whose colours the overlay knows besides those of the arguments."""

_IMAGES = {name: name for name in ('image_transport', 'reliability')}
_ENGINE = {name: name for name in ('backend', 'precision', 'fallback_precision')}

_TAKEN_BY: Mapping[str, Mapping[str, str]] = {
    CAMERA: {'source': 'source'},
    DETECT: {'model': 'model', **_IMAGES, **_ENGINE},
    SEGMENT: {'model': 'model', **_IMAGES, **_ENGINE},
    CLASSIFY: {'model': 'model', **_IMAGES, **_ENGINE},
    OVERLAY: _IMAGES,
}
"""Which parameter an argument sets in which node."""


RESPAWN_DELAY_S = 0.0
"""Seconds before a node that ended is started again. One that keeps dying waits by itself, longer
each time: see `start_note.py`."""


def respawn(given: Mapping[str, str]) -> dict[str, Any]:
    """Whether and when launch_ros starts a node again."""
    return {'respawn': given['respawn'] == 'true', 'respawn_delay': RESPAWN_DELAY_S}


def arguments_of(nodes: Sequence[str]) -> list[str]:
    """Names of the arguments of a launch file that starts `nodes`."""
    left_out = set()
    if CAMERA not in nodes:
        left_out.add('source')
    if not {DETECT, SEGMENT} <= set(nodes):
        left_out.add('segment_model')
    if not {DETECT, SEGMENT} & set(nodes):
        left_out.add('detections')
    return [name for name in ARGUMENTS if name not in left_out]


def launch_nodes(*nodes: str, overlay: bool) -> LaunchDescription:
    """A launch description that starts `nodes`, and the overlay node where asked for.

    Args:
        nodes: some of `CAMERA`, `DETECT`, `SEGMENT`, `CLASSIFY`.
        overlay: default of the argument of this name.
    """
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    defaults = {'overlay': str(overlay).lower()}
    declared = [
        DeclareLaunchArgument(
            name,
            default_value=defaults.get(name, argument.default),
            description=argument.description,
            choices=argument.choices,
        )
        for name, argument in ARGUMENTS.items()
        if name in arguments_of(nodes)
    ]
    start = OpaqueFunction(function=lambda context: _start(context, nodes))
    return LaunchDescription([*declared, start])


def _start(context: LaunchContext, nodes: Sequence[str]) -> list[LaunchDescriptionEntity]:
    from launch.actions import LogInfo, SetEnvironmentVariable
    from launch_ros.actions import Node

    given = {name: context.launch_configurations[name] for name in arguments_of(nodes)}
    started = [*nodes, OVERLAY] if given['overlay'] == 'true' else list(nodes)
    remove_abandoned_segments()
    # One more for whoever publishes or looks at the images.
    transport = choose_transport(os.environ, len(started) + 1)
    actions: list[LaunchDescriptionEntity] = [LogInfo(msg=transport.reason)]
    actions += [SetEnvironmentVariable(*pair) for pair in transport.variables.items()]
    for node in started:
        actions.append(
            Node(
                package=PACKAGE,
                executable=node,
                name=node,
                namespace=given['namespace'],
                output='screen',
                parameters=parameters_for(node, given, started),
                remappings=remappings_for(
                    node, given['image'], started, given.get('detections', '')
                ),
                ros_arguments=['--log-level', given['log_level']],
                **respawn(given),
            )
        )
    return actions


def parameters_for(
    node: str, given: Mapping[str, str], started: Sequence[str]
) -> list[str | dict[str, Any]]:
    """Parameter files and values of one node; later ones go before earlier ones.

    Raises:
        ParameterError: `params_file` is not a file, of which ROS 2 launch would only warn.
    """
    files = [d / f'{node.removesuffix("_node")}.yaml' for d in config_dirs()]
    parameters: list[str | dict[str, Any]] = [str(f) for f in files if f.is_file()][:1]
    if given['params_file']:
        file = Path(given['params_file']).expanduser()
        if not file.is_file():
            raise ParameterError(
                f'params_file: {file} is not a file; name a YAML file with parameters, or leave '
                'the argument out'
            )
        parameters.append(str(file))
    taken = dict(_TAKEN_BY[node])
    if node == SEGMENT and DETECT in started:
        taken['segment_model'] = taken.pop('model')
    values: dict[str, Any] = {
        taken[name]: text for name, text in given.items() if text and name in taken
    }
    models = [given[name] for name in ('model', 'segment_model') if given.get(name)]
    if node == OVERLAY and models:
        values['models'] = [*models, *_STREET_MODELS]
    return [*parameters, {**values, 'use_sim_time': given['use_sim_time'] == 'true'}]


def remappings_for(
    node: str, image: str, started: Sequence[str], detections: str = ''
) -> list[tuple[str, str]]:
    """Which topics one node finds under which names.

    Args:
        node: the node.
        image: topic of the camera images.
        started: all nodes that are started.
        detections: topic of the objects that are drawn as boxes; '' keeps its usual name.
    """
    remappings = [(f'image{ending}', f'{image}{ending}') for ending in ('', '/compressed')]
    if node == CAMERA:
        parent = image.rpartition('/')[0]
        return [*remappings, ('camera_info', f'{parent}/camera_info' if parent else 'camera_info')]
    objects = DETECT if DETECT in started else SEGMENT
    if node == objects and detections:
        remappings.append(('~/detections', detections))
    if node != OVERLAY:
        return remappings
    if CLASSIFY in started:
        remappings += [
            ('classification', f'{CLASSIFY}/classification'),
            ('classification_label_info', f'{CLASSIFY}/label_info'),
        ]
    if DETECT in started:
        # Those of a pose or face model; others publish none.
        remappings.append(('key_points', f'{DETECT}/key_points'))
    if objects in started:
        remappings += [
            ('detections', detections or f'{objects}/detections'),
            ('detections_label_info', f'{objects}/label_info'),
        ]
    if SEGMENT in started:
        remappings += [('mask', f'{SEGMENT}/mask'), ('label_info', f'{SEGMENT}/label_info')]
    if {DETECT, SEGMENT} <= set(started):
        # Those of an instance model; a semantic one publishes none.
        remappings += [
            ('instances', f'{SEGMENT}/detections'),
            ('instances_label_info', f'{SEGMENT}/label_info'),
        ]
    return remappings
