"""Which model, on which backend, in which precision, as arguments of a subcommand."""

from __future__ import annotations

import argparse

_MODEL = 'name (see `trt_perception models`) or a YAML or ONNX file'


def add_model(parser: argparse._ActionsContainer) -> None:
    """MODEL, for a subcommand that is about a model."""
    parser.add_argument('model', metavar='MODEL', help=_MODEL)


def add_model_option(parser: argparse._ActionsContainer) -> None:
    """--model, for a subcommand that is about the images it is given."""
    parser.add_argument('--model', '-m', required=True, help=_MODEL)


def add_opening(parser: argparse._ActionsContainer) -> None:
    """What `building.opening.open_built_pipeline` is told: backend, precision and fallback."""
    add_backend(parser)
    add_precision(parser)
    parser.add_argument(
        '--fallback-precision',
        default='none',
        metavar='PRECISION',
        help='last one to fall back to where an engine is not accurate enough; default none',
    )


def add_backend(parser: argparse._ActionsContainer) -> None:
    """--backend, one of `runtime.selection.BACKENDS`."""
    parser.add_argument('--backend', default='auto', help='default %(default)s')


def add_precision(parser: argparse._ActionsContainer, *short: str, default: str = 'fp32') -> None:
    """--precision, one of `runtime.selection.PRECISIONS`; `short` are other names of it."""
    parser.add_argument(
        '--precision', *short, default=default, help='fp32, fp16 or int8; default %(default)s'
    )


def add_keep_float(parser: argparse._ActionsContainer) -> None:
    """--keep-float, which `building.precision.prepare_graph` obeys."""
    parser.add_argument(
        '--keep-float',
        action='append',
        default=[],
        metavar='NODE',
        help='node that stays float, * and ? allowed; repeatable',
    )
