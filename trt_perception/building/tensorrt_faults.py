"""What TensorRT says of a network that it does not take or build, in words and with a remedy."""

from __future__ import annotations

import re

import onnx
from google.protobuf.message import DecodeError

from trt_perception.errors import EngineBuildError, ModelFileError
from trt_perception.runtime.tensorrt_flavour import Flavour, Parser
from trt_perception.runtime.tensorrt_messages import Messages


def refusal(
    parser: Parser, model: bytes, flavour: Flavour, origin: str, log: Messages
) -> ModelFileError:
    """Why TensorRT's parser does not take an ONNX model; the nodes are named.

    Args:
        parser: after it has refused `model`.
        model: the ONNX model.
        flavour: which TensorRT.
        origin: how errors call the model.
        log: what TensorRT said.
    """
    problems = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node = f'node {error.node_name() or error.node()}'
        operator = error.node_operator()
        where = f'{node} (operator {operator}): ' if operator else ''
        # What it says of an operator that it does not know is 'false'.
        known = not operator or parser.supports_operator(operator)
        problems.append(where + (_without_noise(error.desc()) if known else 'not supported'))
    shown = '; '.join(dict.fromkeys(problems or log.errors)) or 'it finds no outputs'
    return ModelFileError(
        f'{origin} (opset {_opset(model)}): {flavour} does not take it: {shown}. Export the '
        'network without that operator (post-processing such as NonMaxSuppression belongs '
        'outside), or with another opset'
    )


def failure(
    flavour: Flavour, model: bytes, origin: str, log: Messages, *, ahead: bool
) -> EngineBuildError:
    """Why TensorRT built no engine, and what to do.

    Args:
        flavour: which TensorRT.
        model: the ONNX model.
        origin: how errors call the model.
        log: what TensorRT said.
        ahead: whether it was built for GPUs that are named.
    """
    shown = '; '.join(map(_without_noise, list(log.errors)[-3:])) or 'no reason given'
    culprits = _nodes_named_in(shown, model)
    if 'no runners' in shown or culprits:
        where = f' at {culprits}' if culprits else ''
        remedy = (
            f'It has no kernel for what the graph asks{where}; export the network without it '
            '(post-processing such as NonMaxSuppression belongs outside)'
        )
    elif flavour.name == 'tensorrt-rtx' and not ahead:
        remedy = 'On a machine without an RTX GPU name one: --compute-capability 8.6'
    else:
        remedy = 'Give it more memory (--workspace, or end other programs), or a lower --level'
    return EngineBuildError(
        f'{origin} (opset {_opset(model)}): {flavour} built no engine: {shown}. {remedy}'
    )


def _nodes_named_in(text: str, model: bytes) -> str:
    """The nodes that a message of TensorRT names, with their operators."""
    # TensorRT numbers layers that it makes of a node, and joins the names of those that it fuses.
    words = {re.sub(r'_\d+$', '', word) for word in re.findall(r'[^\s,;{}()\[\]"\']+', text)}
    words |= set(text.split())
    nodes = _load(model).graph.node
    named = [f'node {n.name} (operator {n.op_type})' for n in nodes if n.name in words]
    return ', '.join(named[:5])


def _without_noise(text: str) -> str:
    """What TensorRT says, on one line, without what only follows from there being no GPU."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wanted = [line for line in lines if 'catchCudaError' not in line] or lines
    return ' '.join(wanted)[:600]


def _opset(model: bytes) -> int:
    entries = _load(model).opset_import
    return max((entry.version for entry in entries if not entry.domain), default=0)


def _load(model: bytes) -> onnx.ModelProto:
    """The model for an error's text; an empty one if that is what is wrong."""
    try:
        return onnx.load_model_from_string(model)
    except (DecodeError, ValueError):
        return onnx.ModelProto()
