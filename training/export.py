"""Writes a trained network as ONNX: opset 17, any batch size, batch norms folded, all nodes named.

python -m training.export runs/detect/checkpoint.pt config/models/street_detect.onnx
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from training.dataset import SIZE
from training.networks import StreetDetector, StreetSegmenter, fold_batch_norm
from training.train import make_network
from trt_perception.scenes import SEMANTIC_CLASSES, THING_CLASSES

OUTPUTS = {
    'detect': ['output0'],
    'instance': ['output0', 'output1'],
    'semantic': ['logits'],
}

TRAINED_ON = 'synthetic street scenes rendered by trt_perception.scenes, split TRAINING'


class Exported(nn.Module):
    """The network as users run it: (decoded boxes[, prototypes]) or (logits,)."""

    def __init__(self, network: StreetDetector | StreetSegmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.network, StreetDetector):
            return self.network.decoded(images)
        return (self.network(images),)


def export(checkpoint: Path, path: Path) -> None:
    """Write the moving average of a checkpoint; compares the file with torch on random input."""
    state = torch.load(checkpoint, map_location='cpu', weights_only=True)
    task = state['task']
    trained = make_network(task)
    trained.load_state_dict(state['average'])
    fold_batch_norm(trained.eval())
    network = Exported(trained).eval()
    torch.onnx.export(
        network, (torch.rand(1, 3, SIZE[1], SIZE[0]),), str(path), opset_version=17,
        input_names=['images'], output_names=OUTPUTS[task], dynamo=False,
        dynamic_axes={name: {0: 'batch'} for name in ['images', *OUTPUTS[task]]},
    )  # fmt: skip
    model = onnx.load(str(path))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f'{node.op_type}_{number}'
    names = SEMANTIC_CLASSES if task == 'semantic' else THING_CLASSES
    onnx.helper.set_model_props(
        model,
        {
            'names': json.dumps(names),
            'task': task,
            'family': 'semantic' if task == 'semantic' else 'yolov8',
            'input_size': f'{SIZE[0]}x{SIZE[1]}',
            'color_order': 'rgb',
            'mean': '0',
            'scale': '0.00392156862745098',
            'version': '1',
            'trained_on': TRAINED_ON,
            'seed': str(state.get('seed', 'unknown')),
            'steps': str(state['step']),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    compare(network, path)
    print(f'{path}: {path.stat().st_size / 1e6:.2f} MB, {len(model.graph.node)} nodes')


def compare(network: nn.Module, path: Path) -> None:
    """Raise AssertionError unless onnxruntime and torch agree on a random batch of two."""
    images = torch.rand(2, 3, SIZE[1], SIZE[0], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    for want, got in zip(expected, session.run(None, {'images': images.numpy()}), strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-3, atol=5e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('onnx', type=Path)
    arguments = parser.parse_args()
    export(arguments.checkpoint, arguments.onnx)


if __name__ == '__main__':
    main()
