"""How many calibration images are enough, and which method: int8's loss on unseen scenes.

    python benchmarks/calibration_curve.py --scenes 200        # all street models
    python benchmarks/calibration_curve.py street_detect       # one of them

Calibrates on the first 8, 32, 100 and 500 scenes of the calibration split, by entropy, minmax
and percentile, and compares each int8 graph with float32 on scenes of the validation split, by
onnxruntime as building/cpu_execution.py describes. Writes results/calibration_curve.json and
.md. What is done already is kept in .cache/calibration_curve and not done again, so that the
script may be stopped and started.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.building.calibrate import CalibrationOptions
from trt_perception.building.calibration_ranges import (
    CalibrationImages,
    CalibrationRanges,
    write_ranges,
)
from trt_perception.building.onnx_graph import graph_digest
from trt_perception.building.range_collection import METHODS, RangeCollector
from trt_perception.evaluation.average_precision import (
    LEAST_SCORE,
    MOST_AN_IMAGE,
    PrecisionTruth,
    found_objects,
    precision_figures,
)
from trt_perception.evaluation.class_mapping import match_classes
from trt_perception.evaluation.dataset import Sample
from trt_perception.evaluation.jackknife import GROUPS, group_jackknife
from trt_perception.evaluation.networks import open_network
from trt_perception.evaluation.opening import open_dataset
from trt_perception.evaluation.overlap import confusion_of, overlap_figures
from trt_perception.model_spec import load_model_spec
from trt_perception.model_store import find_model
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.preprocessing.preprocessor import Preprocessor
from trt_perception.results import DecodeSettings
from trt_perception.sources.opening import open_source

MODELS = ('street_detect', 'street_instance', 'street_semantic')
COUNTS = (8, 32, 100, 500)
DEFAULT = '100_entropy'
"""What `trt_perception calibrate` does unless told otherwise."""
ROOT = Path(__file__).resolve().parent
KEPT = ROOT.parent / '.cache' / 'calibration_curve'
KINDS = {'boxes': 'bbox', 'masks': 'segm'}
TITLES = {'boxes': 'box mAP50-95', 'masks': 'mask mAP50-95', 'semantic': 'class mIoU'}


class Curve:
    """One model: its calibrations, what each network finds, and what that is worth."""

    def __init__(self, name: str, scenes: int, threads: int) -> None:
        self.yaml = find_model(name)
        self.spec = load_model_spec(self.yaml)
        self.scenes = scenes
        self.threads = threads
        self.digest = graph_digest(self.spec.onnx)
        self.folder = KEPT / f'{name}-{self.digest[:12]}'
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dataset = open_dataset(f'synthetic:validation:{scenes}', self.spec)
        self.classes = match_classes(self.dataset.class_names, self.spec.class_names)

    def calibrations(self) -> dict[tuple[int, str], Path]:
        """One file per number of images and method, from a single pass over the images."""
        wanted = {
            (count, method): self.folder / f'{count}_{method}.calibration.json'
            for count in COUNTS
            for method in METHODS
        }
        if not all(path.is_file() for path in wanted.values()):
            self._calibrate(wanted)
        return wanted

    def _calibrate(self, wanted: dict[tuple[int, str], Path]) -> None:
        collector = RangeCollector(self.spec.onnx, 'entropy', threads=self.threads)
        width, height = self.spec.input.size
        tensor = np.empty((1, 3, height, width), np.float32)
        preprocess = Preprocessor(self.spec.input, tensor.dtype)
        percentile = f'{CalibrationOptions().percentile:g}'
        with open_source('synthetic:calibration') as source:
            for frame in source:
                preprocess(to_bgr(frame), tensor[0])
                collector.add(tensor)
                if collector.images in COUNTS:
                    say(f'{self.spec.name}: {collector.images} images calibrated')
                    for method in METHODS:
                        ranges = CalibrationRanges(
                            onnx=self.spec.onnx.name,
                            onnx_sha256=self.digest,
                            method=method,
                            detail=percentile if method == 'percentile' else '',
                            preprocessing=self.spec.input,
                            images=CalibrationImages('synthetic:calibration', collector.images),
                            tensors=collector.ranges(method),
                        )
                        write_ranges(wanted[collector.images, method], ranges)
                if collector.images == max(COUNTS):
                    break
        collector.close()

    @cached_property
    def samples(self) -> list[Sample]:
        return [self.dataset.read(index) for index in range(self.scenes)]

    def found(self, name: str, calibration: Path | None) -> list[Any]:
        """What a network makes of each scene: objects as COCO results, or a confusion matrix."""
        kept = self.folder / f'{name}_{self.scenes}.found'
        if kept.is_file():
            return pickle.loads(kept.read_bytes())
        start = time.perf_counter()
        precision = 'int8' if calibration else 'fp32'
        network = open_network(
            self.spec, self.yaml, precision, calibration=calibration, threads=self.threads
        )
        if self.spec.task != 'semantic':
            network.pipeline.settings = DecodeSettings(
                LEAST_SCORE, self.spec.thresholds.iou, MOST_AN_IMAGE
            )
        looked = [self._look(network.pipeline, sample) for sample in self.samples]
        network.pipeline.close()
        partial = kept.with_suffix('.partial')
        partial.write_bytes(pickle.dumps(looked))
        partial.replace(kept)
        say(f'{self.spec.name}: {name} in {time.perf_counter() - start:.0f} s')
        return looked

    def _look(self, pipeline: Any, sample: Sample) -> Any:
        result = pipeline.process([sample.frame])[0].result
        if self.spec.task != 'semantic':
            return found_objects(result, 0, self.classes.found)
        truth = self.classes.truth[sample.truth]
        return confusion_of(truth, self.classes.found[result.class_ids], len(self.classes.names))

    def figures(self, found: Sequence[Any], images: NDArray[np.int64]) -> list[float]:
        """Accuracy of some of the scenes in points, in the order of `parts`."""
        if self.spec.task == 'semantic':
            whole = np.sum([found[image] for image in images], axis=0)
            return [100 * overlap_figures(whole, self.classes.names)['miou']]
        truth = PrecisionTruth(self.classes.names)
        objects = []
        for image in images:
            number = truth.add(self.samples[image].truth, self.spec.input.size, self.classes.truth)
            objects += [{**entry, 'image_id': number} for entry in found[image]]
        parts = [precision_figures(truth, objects, KINDS[part]) for part in self.parts]
        return [100 * part['map50_95'] for part in parts]

    @property
    def parts(self) -> tuple[str, ...]:
        if self.spec.task == 'semantic':
            return ('semantic',)
        return ('boxes', 'masks') if self.spec.task == 'instance' else ('boxes',)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per part, number of images and method."""
        found = {
            f'{count}_{method}': self.found(f'{count}_{method}', calibration)
            for (count, method), calibration in self.calibrations().items()
        }
        found['fp32'] = self.found('fp32', None)

        @cache
        def figures(name: str, images: bytes) -> NDArray[np.float64]:
            return np.array(self.figures(found[name], np.frombuffer(images, np.int64)))

        for count, method in itertools.product(COUNTS, METHODS):
            own = f'{count}_{method}'

            def behind(images: NDArray[np.int64], own: str = own) -> list[float]:
                """By how much it is below float32, and below the default."""
                seen = images.tobytes()
                above = [figures(other, seen) for other in ('fp32', DEFAULT)]
                return [*np.concatenate([a - figures(own, seen) for a in above])]

            everything = np.arange(self.scenes)
            losses = behind(everything)
            errors = group_jackknife(behind, self.scenes)
            best = figures('fp32', everything.tobytes())
            for place, part in enumerate(self.parts):
                beside = place + len(self.parts)
                yield {
                    'model': self.spec.name,
                    'part': part,
                    'images': count,
                    'method': method,
                    'fp32': round(float(best[place]), 3),
                    'loss': round(float(losses[place]), 3),
                    'standard_error': round(float(errors[place]), 3),
                    'below_default': round(float(losses[beside]), 3),
                    'below_default_standard_error': round(float(errors[beside]), 3),
                }


def markdown(document: dict[str, Any]) -> str:
    """A table for each model and part: methods across, numbers of images down."""
    lines = [
        '# Loss of int8 by number of calibration images and method',
        '',
        f'In points below float32 on {document["scenes"]} scenes of the validation split, ± one '
        'standard error. The error is that of the difference between both networks on the same '
        f'scenes, by a jackknife over {GROUPS} groups of scenes. It tells how the loss varies '
        'with the scenes, not with the choice of calibration images.',
    ]
    rows = document['rows']
    for model, part in dict.fromkeys((row['model'], row['part']) for row in rows):
        mine = [row for row in rows if (row['model'], row['part']) == (model, part)]
        lines += ['', f'## {model}, {TITLES[part]}: {mine[0]["fp32"]:.2f} in float32', '']
        lines += table(mine, 'loss', 'standard_error')
        lines += ['', 'Below 100 images and entropy, which is the default:', '']
        lines += table(mine, 'below_default', 'below_default_standard_error')
    return '\n'.join(lines) + '\n'


def table(rows: Sequence[dict[str, Any]], figure: str, error: str) -> Iterator[str]:
    """Methods across, numbers of images down."""
    by_place = {(row['images'], row['method']): row for row in rows}
    yield f'| images | {" | ".join(METHODS)} |'
    yield f'| ---: |{" ---: |" * len(METHODS)}'
    for count in COUNTS:
        cells = [by_place[count, method] for method in METHODS]
        # Adding 0 takes the sign from what is rounded to zero.
        shown = [f'{round(cell[figure], 2) + 0.0:.2f} ± {cell[error]:.2f}' for cell in cells]
        yield f'| {count} | {" | ".join(shown)} |'


def say(text: str) -> None:
    print(f'{time.strftime("%H:%M:%S")} {text}', file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('models', nargs='*', default=MODELS)
    parser.add_argument('--scenes', type=int, default=200)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, default=ROOT / 'results')
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in arguments.models:
        rows += Curve(name, arguments.scenes, arguments.threads).rows()
        document = {'scenes': arguments.scenes, 'groups': GROUPS, 'rows': rows}
        (arguments.out / 'calibration_curve.json').write_text(json.dumps(document, indent=1) + '\n')
        (arguments.out / 'calibration_curve.md').write_text(markdown(document))
        say(f'{name}: written to {arguments.out}')


if __name__ == '__main__':
    main()
