import gc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trt_perception.decoding.registry import decoder_for
from trt_perception.kernels import mask_room
from trt_perception.kernels.decoders import device_decoder
from trt_perception.kernels.drawn_detections import DrawnDetections
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.palette import class_colors
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, InstanceMask
from trt_perception.tensor_spec import TensorSpec

NETWORK = (64, 64)
ANCHORS = 84
"""Cells at strides 8, 16 and 32."""

LETTERBOXES = [Letterbox.fit(size, NETWORK) for size in [(100, 60), (33, 90)]]


def model(family, task, classes=2, options=None):
    return ModelSpec(
        name='m',
        onnx=Path('m'),
        family=family,
        task=task,
        input=InputSpec(NETWORK),
        classes=tuple(ClassSpec(f'class {i}') for i in range(classes)),
        options=options or {},
    )


def random_tensor(*shape, dtype=np.float32, seed=0):
    """In steps of an eighth, so that sums are exact in any order."""
    drawn = np.random.default_rng(seed).normal(size=shape) * 2
    return (np.round(drawn * 8) / 8).astype(dtype)


def head(values, *, objectness=False, extras=0, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros((2, ANCHORS, values), np.float32)
    rows[..., :2] = rng.random((2, ANCHORS, 2)) * 64
    rows[..., 2:4] = rng.random((2, ANCHORS, 2)) * 30 + 2
    rows[..., 4:] = rng.random((2, ANCHORS, values - 4))
    if extras:
        rows[..., -extras:] = random_tensor(2, ANCHORS, extras)
    return rows if objectness else np.ascontiguousarray(rows.transpose(0, 2, 1))


def decoded(executor, decoder, tensors, letterboxes=LETTERBOXES, settings=None):
    """As the pipeline does it: the head comes back first, then the rest."""
    settings = settings or DecodeSettings()
    outputs = {name: executor.upload(tensor) for name, tensor in tensors.items()}
    scratch = executor.allocate(decoder.scratch_bytes(letterboxes))
    nbytes, head_bytes = decoder.result_bytes(letterboxes), decoder.head_bytes(letterboxes)
    result = executor.allocate(nbytes)
    decoder.enqueue(outputs, letterboxes, settings, scratch, result, executor.stream)
    device = executor.download(result, np.uint8, nbytes)
    host = np.full(nbytes, 0xAA, np.uint8)
    host[:head_bytes] = device[:head_bytes]
    for part in decoder.rest(host, letterboxes):
        host[part] = device[part]
    executor.free()
    return decoder.read(host, letterboxes, settings)


def check(executor, spec, tensors, **options):
    """The GPU's decoder gives what the CPU's gives."""
    outputs = [TensorSpec(name, tensor.dtype, tensor.shape) for name, tensor in tensors.items()]
    decoder = device_decoder(executor, spec, outputs, **options)
    found = decoded(executor, decoder, tensors)
    expected = decoder_for(spec, outputs).decode(tensors, LETTERBOXES, DecodeSettings())
    for mine, theirs in zip(found, expected, strict=True):
        for name in ('boxes', 'scores', 'class_ids', 'key_points', 'size'):
            if hasattr(theirs, name):
                np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
        for one, other in zip(getattr(mine, 'masks', None) or (), theirs.masks or (), strict=True):
            assert (one.x, one.y) == (other.x, other.y)
            np.testing.assert_array_equal(one.bits, other.bits)
    return found


@pytest.mark.parametrize(
    ('spec', 'values', 'objectness'),
    [
        (model('yolov8', 'detect'), 6, False),
        (model('yolov5', 'detect'), 7, True),
        (model('yolov7', 'detect', 1), 6, True),
        (model('yolox', 'detect', options={'decoded': True}), 7, True),
    ],
)
def test_boxes(executor, spec, values, objectness):
    found = check(executor, spec, {'output0': head(values, objectness=objectness)})
    assert len(found[0]) > 3
    assert found[0].masks is None


def test_key_points(executor):
    spec = model('yolov8', 'pose', 1, {'key_point_shape': [5, 3]})
    found = check(executor, spec, {'output0': head(5 + 15)})
    assert found[0].key_points.shape == (len(found[0]), 5, 3)


@pytest.mark.parametrize('pictures', [False, True])
@pytest.mark.parametrize('family', ['yolov8', 'yolov5'])
def test_masks(executor, family, pictures):
    objectness = family == 'yolov5'
    tensors = {
        'output0': head(6 + objectness + 4, objectness=objectness, extras=4),
        'output1': random_tensor(2, 4, 16, 16),
    }
    found = check(executor, model(family, 'instance'), tensors, pictures=pictures)
    for detections in found:
        assert isinstance(detections, DrawnDetections) == pictures
        plain = super(DrawnDetections, detections).id_image() if pictures else None
        if pictures:
            np.testing.assert_array_equal(detections.id_image(), plain)


def test_other_masks_have_another_id_image(executor):
    mask = InstanceMask(0, 0, np.ones((2, 2), np.bool_))
    boxes, scores = np.array([[0, 0, 2, 2]], np.float32), np.ones(1, np.float32)
    ids = np.zeros((3, 3), np.uint16)
    found = DrawnDetections(boxes, scores, np.zeros(1, np.int64), (3, 3), [mask], ids=ids)
    assert found.id_image().sum() == 4


CROWD = {'output0': head(5 + 4, extras=4), 'output1': random_tensor(2, 4, 16, 16)}
CROWD['output0'][:, :2] = 32
CROWD['output0'][:, 2:4] = np.linspace(60, 200, ANCHORS)
SOME, EVERYTHING = DecodeSettings(score=0.8, iou=1.0), DecodeSettings(score=0.0, iou=1.0)


@pytest.fixture
def crowd(executor, monkeypatch):
    """The decoder of `CROWD`, whose masks need more room than there is at first."""
    monkeypatch.setattr(mask_room, 'LEAST_ROOM', 0)
    monkeypatch.setattr(mask_room, 'PATIENCE', 5)
    outputs = [TensorSpec(name, tensor.dtype, tensor.shape) for name, tensor in CROWD.items()]
    return device_decoder(executor, model('yolov8', 'instance', 1), outputs, pictures=True)


def without_mask(found):
    return sum(mask.bits.size == 0 for mask in found[0].masks)


def test_more_room_for_masks_after_an_image_that_had_too_little(executor, crowd, caplog):
    assert without_mask(decoded(executor, crowd, CROWD, settings=SOME)) > 0
    assert 'came without' in caplog.text
    assert without_mask(decoded(executor, crowd, CROWD, settings=SOME)) == 0


def test_room_for_masks_has_a_bound_and_that_is_said_once(executor, crowd, caplog):
    lacking = [without_mask(decoded(executor, crowd, CROWD, settings=EVERYTHING)) for _ in range(4)]
    assert lacking[0] > lacking[1] == lacking[2] == lacking[3] > 0
    areas = sum(letterbox.source[0] * letterbox.source[1] for letterbox in LETTERBOXES)
    arenas = crowd.result_bytes(LETTERBOXES) - crowd.head_bytes(LETTERBOXES) - 2 * areas
    assert arenas <= mask_room.MOST_ROOM * areas + 4 * 256
    said = [one.message for one in caplog.records if one.name == mask_room.__name__]
    assert len(said) == 1
    assert 'no more' in said[0]


def test_what_the_gpu_had_no_room_for_is_not_asked_for_again(executor, crowd):
    first = crowd.result_bytes(LETTERBOXES)
    decoded(executor, crowd, CROWD, settings=EVERYTHING)
    grown = crowd.result_bytes(LETTERBOXES)
    crowd.ask_less()
    for _ in range(3):
        assert first < crowd.result_bytes(LETTERBOXES) < grown
        assert without_mask(decoded(executor, crowd, CROWD, settings=EVERYTHING)) > 0
    for _ in range(9):
        crowd.ask_less()
    assert crowd.result_bytes(LETTERBOXES) == first


def test_what_was_refused_is_asked_for_again_after_a_while(executor, crowd):
    decoded(executor, crowd, CROWD, settings=EVERYTHING)
    grown = crowd.result_bytes(LETTERBOXES)
    crowd.ask_less()
    asked = []
    for _ in range(6):
        asked.append(crowd.result_bytes(LETTERBOXES) == grown)
        decoded(executor, crowd, CROWD, settings=EVERYTHING)
    assert asked == [False] * 5 + [True]


@pytest.mark.parametrize(
    'tensor',
    [
        random_tensor(2, 5, 8, 8),
        random_tensor(2, 5, 8, 8, dtype=np.float16),
        np.random.default_rng(0).integers(0, 6, (2, 1, 16, 16)),
        np.random.default_rng(0).integers(0, 6, (2, 32, 32), np.int32),
    ],
)
def test_semantic_maps(executor, tensor):
    spec = model('semantic', 'semantic', 5)
    outputs = [TensorSpec('out', tensor.dtype, tensor.shape)]
    found = decoded(executor, device_decoder(executor, spec, outputs), {'out': tensor})
    decoder = decoder_for(spec, outputs)
    expected = decoder.decode({'out': tensor}, LETTERBOXES, DecodeSettings())
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.class_ids, theirs.class_ids)


@given(
    classes=st.integers(2, 9),
    stated=st.lists(st.tuples(*[st.integers(0, 255)] * 3), max_size=9),
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    wanted=st.none() | st.frozensets(st.integers(0, 8)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_the_colours_of_semantic_maps_are_the_palettes(
    executor, classes, stated, source, wanted, seed
):
    named = [ClassSpec(f'class {i}', color) for i, color in enumerate(stated[:classes])]
    named += [ClassSpec(f'class {i}') for i in range(len(named), classes)]
    spec = replace(model('semantic', 'semantic', classes), classes=tuple(named))
    tensor = random_tensor(2, classes, 6, 7, seed=seed)
    outputs = [TensorSpec('out', tensor.dtype, tensor.shape)]
    decoder = device_decoder(executor, spec, outputs, pictures=True)
    placed = [Letterbox.fit(source, NETWORK), LETTERBOXES[0]]
    kept = None if wanted is None else wanted & frozenset(range(classes))
    chosen = DecodeSettings(class_filter=kept)
    found = decoded(executor, decoder, {'out': tensor}, placed, chosen)
    expected = decoder_for(spec, outputs).decode({'out': tensor}, placed, chosen)
    colors = class_colors(spec.classes)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.class_ids, theirs.class_ids)
        assert mine.color_image(colors) is mine.colored.pixels
        np.testing.assert_array_equal(mine.color_image(colors), theirs.color_image(colors))


def test_what_has_no_kernel_is_left_to_the_cpu(executor):
    oriented = TensorSpec('output0', np.dtype(np.float32), (1, 7, ANCHORS))
    assert device_decoder(executor, model('yolov8', 'oriented'), [oriented]) is None
    raw = TensorSpec('output0', np.dtype(np.float32), (1, ANCHORS, 7))
    assert device_decoder(executor, model('yolox', 'detect'), [raw]) is None
    double = TensorSpec('output0', np.dtype(np.float64), (1, 6, ANCHORS))
    assert device_decoder(executor, model('yolov8', 'detect'), [double]) is None
    many = TensorSpec('output0', np.dtype(np.float32), (40, 6, ANCHORS))
    assert device_decoder(executor, model('yolov8', 'detect'), [many]) is None


def test_results_outlive_the_memory_they_came_in(executor):
    tensors = {'output0': head(6)}
    outputs = [TensorSpec('output0', np.dtype(np.float32), (2, 6, ANCHORS))]
    decoder = device_decoder(executor, model('yolov8', 'detect'), outputs)
    found = decoded(executor, decoder, tensors)
    kept = found[0].boxes.copy()
    gc.collect()
    np.testing.assert_array_equal(found[0].boxes, kept)
    assert found[0].boxes.base is None


@pytest.mark.gpu
@pytest.mark.parametrize(
    ('spec', 'tensors'),
    [
        (model('yolov8', 'detect'), {'output0': head(6)}),
        (
            model('yolov8', 'instance'),
            {'output0': head(10, extras=4), 'output1': random_tensor(2, 4, 16, 16)},
        ),
        (model('semantic', 'semantic', 5), {'out': random_tensor(2, 5, 8, 8)}),
    ],
)
def test_a_cuda_graph_does_it_again(gpu, spec, tensors):
    outputs = [TensorSpec(name, tensor.dtype, tensor.shape) for name, tensor in tensors.items()]
    decoder = device_decoder(gpu, spec, outputs)
    addresses = {name: gpu.upload(tensor) for name, tensor in tensors.items()}
    scratch = gpu.allocate(decoder.scratch_bytes(LETTERBOXES))
    nbytes = decoder.result_bytes(LETTERBOXES)
    result = gpu.upload(np.zeros(nbytes, np.uint8))
    settings = DecodeSettings()

    def enqueue():
        decoder.enqueue(addresses, LETTERBOXES, settings, scratch, result, gpu.stream)

    enqueue()
    once = gpu.download(result, np.uint8, nbytes)
    again = gpu.replayed(enqueue, result, nbytes)
    gpu.free()
    assert once.any()
    np.testing.assert_array_equal(again, once)
