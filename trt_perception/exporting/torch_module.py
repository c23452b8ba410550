"""A torch module becomes ONNX. torch is imported here only, when it is asked for."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trt_perception.errors import ExportError, MissingDependencyError

OPSET = 17


def import_torch() -> Any:
    """The library torch.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module('torch')
    except ImportError as error:
        raise MissingDependencyError(
            "exporting a module needs torch: `pip install 'trt_perception[export]'`, or "
            '`pip install torch`'
        ) from error


def load_module(factory: str, weights: Path | None) -> Any:
    """The network that a factory makes, with its weights, ready to infer.

    Args:
        factory: 'module:function'; the module is looked for in the working directory too.
        weights: a file of torch.save with a state dict, alone or under 'state_dict' or 'model'.
            Nothing in it is executed.

    Raises:
        MissingDependencyError: torch is not installed.
        ExportError: the factory or the weights cannot be used.
    """
    torch = import_torch()
    name, _, attribute = factory.partition(':')
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        network = getattr(importlib.import_module(name), attribute)()
    except Exception as error:  # of the user's own module
        raise ExportError(f'{factory}: cannot be made: {type(error).__name__}: {error}') from error
    if not isinstance(network, torch.nn.Module):
        raise ExportError(f'{factory}: gives {type(network).__name__}, not a torch.nn.Module')
    if weights is not None:
        _load_weights(torch, network, weights)
    return network.eval()


def _load_weights(torch: Any, network: Any, weights: Path) -> None:
    try:
        state = torch.load(weights, map_location='cpu', weights_only=True)
    except Exception as error:  # pickle's, zipfile's and torch's own
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise ExportError(
            f'{weights}: no file of plain weights: {said}. Save it with '
            'torch.save(network.state_dict(), path)'
        ) from error
    for key in ('state_dict', 'model'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        said = ' '.join(str(error).split())[:300]
        raise ExportError(
            f'{weights}: these are not the weights of this network: {said}'
        ) from error


def to_onnx(network: Any, size: tuple[int, int], *, open_batch: bool) -> onnx.ModelProto:
    """Trace a network on one image.

    Args:
        network: a torch.nn.Module in evaluation mode, from [B, 3, H, W] to a tensor or several.
        size: (width, height).
        open_batch: leave the number of images open.

    Raises:
        ExportError: torch cannot.
    """
    torch = import_torch()
    images = torch.rand(1, 3, size[1], size[0], generator=torch.Generator().manual_seed(0))
    content = io.BytesIO()
    try:
        with torch.no_grad():
            count = len(_listed(network(images)))
        names = [f'output{index}' for index in range(count)]
        axes = {name: {0: 'batch'} for name in ('images', *names)} if open_batch else None
        with warnings.catch_warnings():
            # torch 2.9 and later call the exporter old that every version has.
            warnings.simplefilter('ignore', DeprecationWarning)
            torch.onnx.export(
                network, (images,), content, opset_version=OPSET, input_names=['images'],
                output_names=names, dynamic_axes=axes, dynamo=False,
            )  # fmt: skip
    except Exception as error:  # the network's and the exporter's own
        raise ExportError(f'torch cannot export it: {type(error).__name__}: {error}') from error
    return onnx.load_model_from_string(content.getvalue())


def answers_of(network: Any, images: NDArray[np.float32]) -> list[NDArray[Any]]:
    """What a network answers to images [B, 3, H, W], as arrays."""
    torch = import_torch()
    with torch.no_grad():
        return [tensor.numpy() for tensor in _listed(network(torch.from_numpy(images)))]


def _listed(answer: Any) -> list[Any]:
    """The tensors of an answer: one, a list, or a mapping as torchvision gives it."""
    if isinstance(answer, dict):
        return list(answer.values())
    if isinstance(answer, (list, tuple)):
        return [tensor for each in answer for tensor in _listed(each)]
    return [answer]
