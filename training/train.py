"""Trains one of the three networks on rendered scenes.

    python -m training.train detect --data FOLDER --out runs/detect --minutes 30
    python -m training.train detect --data FOLDER --out runs/detect --minutes 30 --resume

`--minutes` is the length of the whole training, over which the learning rate falls; `--steps`
states it in steps instead, which does not depend on the machine's speed. `--stop-after` ends this
run early, to go on later with `--resume`. OUT then holds `checkpoint.pt` and `log.jsonl`, one
line of losses for each 100 steps. README.md says how far a training can be repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.losses import detection_loss, semantic_loss
from training.networks import StreetDetector, StreetSegmenter
from trt_perception.scenes import SEMANTIC_CLASSES, THING_CLASSES

WEIGHTS = {'class': 0.5, 'box': 7.5, 'bins': 1.5, 'mask': 3.0, 'entropy': 1.0, 'dice': 1.0}
"""How much each loss counts in the sum."""
WARM_UP = 500
"""Steps over which the learning rate rises."""


def make_network(task: str) -> StreetDetector | StreetSegmenter:
    """The untrained network of a task: 'detect', 'instance' or 'semantic'."""
    if task == 'semantic':
        return StreetSegmenter(len(SEMANTIC_CLASSES))
    return StreetDetector(len(THING_CLASSES), instances=task == 'instance')


class Scenes:
    """Batches of the rendered scenes, mirrored and tinted at random.

    All of them are kept in the memory of a GPU; on a CPU they stay mapped files.
    """

    def __init__(self, folder: Path, task: str, device: torch.device, seed: int) -> None:
        """Open a folder that `training.dataset` has filled, for batches on `device`."""
        labels = ['semantic'] if task == 'semantic' else ['boxes', 'classes']
        labels += ['instances'] if task == 'instance' else []
        self.device = device
        self.arrays: dict[str, Tensor] = {}
        for name in ['images', *labels]:
            array = np.load(folder / f'{name}.npy', mmap_mode='c')
            self.arrays[name] = self._place(array)
        self.count = len(self.arrays['images'])
        self.random = torch.Generator(device).manual_seed(seed)

    def _place(self, array: NDArray[Any]) -> Tensor:
        if self.device.type == 'cpu':
            return torch.from_numpy(array)
        whole = torch.empty(
            array.shape, dtype=torch.from_numpy(array[:1]).dtype, device=self.device
        )
        for start in range(0, len(array), 512):
            whole[start : start + 512] = torch.from_numpy(array[start : start + 512])
        return whole

    def batch(self, size: int) -> dict[str, Tensor]:
        """`images` float32 [B, 3, H, W] RGB in 0..1, and the labels of the task.

        `boxes` [B, OBJECTS, 4] xyxy pixels, `classes` [B, OBJECTS], `instances` [B, H/4, W/4],
        `semantic` [B, H, W], as `training.dataset` describes them. A batch is mirrored whole.
        """
        pick = torch.randint(self.count, (size,), generator=self.random, device=self.device)
        found = {name: array[pick.to(array.device)] for name, array in self.arrays.items()}
        images = found['images'].permute(0, 3, 1, 2).flip(1).float() / 255
        if torch.rand(1, generator=self.random, device=self.device) < 0.5:
            images, found = images.flip(3), mirrored(found, images.shape[3])
        found['images'] = tinted(images, self.random)
        return found


def mirrored(labels: dict[str, Tensor], width: int) -> dict[str, Tensor]:
    """Labels of the images with left and right exchanged; `width` of the images in pixels."""
    changed = dict(labels)
    if 'boxes' in labels:
        boxes = labels['boxes'].clone()
        boxes[..., 0], boxes[..., 2] = (
            width - labels['boxes'][..., 2],
            width - labels['boxes'][..., 0],
        )
        changed['boxes'] = boxes
    for name in ('instances', 'semantic'):
        if name in labels:
            changed[name] = labels[name].flip(2)
    return changed


def tinted(images: Tensor, random: torch.Generator) -> Tensor:
    """Images with other brightness, contrast and white balance."""
    count, device = len(images), images.device
    gain = 1 + 0.12 * torch.randn((count, 1, 1, 1), generator=random, device=device)
    tint = 1 + 0.04 * torch.randn((count, 3, 1, 1), generator=random, device=device)
    lift = 0.03 * torch.randn((count, 1, 1, 1), generator=random, device=device)
    return (images * gain * tint + lift).clamp(0, 1)


def losses_of(task: str, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of one batch of `Scenes` by name, not yet weighted."""
    images = batch['images'].contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16):
        output = model(images)
    if task == 'semantic':
        weights = torch.ones(len(SEMANTIC_CLASSES), device=images.device)
        weights[len(SEMANTIC_CLASSES) - len(THING_CLASSES) :] = 2.0
        return semantic_loss(output, batch['semantic'], weights)
    classes = batch['classes'].long()
    most = max(int((classes >= 0).sum(1).max()), 1)
    classes = classes[:, :most]
    raw, prototypes = output
    assert isinstance(model, StreetDetector)
    return detection_loss(
        model, raw, prototypes, batch['boxes'][:, :most], classes.clamp(min=0), classes >= 0,
        batch.get('instances'), (images.shape[2], images.shape[3]),
    )  # fmt: skip


class Training:
    """One training: network, its moving average, optimiser and clock.

    Attributes:
        step: steps done, over all runs.
        seconds: time spent, over all runs.
    """

    def __init__(self, task: str, device: torch.device, rate: float, seed: int) -> None:
        """Begin; `rate` is the highest learning rate, `seed` that of the weights and batches."""
        torch.manual_seed(seed)
        self.task = task
        self.seed = seed
        self.rate = rate
        self.model = make_network(task).to(device, memory_format=torch.channels_last)
        self.average = deepcopy(self.model).eval().requires_grad_(False)
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{'params': weights, 'weight_decay': 0.02}, {'params': others, 'weight_decay': 0.0}],
            lr=rate,
        )
        self.step = 0
        self.seconds = 0.0

    def advance(self, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """One step; `progress` is how much of the whole training is over, 0 to 1."""
        falling = 0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        for group in self.optimiser.param_groups:
            group['lr'] = self.rate * falling * min(1.0, (self.step + 1) / WARM_UP)
        losses = losses_of(self.task, self.model, batch)
        total = torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        return losses

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(0.9995, (1 + self.step) / (100 + self.step))
        averaged, fresh = self.average.state_dict(), self.model.state_dict()
        floating = [k for k, v in averaged.items() if v.dtype.is_floating_point]
        torch._foreach_lerp_(
            [averaged[k] for k in floating], [fresh[k] for k in floating], 1 - keep
        )

    def save(self, path: Path) -> None:
        """Write everything that `load` needs, whole or not at all."""
        state = {
            'task': self.task, 'seed': self.seed, 'step': self.step, 'seconds': self.seconds,
            'model': self.model.state_dict(), 'average': self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
        }  # fmt: skip
        torch.save(state, path.with_suffix('.part'))
        path.with_suffix('.part').replace(path)

    def load(self, path: Path, device: torch.device) -> None:
        """Go on from a checkpoint; SystemExit if it belongs to another task."""
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if state['task'] != self.task:
            raise SystemExit(
                f'{path}: trains {state["task"]}, not {self.task}. Choose another folder for --out'
            )
        self.model.load_state_dict(state['model'])
        self.average.load_state_dict(state['average'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step, self.seconds = state['step'], state['seconds']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('task', choices=('detect', 'instance', 'semantic'))
    parser.add_argument('--data', type=Path, required=True, help='folder of training.dataset')
    parser.add_argument('--out', type=Path, required=True, help='folder for checkpoint and log')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--minutes', type=float, default=30, help='of the whole training')
    parser.add_argument('--steps', type=int, help='of the whole training, instead of minutes')
    parser.add_argument('--stop-after', type=float, help='minutes of this run')
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--rate', type=float, default=2e-3, help='highest learning rate')
    parser.add_argument('--seed', type=int, default=1, help='of the first weights and the batches')
    parser.add_argument('--resume', action='store_true', help='go on from the checkpoint in OUT')
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = torch.device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / 'checkpoint.pt'
    if checkpoint.is_file() and not arguments.resume:
        raise SystemExit(f'{checkpoint} is there already. Go on with --resume, or remove it')
    training = Training(arguments.task, device, arguments.rate, arguments.seed)
    if checkpoint.is_file():
        training.load(checkpoint, device)
    scenes = Scenes(arguments.data, arguments.task, device, arguments.seed + training.step)
    run(training, scenes, arguments, checkpoint)


def run(
    training: Training, scenes: Scenes, arguments: argparse.Namespace, checkpoint: Path
) -> None:
    """Train until time or steps are over; log every 100 steps, save every two minutes."""
    stop = math.inf
    if arguments.stop_after is not None:
        stop = training.seconds + arguments.stop_after * 60

    def progress() -> float:
        if arguments.steps:
            return training.step / arguments.steps
        return training.seconds / (arguments.minutes * 60)

    last = saved = time.monotonic()
    with (arguments.out / 'log.jsonl').open('a') as log:
        while progress() < 1 and training.seconds < stop:
            losses = training.advance(scenes.batch(arguments.batch), progress())
            now = time.monotonic()
            training.seconds += now - last
            last = now
            if training.step % 100 == 0:
                row = {'step': training.step, 'minutes': round(training.seconds / 60, 2)}
                row |= {name: round(float(value), 4) for name, value in losses.items()}
                log.write(json.dumps(row) + '\n')
                log.flush()
                print(arguments.task, row, flush=True)
            if now - saved > 120:
                training.save(checkpoint)
                saved = now
    training.save(checkpoint)
    print(f'{checkpoint}: {training.step} steps, {training.seconds / 60:.1f} minutes', flush=True)


if __name__ == '__main__':
    main()
