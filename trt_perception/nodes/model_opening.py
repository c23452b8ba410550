"""How a node opens its model, or the variants of it, and tells of what takes minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from trt_perception.adaptation.settings import MachineState
from trt_perception.building.build_progress import BuildControl
from trt_perception.building.opening import Watch, open_built_pipeline
from trt_perception.building.variants import VariantName, open_variants
from trt_perception.families import Task
from trt_perception.model_spec import load_model_spec
from trt_perception.model_store import find_model
from trt_perception.nodes.adapting import adaptation_settings, adaptive_variants, machine_state
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.tasks import check_task
from trt_perception.pipeline.adaptive import AnyPipeline
from trt_perception.pipeline.appearance import MOST_AT_ONCE, Appearance, check_embeds
from trt_perception.pipeline.perception import GpuUse, PerceptionPipeline

_PROGRESS_PERIOD_S = 10.0
"""Seconds between two lines in the log about a build."""


class ModelOpening:
    """Opens what the parameters of a node name.

    Attributes:
        moves: between variants, since the model was opened.
        latest_move: in words; '' before the first.
    """

    def __init__(self, node: PerceptionNode[Any], moved: Callable[[], None]) -> None:
        """Prepare.

        Args:
            node: has `InferenceParameters`, once it is made.
            moved: told in the worker's thread that another variant takes the next image.
        """
        self.moves = 0
        self.latest_move = ''
        self._node = node
        self._tell = moved
        self._opening = ''
        self._on_cpu = False
        self._progress_logged_s = -math.inf

    def open(self, tasks: tuple[Task, ...]) -> AnyPipeline:
        """Open the model; its engines are built where they are missing.

        Args:
            tasks: those that the node does.

        Raises:
            PerceptionError: see `open_built_pipeline`, `adaptive_variants` and `check_task`.
        """
        self.moves, self.latest_move = 0, ''
        wanted = self._node.parameters
        adaptive = adaptive_variants(wanted)
        names = adaptive or (VariantName(wanted.model, wanted.precision),)
        # Before an engine is built for minutes that this node cannot use.
        for model in dict.fromkeys(name.model for name in names):
            check_task(load_model_spec(find_model(model)), tasks, self._node.get_name())
        if not adaptive:
            return self._open(names[0])
        pipeline = open_variants(
            names,
            self._open,
            adaptation_settings(wanted),
            moved=self._moved,
            machine=self._machine_state,
        )
        self._node.get_logger().info(f'adaptive: a grey image takes {pipeline.expected()}')
        if pipeline.misordered():
            self._node.get_logger().warning(pipeline.misordered())
        return pipeline

    def open_one(self, name: VariantName) -> PerceptionPipeline:
        """Open one variant."""
        wanted = self._node.parameters
        cameras = max(1, len(wanted.cameras))
        at_once = min(wanted.max_batch or cameras, cameras)
        pipeline = open_built_pipeline(
            name.model,
            backend=wanted.backend,
            precision=name.precision,
            fallback=wanted.fallback_precision,
            threads=wanted.threads or None,
            watch=self.watch(),
            max_batch=at_once,
            gpu_use=GpuUse(cpu_fallback=wanted.cpu_fallback, cameras=at_once),
        )
        self._on_cpu = pipeline.runtime.backend.endswith('-cpu')
        return pipeline

    def appearance(self) -> Appearance | None:
        """What gives objects embeddings, where a model for that is named.

        Raises:
            PerceptionError: it cannot be opened, or is for another task.
        """
        wanted = self._node.parameters
        name = wanted.embeddings_by()
        if not name:
            return None
        check_embeds(load_model_spec(find_model(name)))
        self._opening = name
        pipeline = open_built_pipeline(
            name,
            backend=wanted.backend,
            threads=wanted.threads or None,
            watch=self.watch(),
            max_batch=MOST_AT_ONCE,
            gpu_use=GpuUse(cpu_fallback=wanted.cpu_fallback),
        )
        try:
            return Appearance(pipeline)
        except BaseException:
            pipeline.close()
            raise

    def _open(self, name: VariantName) -> PerceptionPipeline:
        self._opening = f'{name.model} {name.precision}'
        return self.open_one(name)

    def watch(self) -> Watch:
        """How a build is told of in the log and in /diagnostics, and stopped with the process."""
        return Watch(
            BuildControl(self._building, self._node.stopping.is_set),
            lambda text: self._node.get_logger().info(text),
            lambda text: self._node.get_logger().warning(text),
        )

    def _building(self, share: float, phase: str) -> None:
        """Called from TensorRT's threads."""
        self._node.doing = f'building {self._opening}: {share:.0%}, {phase}'
        now = time.monotonic()
        if now - self._progress_logged_s >= _PROGRESS_PERIOD_S:
            self._progress_logged_s = now
            self._node.get_logger().info(self._node.doing)

    def _moved(self, text: str) -> None:
        self.moves += 1
        self.latest_move = text
        self._node.get_logger().info(f'moved {text}')
        self._tell()

    def _machine_state(self) -> MachineState:
        return machine_state(self._node.machine.newest, on_cpu=self._on_cpu)
