"""The launch files: their arguments everywhere, and real runs where ROS 2 launch is installed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from trt_perception.errors import ParameterError
from trt_perception.nodes import launching, launching_cameras
from trt_perception.nodes.launching import ARGUMENTS, CAMERA, CLASSIFY, DETECT, OVERLAY, SEGMENT
from trt_perception.nodes.parameter_rows import parameter_rows
from trt_perception.nodes.parameter_table import NODES

ROOT = Path(__file__).resolve().parents[2]
OTHER = ROOT / 'launch' / 'multi_camera.launch.py'  # it has a test file of its own
FILES = sorted(set((ROOT / 'launch').glob('*.launch.py')) - {OTHER})
STARTED = {
    'detect': [DETECT],
    'segment': [SEGMENT],
    'classify': [CLASSIFY],
    'perception': [DETECT, SEGMENT],
    'demo': [CAMERA, DETECT, SEGMENT],
}
GIVEN = dict.fromkeys(ARGUMENTS, '') | {'image': 'image', 'use_sim_time': 'false'}


def called(file: Path) -> ast.Call:
    """The one call in a launch file's function."""
    tree = ast.parse(file.read_text())
    [function] = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert function.name == 'generate_launch_description'
    assert ast.unparse(function.returns) == 'LaunchDescription'
    [statement] = function.body
    assert isinstance(statement, ast.Return)
    assert isinstance(statement.value, ast.Call)
    return statement.value


def started_by(file: Path) -> list[str]:
    return [getattr(launching, name.id) for name in called(file).args]


def test_there_is_one_file_for_each_use():
    assert {file.name.split('.')[0]: started_by(file) for file in FILES} == STARTED


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_every_file_says_what_it_is_for(file: Path):
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize('name', ARGUMENTS)
def test_every_argument_is_described(name: str):
    assert len(ARGUMENTS[name].description) > 20
    choices = ARGUMENTS[name].choices
    assert choices is None or ARGUMENTS[name].default in choices


@pytest.mark.parametrize('nodes', STARTED.values(), ids=STARTED)
def test_arguments_are_few_and_fit_the_nodes(nodes: list[str]):
    names = set(launching.arguments_of(nodes))
    everywhere = {
        'image', 'model', 'params_file', 'namespace', 'backend', 'precision', 'overlay',
        'respawn', 'log_level', 'use_sim_time',
    }  # fmt: skip
    assert everywhere <= names
    assert ('source' in names) == (CAMERA in nodes)
    assert ('detections' in names) == (nodes != [CLASSIFY])
    assert ('segment_model' in names) == ({DETECT, SEGMENT} <= set(nodes))


@pytest.mark.parametrize('node', [CAMERA, DETECT, SEGMENT, CLASSIFY, OVERLAY])
def test_the_parameter_file_of_a_node_holds_its_parameters_and_defaults(node: str):
    [file, values] = launching.parameters_for(node, GIVEN, [node])
    assert values == {'use_sim_time': False}
    document = yaml.safe_load(Path(file).read_text())
    assert list(document) == [f'/**/{node}']
    rows = {row.name: row for row in parameter_rows(NODES[node])}
    for name, value in document[f'/**/{node}']['ros__parameters'].items():
        assert rows[name].convert(value) is not None, name


def test_arguments_go_before_the_users_file_and_that_before_ours(tmp_path):
    file = tmp_path / 'robot.yaml'
    file.write_text('')
    given = GIVEN | {'model': 'mine', 'params_file': str(file), 'use_sim_time': 'true'}
    ours, users, values = launching.parameters_for(DETECT, given, [DETECT])
    assert (Path(ours).name, users) == ('detect.yaml', str(file))
    assert values == {'model': 'mine', 'use_sim_time': True}


@pytest.mark.parametrize('name', ['none.yaml', ''], ids=['missing', 'a folder'])
def test_a_parameter_file_that_is_none_is_refused(tmp_path, name):
    """ROS 2 launch only warns, and the nodes would run with other parameters than asked for."""
    given = GIVEN | {'params_file': str(tmp_path / name)}
    with pytest.raises(ParameterError, match=f'params_file.*{tmp_path.name}.*not a file'):
        launching.parameters_for(DETECT, given, [DETECT])


FINDING = {name: nodes for name, nodes in STARTED.items() if nodes != [CLASSIFY]}
"""Those that find objects or pixels."""


@pytest.mark.parametrize('nodes', FINDING.values(), ids=FINDING)
def test_detections_can_have_the_name_that_other_packages_read(nodes: list[str]):
    """Isaac ROS reads `detections_output`."""
    started = [*nodes, OVERLAY]
    objects = DETECT if DETECT in nodes else SEGMENT
    named = {
        node: dict(launching.remappings_for(node, 'image', started, 'detections_output'))
        for node in started
    }
    assert named[objects]['~/detections'] == 'detections_output'
    assert named[OVERLAY]['detections'] == 'detections_output'
    assert [node for node in started if '~/detections' in named[node]] == [objects]
    unnamed = dict(launching.remappings_for(objects, 'image', started))
    assert '~/detections' not in unnamed


@pytest.mark.parametrize('wanted', ['true', 'false'])
def test_a_node_that_ends_is_started_again_if_asked_for(wanted: str):
    arguments = launching.respawn({'respawn': wanted})
    assert arguments['respawn'] is (wanted == 'true')
    assert arguments['respawn_delay'] == 0.0  # nodes that keep dying wait by themselves


def test_nodes_come_back_unless_the_user_says_no():
    assert ARGUMENTS['respawn'].default == 'true'
    assert launching_cameras.CAMERAS_ARGUMENTS['respawn'] is ARGUMENTS['respawn']


def test_each_network_gets_its_own_model():
    given = GIVEN | {'model': 'finder', 'segment_model': 'painter'}
    both = [DETECT, SEGMENT, OVERLAY]
    assert launching.parameters_for(DETECT, given, both)[-1]['model'] == 'finder'
    assert launching.parameters_for(SEGMENT, given, both)[-1]['model'] == 'painter'
    assert launching.parameters_for(OVERLAY, given, both)[-1]['models'][:2] == ['finder', 'painter']
    assert launching.parameters_for(SEGMENT, given, [SEGMENT])[-1]['model'] == 'finder'


@pytest.mark.parametrize('nodes', STARTED.values(), ids=STARTED)
def test_the_overlay_hears_the_nodes_that_run(nodes: list[str]):
    heard = dict(launching.remappings_for(OVERLAY, '/cam/image', [*nodes, OVERLAY]))
    assert heard['image'] == '/cam/image'
    assert heard['image/compressed'] == '/cam/image/compressed'
    assert ('detections' in heard) == (nodes != [CLASSIFY])
    assert ('classification' in heard) == (CLASSIFY in nodes)
    assert ('key_points' in heard) == (DETECT in nodes)
    assert ('mask' in heard) == (SEGMENT in nodes)
    for name, topic in heard.items():
        assert name.startswith('image') or topic.split('/')[0] in nodes


def test_camera_info_lies_beside_the_image():
    assert ('camera_info', '/cam/camera_info') in launching.remappings_for(CAMERA, '/cam/raw', [])
    assert ('camera_info', 'camera_info') in launching.remappings_for(CAMERA, 'image', [])


def test_rviz_shows_the_topics_of_perception_launch():
    shown = yaml.safe_load((ROOT / 'config' / 'perception.rviz').read_text())
    displays = shown['Visualization Manager']['Displays']
    assert [d['Name'] for d in displays] == ['Camera', 'Overlay', 'Color mask']
    assert [d['Topic']['Value'] for d in displays] == [
        '/image', f'/{OVERLAY}/overlay', f'/{SEGMENT}/color_mask',
    ]  # fmt: skip
    assert {d['Class'] for d in displays} == {'rviz_default_plugins/Image'}


class Launched:
    """`ros2 launch` of one file in a process of its own."""

    def __init__(self, graph, tmp_path: Path, file: str, *arguments: str) -> None:
        self._log = tmp_path / f'{file}.log'
        code = 'import sys; from ros2cli.cli import main; sys.exit(main())'
        command = [sys.executable, '-c', code, 'launch', 'trt_perception', f'{file}.launch.py']
        with self._log.open('wb') as output:
            self._process = subprocess.Popen(
                [*command, *arguments],
                env=graph.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
            )

    def output(self) -> str:
        return self._log.read_text(errors='replace')

    def end(self) -> None:
        """As Ctrl-C does; launch and all that it started must end well."""
        self._process.send_signal(signal.SIGINT)
        try:
            assert self._process.wait(30) == 0, self.output()
        finally:
            self._process.kill()
            self._process.wait()
        assert 'Traceback' not in self.output(), self.output()


@pytest.fixture
def launched(graph, tmp_path):
    pytest.importorskip('ros2cli', reason='needs ros2 launch, which the wheels lack')
    pytest.importorskip('ros2launch', reason='needs ros2 launch, which the wheels lack')
    running = []

    def launch(file: str, *arguments: str) -> Launched:
        running.append(Launched(graph, tmp_path, file, *arguments))
        return running[-1]

    yield launch
    for one in running:
        one.end()


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> dict[str, str]:
    from nodes.colour_networks import write_detect, write_instance, write_semantic

    folder = tmp_path_factory.mktemp('models')
    writers = {'detect': write_detect, 'instance': write_instance, 'semantic': write_semantic}
    return {name: str(write(folder)) for name, write in writers.items()}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_ros2_launch_shows_the_arguments(graph, tmp_path, file: Path):
    pytest.importorskip('ros2launch', reason='needs ros2 launch, which the wheels lack')
    code = 'import sys; from ros2cli.cli import main; sys.exit(main())'
    done = subprocess.run(
        [sys.executable, '-c', code, 'launch', 'trt_perception', file.name, '-s'],
        env=graph.environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for name in launching.arguments_of(started_by(file)):
        assert f"'{name}':" in done.stdout


def test_detect_answers_on_the_given_topic_in_its_namespace(graph, launched, models):
    from vision_msgs.msg import Detection2DArray

    from nodes.graph import Camera, bgr_image
    from nodes.scenes import found, scene, three_boxes

    launched('detect', 'image:=/front/raw', f'model:={models["detect"]}', 'namespace:=left')
    detections = graph.collect(Detection2DArray, '/left/detect_node/detections').matched()
    camera = Camera(graph, '/front/raw').matched()
    picture = scene(640, 480, *three_boxes(640, 480))
    [message] = camera.show(bgr_image(picture), detections)
    camera.close()
    detections.close()
    assert set(found(message)) == {'red', 'green', 'blue'}


def test_detections_come_under_the_name_that_isaac_reads(graph, launched, models):
    from vision_msgs.msg import Detection2DArray

    from nodes.graph import Camera, bgr_image
    from nodes.scenes import found, scene, three_boxes

    launched(
        'detect', f'model:={models["detect"]}', 'detections:=detections_output', 'namespace:=isaac'
    )
    detections = graph.collect(Detection2DArray, '/isaac/detections_output').matched()
    camera = Camera(graph, '/isaac/image').matched()
    [message] = camera.show(bgr_image(scene(640, 480, *three_boxes(640, 480))), detections)
    camera.close()
    detections.close()
    assert set(found(message)) == {'red', 'green', 'blue'}


def test_the_demo_runs_from_camera_to_picture(graph, launched, models, tmp_path):
    from sensor_msgs.msg import CameraInfo, Image

    from nodes.graph import mask_pixels
    from nodes.scenes import scene, three_boxes

    cv2.imwrite(str(tmp_path / 'street.png'), scene(320, 240, *three_boxes(320, 240)))
    (tmp_path / 'own.yaml').write_text(
        '/**/camera_node: {ros__parameters: {size: 320x240, rate: 5.0}}\n'
    )
    pictures = graph.collect(Image, '/demo/overlay_node/overlay')
    colours = graph.collect(Image, '/demo/segment_node/color_mask')
    infos = graph.collect(CameraInfo, '/demo/camera_info')
    launch = launched(
        'demo',
        f'source:={tmp_path / "street.png"}',
        f'model:={models["detect"]}',
        f'segment_model:={models["semantic"]}',
        f'params_file:={tmp_path / "own.yaml"}',
        'namespace:=demo',
        'log_level:=warn',
    )
    picture = pictures.wait(seconds=40)
    assert (picture.width, picture.height) == (320, 240), launch.output()
    colour_mask = mask_pixels(colours.wait())
    assert len(np.unique(colour_mask.reshape(-1, 3), axis=0)) >= 3
    assert infos.wait().width == 320
    assert 'transport' in launch.output() or 'shared memory' in launch.output()
    for collected in (pictures, colours, infos):
        collected.close()


def test_a_chosen_transport_is_left_alone(tmp_path):
    pytest.importorskip('launch_ros', reason='needs ROS 2 launch, which the wheels lack')
    code = (
        'from launch import LaunchContext\n'
        'from trt_perception.nodes.launching import _start, ARGUMENTS, DETECT\n'
        'context = LaunchContext()\n'
        'for name, argument in ARGUMENTS.items():\n'
        '    context.launch_configurations[name] = argument.default\n'
        'print([type(a).__name__ for a in _start(context, [DETECT])])'
    )
    environment = os.environ | {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout.strip() == "['LogInfo', 'Node', 'Node']", done.stderr


@pytest.mark.parametrize('node', [DETECT, SEGMENT, CLASSIFY, OVERLAY])
def test_how_images_come_reaches_every_node_that_reads_them(node):
    given = GIVEN | {'image_transport': 'compressed', 'reliability': 'best_effort'}
    values = launching.parameters_for(node, given, [node])[-1]
    assert (values['image_transport'], values['reliability']) == ('compressed', 'best_effort')
