"""What `trt_perception detect` does."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from trt_perception.building.opening import open_built_pipeline
from trt_perception.cli.main import INTERRUPTED, NOTHING_WORKED, OK
from trt_perception.cli.pictures import Pictures, write_picture
from trt_perception.cli.results_entries import entry_of, refused_entry
from trt_perception.cli.results_file import ResultsFile, head_of, summary_of
from trt_perception.cli.tables import counted, stage_table
from trt_perception.cli.thresholds import settings_of
from trt_perception.cli.tracking_arguments import tracker_settings
from trt_perception.drawing.drawn import Status
from trt_perception.errors import FrameError
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.model_store import find_model
from trt_perception.pipeline.appearance import MOST_AT_ONCE, Appearance, check_embeds
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.statistics import PipelineStatistics
from trt_perception.pipeline.tracked import TrackedCameras
from trt_perception.results import SegmentationMap
from trt_perception.sources.opening import open_source
from trt_perception.sources.source import Source

ENDLESS_LIMIT = 100
"""Frames of a source that never ends, where no limit is given; a camera runs until Ctrl-C."""


def detect(arguments: argparse.Namespace) -> int:
    """Run the model over the input, write the results, print a table.

    Raises:
        PerceptionError: the model or the input cannot be used, or nothing can be written.
    """
    tracked = TrackedCameras(tracker_settings(arguments))
    pipeline = open_built_pipeline(
        arguments.model,
        backend=arguments.backend,
        precision=arguments.precision,
        fallback=arguments.fallback_precision,
        threads=arguments.threads,
    )
    try:
        pipeline.settings = settings_of(pipeline.spec, arguments)
        # Of masks it draws the cuts, not the image of their ids.
        pipeline.pictures = not arguments.no_pictures and pipeline.spec.task == 'semantic'
        tracked.appearance = _appearance(arguments)
        with open_source(
            arguments.input, size=arguments.size, rate=arguments.rate, topic=arguments.topic
        ) as source:
            return _Run(arguments, pipeline, source, tracked).run()
    finally:
        pipeline.close()
        if tracked.appearance is not None:
            tracked.appearance.close()


def _appearance(arguments: argparse.Namespace) -> Appearance | None:
    """What gives objects embeddings, where a model for that is named.

    Raises:
        PerceptionError: it cannot be opened, or is for another task.
    """
    if not arguments.embedding_model:
        return None
    check_embeds(load_model_spec(find_model(arguments.embedding_model)))
    return Appearance(
        open_built_pipeline(
            arguments.embedding_model,
            backend=arguments.backend,
            threads=arguments.threads,
            max_batch=MOST_AT_ONCE,
        )
    )


class _Run:
    """One run over one source."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        pipeline: PerceptionPipeline,
        source: Source,
        tracked: TrackedCameras,
    ) -> None:
        self._pipeline = pipeline
        self._tracked = tracked
        self._source = source
        self._out: Path = arguments.out
        self._quiet: bool = arguments.quiet
        self._limit: int | None = arguments.limit
        if self._limit is None and source.endless and not source.live:
            self._limit = ENDLESS_LIMIT
        self._precision: str = arguments.precision
        self._statistics = PipelineStatistics(window=1_000_000)
        self._refused: Counter[str] = Counter()
        self._names: set[str] = set()
        self._interrupted = False
        self._started = time.perf_counter()
        self._pictures: Pictures | None = None
        if not arguments.no_pictures:
            self._pictures = Pictures(
                self._out,
                pipeline.spec,
                rate=arguments.rate or source.rate,
                as_video=source.continuous,
                video_width=arguments.video_width,
            )

    def run(self) -> int:
        """Returns the exit status."""
        head = head_of(
            self._pipeline.spec,
            self._pipeline.settings,
            backend=self._pipeline.choice.backend,
            precision=self._precision,
            source=self._source.name,
        )
        with ResultsFile(self._out / 'detections.json', head) as results:
            try:
                with self._interruptible():
                    self._all_frames(results)
            finally:
                seconds = time.perf_counter() - self._started
                figures = self._statistics.snapshot()
                skipped = self._refused + self._source.skipped
                results.finish(
                    summary_of(figures, skipped, seconds=seconds, interrupted=self._interrupted)
                )
                if self._pictures is not None:
                    self._pictures.close()
        if not self._quiet:
            self._print_summary(seconds)
        if self._interrupted:
            return INTERRUPTED
        return OK if figures.frames_out else NOTHING_WORKED

    def _all_frames(self, results: ResultsFile) -> None:
        expected = min((n for n in (self._limit, self._source.count) if n), default=None)
        frames = iter(self._source)
        done = 0
        # Without a terminal there is no bar; without stderr there is not even a place for it.
        disable = True if self._quiet or sys.stderr is None else None
        with tqdm(total=expected, unit='frame', disable=disable) as progress:
            while not self._interrupted and (self._limit is None or done < self._limit):
                begin = time.perf_counter()
                frame = next(frames, None)
                if frame is None:
                    return
                self._one_frame(frame, results, (time.perf_counter() - begin) * 1e3)
                done += 1
                progress.update()

    def _one_frame(self, frame: Frame, results: ResultsFile, read_ms: float) -> None:
        self._statistics.frame_in()
        name = self._unique(self._source.label)
        try:
            (perceived,) = self._pipeline.process([frame])
        except FrameError as error:
            self._refused[error.cause] += 1
            results.add(refused_entry(frame, error, name=name))
            return
        taken_ns = time.monotonic_ns() if self._source.live else frame.stamp_ns
        perceived = self._tracked.follow(perceived, taken_ns)
        stages = {'read': read_ms, **perceived.stages_ms}
        begin = time.perf_counter()
        mask_file = self._write_mask(perceived, name)
        results.add(
            entry_of(frame, perceived.result, self._pipeline.spec, name=name, mask_file=mask_file)
        )
        if self._pictures is not None:
            status = self._status(sum(perceived.stages_ms.values()))
            self._pictures.add(perceived.image, perceived.result, status, name)
        stages['write'] = (time.perf_counter() - begin) * 1e3
        self._statistics.frame_out(stages, frame.stamp_ns)

    def _write_mask(self, perceived: Perceived, name: str) -> str | None:
        if not isinstance(perceived.result, SegmentationMap):
            return None
        path = Path('masks') / f'{name}.png'
        write_picture(self._out / path, perceived.result.class_ids)
        return str(path)

    def _status(self, latency_ms: float) -> Status:
        backend = f'{self._pipeline.choice.backend} {self._precision}'
        return Status(self._pipeline.spec.name, backend, latency_ms=latency_ms)

    def _unique(self, label: str) -> str:
        """`label`, with a number behind it if another frame has it already."""
        name, number = label, 1
        while name in self._names:
            number += 1
            name = f'{label}_{number}'
        self._names.add(name)
        return name

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends the run after the frame in hand, the second one at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._interrupted = True
            self._source.close()
            signal.signal(signal.SIGINT, before)
            print('\nfinishing; Ctrl-C again gives up', file=sys.stderr)

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _print_summary(self, seconds: float) -> None:
        figures = self._statistics.snapshot()
        choice = self._pipeline.choice
        print(f'{self._pipeline.spec.name} on {choice.backend} ({self._precision})')
        print(stage_table(figures.stages))
        rate = figures.frames_out / seconds if seconds > 0 else 0.0
        skipped = counted(self._refused + self._source.skipped)
        print(f'frames {figures.frames_out}, skipped {skipped}, {rate:.1f} frames per second')
        if self._tracked.note:
            print(self._tracked.note)
        print(f'results in {self._out}')
