"""Writes the tables of topics and parameters from the nodes themselves.

    python tools/readme_tables.py          # rewrite the tables
    python tools/readme_tables.py --check  # exit 1 and say so if they are out of date

README.md has the topics, and each parameter once; docs/parameters.md has all parameters of each
node with what is allowed. Parameters come from the structs that the nodes declare them from.
Topics come from nodes that are started for this; what each topic is for is said here, and a topic
that is not described here, or is described and does not exist, is an error.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from parameter_tables import parameter_tables, short_parameter_tables

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')

ROOT = Path(__file__).resolve().parent.parent
README, REFERENCE = ROOT / 'README.md', ROOT / 'docs' / 'parameters.md'
BEGIN, END = '<!-- {}: written by tools/readme_tables.py -->', '<!-- end of {} -->'
OF_RCLPY = ('/rosout', '/parameter_events', '/transition_event')

TOPICS: dict[str, dict[str, str]] = {
    'every node': {
        '~/stats': 'counters and latencies, once a second',
        '/diagnostics': 'state, rates, drops by cause and the latest error, once a second',
        '~/enable': 'pauses and resumes without unloading anything',
    },
    'camera_node': {
        'image': 'the images',
        'image/compressed': 'the same as JPEG, made while somebody subscribes',
        'camera_info': 'the pinhole model, with the stamp of its image',
    },
    'detect_node': {
        'image': 'images to look at; with `image_transport:=compressed` `image/compressed`',
        '~/detections': 'one array per image, empty when nothing is found; oriented boxes have '
        'their angle in `bbox.center.theta`, from x towards y',
        '~/embeddings': 'what the detections look like, where something computes it',
        '~/vision_info': 'what runs: family, backend, precision',
        '~/label_info': 'class names by index',
    },
    'detect_node, pose or face model, besides': {
        '~/key_points': 'the points of each detection, in the same order, with names and skeleton',
    },
    'classify_node, classification model': {
        'image': 'images to look at; with `image_transport:=compressed` `image/compressed`',
        '~/classification': 'the classes of the whole image, the most likely first',
        '~/vision_info': 'what runs: family, backend, precision',
        '~/label_info': 'class names by index',
    },
    'classify_node, embedding model': {
        'image': 'images to look at; with `image_transport:=compressed` `image/compressed`',
        '~/embeddings': 'what the whole image looks like, one vector of length 1',
        '~/vision_info': 'what runs: family, backend, precision',
        '~/label_info': 'empty: an embedding has no classes',
    },
    'segment_node, semantic model': {
        'image': 'images to look at; with `image_transport:=compressed` `image/compressed`',
        '~/mask': 'mono8: class ids at the size of the image, 255 unlabelled',
        '~/color_mask': 'rgb8: the same in colours, made while somebody subscribes',
        '~/label_info': 'class names by id',
    },
    'segment_node, instance model': {
        'image': 'images to look at; with `image_transport:=compressed` `image/compressed`',
        '~/detections': 'one array per image, empty when nothing is found',
        '~/mask': 'mono16: value i belongs to detections[i-1], 0 to none',
        '~/vision_info': 'what runs: family, backend, precision',
        '~/label_info': 'class names by index',
    },
    'overlay_node': {
        'image': 'images to draw on',
        'detections': 'objects to draw as boxes',
        'instances': 'objects to which `instance_mask` belongs',
        'instance_mask': 'mono16 mask of `instances`, or of `detections` where those are missing',
        'mask': 'semantic mask, or an instance mask',
        'key_points': 'key points of `detections`, drawn with their skeleton',
        'classification': 'what the image shows as a whole, drawn as a caption',
        'label_info': 'class names of `mask`',
        'detections_label_info': 'class names of `detections`, if these hold indices',
        'instances_label_info': 'class names of `instances`, if these hold indices',
        'classification_label_info': 'class names of `classification`, if it holds indices',
        '~/overlay': 'the picture, made while somebody subscribes; inputs are read only then',
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='change nothing')
    arguments = parser.parse_args()
    tables = {
        README: {'topics': topic_tables(), 'parameters': short_parameter_tables()},
        REFERENCE: {'parameters': parameter_tables()},
    }
    outdated = 0
    for path, parts in tables.items():
        before = after = path.read_text(encoding='utf-8')
        for name, table in parts.items():
            after = replaced(after, name, table)
        if before == after:
            continue
        outdated += 1
        if arguments.check:
            print(f'{path.name}: tables are out of date; run python tools/readme_tables.py')
        else:
            path.write_text(after, encoding='utf-8')
    return 1 if outdated and arguments.check else 0


def replaced(text: str, name: str, table: str) -> str:
    """`text` with what stands between the two marks of `name` exchanged."""
    begin, end = BEGIN.format(name), END.format(name)
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    return f'{head}{begin}\n\n{table}\n\n{end}{tail}'


def topic_tables() -> str:
    """The topics and services of each node, as they exist."""
    rclpy: Any = import_module('rclpy')  # without types
    from trt_perception.nodes.camera_node import CameraNode
    from trt_perception.nodes.classify_node import ClassifyNode
    from trt_perception.nodes.detect_node import DetectNode
    from trt_perception.nodes.overlay_node import OverlayNode
    from trt_perception.nodes.segment_node import SegmentNode

    rclpy.init(args=[])
    folder = tempfile.TemporaryDirectory()
    models = small_models(Path(folder.name))
    makers: dict[str, Callable[[], Any]] = {
        'camera_node': CameraNode,
        'detect_node': DetectNode,
        'detect_node, pose or face model, besides': lambda: DetectNode(
            **overriding(model=models['pose'])
        ),
        'classify_node, classification model': lambda: ClassifyNode(
            **overriding(model=models['classify'])
        ),
        'classify_node, embedding model': lambda: ClassifyNode(**overriding(model=models['embed'])),
        'segment_node, semantic model': lambda: SegmentNode(**overriding(model='street_semantic')),
        'segment_node, instance model': lambda: SegmentNode(**overriding(model='street_instance')),
        'overlay_node': OverlayNode,
    }
    parts = []
    common: list[tuple[str, str, str, str]] = []
    for title, make in makers.items():
        rows = list(live_topics(make))
        common = [row for row in rows if row[1] in TOPICS['every node']]
        own = [row for row in rows if row[1] not in TOPICS['every node']]
        if title.endswith('besides'):
            own = [row for row in own if row[1] not in TOPICS['detect_node']]
        parts += [f'**{title}**', topic_table(title, own)]
    rclpy.shutdown()
    folder.cleanup()
    return '\n\n'.join(['**every node**', topic_table('every node', common), *parts])


def small_models(folder: Path) -> dict[str, str]:
    """Networks that see nothing, one for each task that no model of the package has."""
    onnx: Any = import_module('onnx')
    numpy: Any = import_module('numpy')
    make = onnx.helper
    person = {'names': "['person']", 'family': 'yolov8', 'kpt_shape': '[1, 3]'}
    kinds: dict[str, tuple[list[int], dict[str, str]]] = {
        'pose': ([1, 8, 21], person),
        'classify': ([1, 2], {'names': "['cat', 'dog']", 'family': 'classify'}),
        'embed': ([1, 64], {'family': 'arcface'}),
    }

    def last(task: str) -> Any:
        """The decoders look at the last operator: probabilities are no embedding."""
        kind = 'Sigmoid' if task == 'classify' else 'Relu'
        return make.make_node(kind, ['wide'], ['output0'], 'last')

    for task, (shape, metadata) in kinds.items():
        nodes = [
            make.make_node('ReduceMean', ['images'], ['mean'], 'mean', keepdims=0),
            make.make_node('Expand', ['mean', 'shape'], ['wide'], 'wide'),
            last(task),
        ]
        images, output = (
            make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, extents)
            for name, extents in (('images', [1, 3, 32, 32]), ('output0', shape))
        )
        constant = onnx.numpy_helper.from_array(numpy.array(shape, 'int64'), 'shape')
        graph = make.make_graph(nodes, task, [images], [output], [constant])
        opset = make.make_opsetid('', 17)
        model = make.make_model(graph, opset_imports=[opset], ir_version=8)
        make.set_model_props(model, {'task': task, 'mean': '0', 'scale': '1', **metadata})
        onnx.save(model, str(folder / f'{task}.onnx'))
    return {task: str(folder / f'{task}.onnx') for task in kinds}


def overriding(**values: Any) -> dict[str, Any]:
    make = import_module('rclpy.parameter').Parameter
    return {'parameter_overrides': [make(name, value=value) for name, value in values.items()]}


def live_topics(make: Callable[[], Any]) -> Iterator[tuple[str, str, str, str]]:
    """(direction, name, type, quality of service) of all that a node has once it is active."""
    node = make()
    watcher: Any = import_module('rclpy').create_node('watcher')
    try:
        node.trigger_configure()
        node.trigger_activate()
        if node.get_name() == 'overlay_node':
            watch_overlay(node, watcher)
        for subscription in node.subscriptions:
            yield row_of('in', node, subscription.topic, subscription)
        for publisher in node.publishers:
            yield row_of('out', node, publisher.topic, publisher)
        yield 'service', '~/enable', 'std_srvs/SetBool', ''
    finally:
        node.close()
        watcher.destroy_node()


def watch_overlay(node: Any, watcher: Any) -> None:
    """Subscribe to the picture and wait until the node reads its inputs."""
    rclpy: Any = import_module('rclpy')
    kind = import_module('sensor_msgs.msg').Image
    watcher.create_subscription(kind, '/overlay_node/overlay', lambda _: None, 1)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
        if sum(not s.topic.endswith(OF_RCLPY) for s in node.subscriptions) > 1:
            return
    raise SystemExit('overlay_node does not subscribe to its inputs')


def row_of(direction: str, node: Any, topic: str, entity: Any) -> tuple[str, str, str, str]:
    kind = entity.msg_type
    name = topic.replace(f'/{node.get_name()}/', '~/')
    if name.count('/') and not name.startswith(('~', '/diagnostics')):
        name = name.lstrip('/')
    type_name = f'{kind.__module__.split(".")[0]}/{kind.__name__}'
    latched = 'TRANSIENT_LOCAL' in str(entity.qos_profile.durability.name)
    return direction, name, type_name, 'latched' if latched else ''


def topic_table(title: str, rows: list[tuple[str, str, str, str]]) -> str:
    described = TOPICS[title]
    rows = [row for row in dict.fromkeys(rows) if not f'/{row[1]}'.endswith(OF_RCLPY)]
    found = {name for _, name, _, _ in rows}
    if found != set(described):
        raise SystemExit(
            f'tools/readme_tables.py, {title}: not described: {sorted(found - set(described))}; '
            f'described, but not there: {sorted(set(described) - found)}'
        )
    order = list(described)
    lines = ['| | name | type | |', '|---|---|---|---|']
    for direction, name, kind, quality in sorted(rows, key=lambda row: order.index(row[1])):
        text = f'{described[name]} ({quality})' if quality else described[name]
        lines.append(f'| {direction} | `{name}` | {kind} | {text} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
