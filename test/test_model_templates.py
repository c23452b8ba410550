import shutil

import numpy as np
import pytest
import yaml

from networks import write_constant_network, write_scaling_detr
from trt_perception.frames import Frame
from trt_perception.model_store import models_dir
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.results import Classification, Detections, Embedding, SegmentationMap

TEMPLATES = models_dir() / 'templates'
KINDS = {
    'detect': Detections,
    'instance': Detections,
    'pose': Detections,
    'oriented': Detections,
    'face': Detections,
    'semantic': SegmentationMap,
    'classify': Classification,
    'embed': Embedding,
}


def heads(rows, columns):
    return {'bbox_regression': (rows, 4), 'cls_logits': (rows, columns)}


def at_strides(anchors=2):
    """SCRFD's outputs for 640x640, named by numbers."""
    rows = [anchors * (640 // stride) ** 2 for stride in (8, 16, 32)]
    every = [(n, width) for width in (1, 4, 10) for n in rows]
    return {str(448 + i): shape for i, shape in enumerate(every)}


PROTOTYPES = (32, 160, 160)
CHOSEN = {'num_dets': (1,), 'det_boxes': (100, 4), 'det_scores': (100,), 'det_classes': (100,)}
OUTPUTS = {
    'yolov5': {'output0': (25200, 8)},
    'yolov5_segment': {'output0': (25200, 8 + 32), 'output1': PROTOTYPES},
    'yolov7': {'output': (25200, 8)},
    'yolov7_end_to_end': CHOSEN,
    'yolox': {'output': (8400, 8)},
    'yolov8': {'output0': (7, 8400)},
    'yolov8_segment': {'output0': (7 + 32, 8400), 'output1': PROTOTYPES},
    'yolov8_pose': {'output0': (7 + 51, 8400)},
    'yolov8_oriented': {'output0': (7 + 1, 21504)},
    'yolov10': {'output0': (300, 6)},
    'yolo26_segment': {'output0': (300, 38), 'output1': PROTOTYPES},
    'yolo26_pose': {'output0': (300, 57)},
    'yolo26_oriented': {'output0': (300, 7)},
    'efficient_nms': CHOSEN,
    'rtdetr': {'output0': (300, 7)},
    'rfdetr': {'dets': (300, 4), 'labels': (300, 4)},
    'rfdetr_segment': {'dets': (200, 4), 'labels': (200, 4), 'masks': (200, 27, 27)},
    'ssd300': heads(8732, 4),
    'ssdlite320': heads(3234, 4),
    'mobilenet_ssd': {'mbox_loc': (1917, 4), 'mbox_conf': (1917, 21)},
    'ssd_decoded': {'scores': (3000, 4), 'boxes': (3000, 4)},
    'retinanet': heads(76725, 4),
    'retinaface': {'loc': (16800, 4), 'conf': (16800, 2), 'landms': (16800, 10)},
    'scrfd': at_strides(),
    'arcface': {'embedding': (512,)},
    'fcn_cityscapes': {'logits': (19, 64, 128)},
    'segformer': {'logits': (19, 256, 256)},
    'ddrnet': {'aux0': (19, 128, 256), 'output': (19, 128, 256), 'aux1': (19, 128, 256)},
    'unet_binary': {'output': (1, 512, 512)},
    'unet': {'output': (3, 512, 512)},
    'deeplab': {'out': (21, 65, 65), 'aux': (21, 65, 65)},
    'classify': {'logits': (3,)},
}
"""What the exporters named in the templates write for the classes listed there, for one image."""

WHOLE_NUMBERS = ('num_dets', 'det_classes')


def test_every_template_is_tried():
    assert {file.stem for file in TEMPLATES.glob('*.yaml')} == {'detr', *OUTPUTS}


@pytest.mark.parametrize('name', ['detr', *OUTPUTS])
def test_a_template_fits_what_its_exporter_writes(name, tmp_path):
    file = shutil.copy(TEMPLATES / f'{name}.yaml', tmp_path)
    written = yaml.safe_load((TEMPLATES / f'{name}.yaml').read_text())
    network, size = tmp_path / written['onnx'], tuple(written['input']['size'])
    if name == 'detr':
        write_scaling_detr(network, [0.25, 0.25, 0.75, 0.5], size=size)
    else:
        zeros = {
            n: np.full(shape, -9, np.int32 if n in WHOLE_NUMBERS else np.float32)
            for n, shape in OUTPUTS[name].items()
        }
        # Ultralytics writes the names of the classes, so that its templates leave them out.
        metadata = (
            {} if 'classes' in written else {'names': "{0: 'person', 1: 'bicycle', 2: 'car'}"}
        )
        write_constant_network(network, zeros, size=size, metadata=metadata)
    pipeline = open_pipeline(file, backend='onnxruntime-cpu')
    try:
        (perceived,) = pipeline.process([Frame.from_bgr(np.zeros((48, 64, 3), np.uint8))])
    finally:
        pipeline.close()
    assert isinstance(perceived.result, KINDS[written['task']])
    assert perceived.result.size == (64, 48)
