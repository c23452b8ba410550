"""The description of one model: a YAML file, completed by the ONNX file's metadata."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from trt_perception.errors import ModelSpecError
from trt_perception.families import NUMBERS_CLASSES, Task
from trt_perception.model_identity import complete_key_points, identified, named_by_file, nearest
from trt_perception.model_input import FromYaml, InputSpec, WrittenInput, complete_input
from trt_perception.model_values import check_values
from trt_perception.onnx_file import OnnxFile, read_onnx
from trt_perception.recognition import Candidate

Color = tuple[int, int, int]


class ClassSpec(FromYaml, frozen=True):
    """One class: its name and its RGB colour in pictures (None: taken from the palette)."""

    name: str
    color: Color | None = None


class ThresholdSpec(FromYaml, frozen=True):
    """Defaults of what may change at run time; see `results.DecodeSettings`."""

    score: float = 0.25
    iou: float = 0.6
    max_detections: int = 300


class GateLimits(FromYaml, frozen=True):
    """What a network of reduced precision must reach, compared with float32.

    Attributes:
        agreement: least share of final detections or labels that are the same, 0..1.
        overlap: least mean IoU of the objects that both find, 0..1.
        relative_error: greatest error of any output; None does not limit it.
    """

    agreement: float = 0.9
    overlap: float = 0.85
    relative_error: float | None = None


class QuantisationSpec(FromYaml, frozen=True):
    """How far the precision may be reduced.

    Attributes:
        keep_float: names of the ONNX nodes that never become int8; * and ? stand for any
            letters.
        gate: what an engine must reach.
    """

    keep_float: tuple[str, ...] = ()
    gate: GateLimits = GateLimits()


class ModelSpec(FromYaml, frozen=True):
    """Everything the pipeline must know of one model.

    Attributes:
        name: how users call it; the file's stem unless stated.
        onnx: absolute path of the ONNX file.
        family: which decoder reads the outputs, a key of `families.FAMILIES`.
        task: one of `families.Task`.
        input: preprocessing.
        classes: in the order of the network's outputs; none for the task embed.
        thresholds: defaults for decoding.
        version: free text, published in VisionInfo.
        quantisation: how far the precision may be reduced.
        key_points: names of the key points, for the tasks pose and face; may be left out.
        skeleton: pairs of indices into the key points, which pictures join by a line.
        options: what only the model's family understands, checked by the family itself; see
            `decoding.family_options`.
        output_operators: by output, the operator that computes it; see `OnnxFile.operators`.
    """

    name: str
    onnx: Path
    family: str
    task: Task
    input: InputSpec
    classes: tuple[ClassSpec, ...]
    thresholds: ThresholdSpec = ThresholdSpec()
    version: str = ''
    quantisation: QuantisationSpec = QuantisationSpec()
    key_points: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    output_operators: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes' names, in the order of the network's outputs."""
        return tuple(c.name for c in self.classes)

    def class_filter(self, names: Iterable[str]) -> frozenset[int] | None:
        """Class ids of `names`; None, which keeps every class, when `names` is empty.

        Raises:
            ModelSpecError: a name is not a class of this model.
        """
        known = {name: index for index, name in enumerate(self.class_names)}
        wanted = list(names)
        for name in wanted:
            if name not in known:
                raise ModelSpecError(
                    f'class filter: model {self.name} has no class {name!r}'
                    f'{nearest(name, known)}. Its classes are: {", ".join(known)}'
                )
        return frozenset(known[name] for name in wanted) or None


class ModelFile(FromYaml, frozen=True):
    """`ModelSpec` as written by a user."""

    onnx: str
    name: str | None = None
    family: str | None = None
    task: Task | None = None
    input: WrittenInput = WrittenInput()
    classes: tuple[str | ClassSpec, ...] | None = None
    thresholds: ThresholdSpec = ThresholdSpec()
    version: str = ''
    quantisation: QuantisationSpec = QuantisationSpec()
    key_points: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    options: dict[str, Any] = msgspec.field(default_factory=dict)


def load_model_spec(path: Path) -> ModelSpec:
    """Read a model's YAML file and fill what it leaves out from its ONNX file.

    What neither says is told from the ONNX file's outputs where they leave no doubt; see
    `recognition`.

    Args:
        path: the YAML file; the ONNX path inside is relative to its folder. Or the ONNX file
            itself, which must then say everything.

    Raises:
        ModelSpecError: the file is missing, not YAML, has unknown keys or wrong types, or
            something is said neither there nor in the ONNX file.
        ModelFileError: the ONNX file is missing or cannot be read.
    """
    if path.suffix == '.onnx':
        onnx_path = path.resolve()
        return _complete(path, ModelFile(onnx=str(path)), onnx_path, read_onnx(onnx_path))
    written = _read_yaml(path)
    if not written.onnx or '\0' in written.onnx:
        raise ModelSpecError(f'{path}: `onnx` is {written.onnx!r}; it must name the ONNX file')
    onnx_path = (path.parent / written.onnx).resolve()
    return _complete(path, written, onnx_path, read_onnx(onnx_path))


def _read_yaml(path: Path) -> ModelFile:
    try:
        document = yaml.safe_load(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise ModelSpecError(f'{path}: no such model file. Check the parameter `model`') from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelSpecError(f'{path}: cannot be read: {error}') from error
    # A date or number that is none, or nesting without end, ends in errors of Python's own.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise ModelSpecError(f'{path}: not valid YAML: {error}') from error
    try:
        return msgspec.convert(document, ModelFile)
    except msgspec.ValidationError as error:
        allowed = ', '.join(ModelFile.__struct_fields__)
        raise ModelSpecError(
            f'{path}: {error}. Keys allowed at the top: {allowed}; '
            f'under input: {", ".join(WrittenInput.__struct_fields__)}; '
            f'under thresholds: {", ".join(ThresholdSpec.__struct_fields__)}; '
            f'under quantisation: {", ".join(QuantisationSpec.__struct_fields__)}'
        ) from error


def _complete(path: Path, written: ModelFile, onnx_path: Path, onnx: OnnxFile) -> ModelSpec:
    metadata = onnx.metadata
    told = identified(path, written, onnx_path, onnx)
    key_points, skeleton = complete_key_points(written, onnx, told)
    stated = bool(written.family or metadata.get('family'))
    spec = ModelSpec(
        name=written.name or path.stem,
        onnx=onnx_path,
        family=told.family,
        task=told.task,
        input=complete_input(path, written.input, onnx, told.family, family_stated=stated),
        classes=_complete_classes(path, written, onnx, told),
        thresholds=written.thresholds,
        version=written.version or metadata.get('version', ''),
        quantisation=written.quantisation,
        key_points=key_points,
        skeleton=skeleton,
        options={**told.options, **written.options},
        output_operators=onnx.operators,
    )
    check_values(path, spec)
    return spec


def _complete_classes(
    path: Path, written: ModelFile, onnx: OnnxFile, told: Candidate
) -> tuple[ClassSpec, ...]:
    if written.classes is not None:
        if told.family in NUMBERS_CLASSES:
            _check_length(path, written.classes, onnx)
        classes = tuple(ClassSpec(name=c) if isinstance(c, str) else c for c in written.classes)
    else:
        classes = tuple(ClassSpec(name=name) for name in onnx.class_names())
    if not classes and told.task == 'face':
        return (ClassSpec(name='face'),)
    if not classes and told.task != 'embed':
        raise ModelSpecError(
            f'{path}: class names are stated neither here (`classes: [car, ...]`) '
            'nor in the metadata `names` of the ONNX file'
        )
    names = [c.name for c in classes]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ModelSpecError(f'{path}: class names must differ; repeated: {", ".join(repeated)}')
    return classes


def _check_length(path: Path, listed: tuple[str | ClassSpec, ...], onnx: OnnxFile) -> None:
    """Compare a list of classes with the file's, where the outputs do not tell their number."""
    names = named_by_file(onnx)
    if names and len(names) != len(listed):
        raise ModelSpecError(
            f'{path}: `classes` lists {len(listed)} classes, the ONNX file names {len(names)}: '
            f'{", ".join(names[:8])}{", ..." if len(names) > 8 else ""}. List as many, or leave '
            '`classes` out; a class filter hides those that are not wanted'
        )
