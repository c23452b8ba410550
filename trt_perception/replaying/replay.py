"""The work of a whole replay, piece by piece: what can be done next, and what that leads to."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trt_perception.closing import Closing
from trt_perception.errors import OutputError
from trt_perception.replaying.assembly import AssemblyWork, tally
from trt_perception.replaying.part_work import PartWork
from trt_perception.replaying.parts_folder import (
    PartsFolder,
    differences,
    folder_of,
    read_run,
)
from trt_perception.replaying.plan import IMAGES_IN_PART, BagPlan
from trt_perception.replaying.recipe import Recipe

Work = PartWork | AssemblyWork
"""A piece of work that any process can do."""

VERSION = 1
"""Counts up when parts of an older version must not be continued."""


@dataclass
class _OpenBag:
    """A bag that is being worked on.

    Attributes:
        plan: what is to be done.
        folder: where its parts go.
        left: parts that are not done.
        works: pieces that nobody has taken yet.
        busy: pieces that somebody works on.
    """

    plan: BagPlan
    folder: PartsFolder
    left: int
    works: deque[Work] = field(default_factory=deque)
    busy: int = 0


class Replay(Closing):
    """Hands out the work of several bags. Used by one thread.

    Attributes:
        plans: the bags that are not finished yet.
        already: the bags that an earlier run has finished.
        recipe: what is done to each image.
    """

    def __init__(
        self,
        plans: Sequence[BagPlan],
        recipe: Recipe,
        model: Mapping[str, Any],
        *,
        with_images: bool,
    ) -> None:
        """Look which bags are finished. Of the others nothing is written yet.

        Args:
            plans: the bags.
            recipe: what is done to each image.
            model: what tells this model from others, for JSON.
            with_images: copy the camera's images into the bags.

        Raises:
            OutputError: a bag to write exists and is not of a run with the same settings.
        """
        self.recipe = recipe
        self._model = dict(model)
        self._with_images = with_images
        self.already = [plan for plan in plans if self._is_finished(plan)]
        self.plans = [plan for plan in plans if plan not in self.already]
        self._waiting = deque(self.plans)
        self._open: list[_OpenBag] = []

    def images_done(self) -> int:
        """Images in the finished parts of the unfinished bags."""
        done = [tally(folder_of(plan.out), plan) for plan in self.plans]
        return sum(frames + sum(skipped.values()) for frames, skipped in done)

    def next(self) -> Work | None:
        """A piece of work for whoever asks; None if there is none until some other is done.

        Raises:
            OutputError: the parts of a bag cannot be written, or another run writes them.
        """
        while True:
            for bag in self._open:
                # Objects are followed from part to part: one after the other, then.
                if bag.works and not (self.recipe.follows and bag.busy):
                    bag.busy += 1
                    return bag.works.popleft()
            if not self._waiting:
                return None
            self._begin(self._waiting.popleft())

    def done(self, work: Work) -> None:
        """A piece of work is done, which may make others possible."""
        bag = next(bag for bag in self._open if bag.folder.path == work.folder)
        if isinstance(work, AssemblyWork):
            bag.folder.clear()
            bag.folder.close()
            self._open.remove(bag)
            return
        bag.busy -= 1
        bag.left -= 1
        if not bag.left:
            bag.works.append(self._assembly(bag))

    def close(self) -> None:
        """Let another run go on. A second call does nothing."""
        while self._open:
            self._open.pop().folder.close()

    def _begin(self, plan: BagPlan) -> None:
        folder = PartsFolder(plan.out, self._made_with(plan))
        parts = [part for part in plan.parts if not folder.finished(part.index)]
        bag = _OpenBag(plan, folder, len(parts))
        bag.works.extend(
            PartWork(self.recipe, plan.bag, plan.cameras, part, folder.path) for part in parts
        )
        if not parts:
            bag.works.append(self._assembly(bag))
        self._open.append(bag)

    def _assembly(self, bag: _OpenBag) -> AssemblyWork:
        made_with = tuple(self._made_with(bag.plan).items())
        return AssemblyWork(self.recipe, bag.plan, bag.folder.path, self._with_images, made_with)

    def _made_with(self, plan: BagPlan) -> dict[str, Any]:
        """All that the written bag depends on."""
        settings = self.recipe.settings
        chosen = settings.class_filter
        return {
            'version': VERSION,
            'images_in_part': IMAGES_IN_PART,
            'bag': plan.identity,
            'topics': [camera.topic for camera in plan.cameras],
            'with_images': self._with_images,
            **self._model,
            'backend': self.recipe.backend,
            'precision': self.recipe.precision,
            'fallback': self.recipe.fallback,
            'score': settings.score,
            'iou': settings.iou,
            'max_detections': settings.max_detections,
            'classes': None if chosen is None else sorted(chosen),
            'tracking': self._tracking(),
        }

    def _tracking(self) -> dict[str, Any] | None:
        """As an earlier version noted nothing of it: None where nobody asks for it."""
        recipe = self.recipe
        if not recipe.follows and not recipe.embedding_model:
            return None
        return {**asdict(recipe.tracking), 'embedding_model': recipe.embedding_model}

    def _is_finished(self, plan: BagPlan) -> bool:
        if not plan.out.exists():
            return False
        run = read_run(plan.out)
        if run is None:
            raise OutputError(f'{plan.out}: exists already. Remove it or choose another name')
        different = differences(run, self._made_with(plan))
        if different:
            raise OutputError(
                f'{plan.out}: exists already and was made with other settings ({different}). '
                'Remove it or choose another name'
            )
        # A run that was killed right after the bag had its name has left them.
        shutil.rmtree(folder_of(plan.out), ignore_errors=True)
        return True
