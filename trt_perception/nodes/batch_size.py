"""How many images go into one inference. Needs no ROS to be imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkBound:
    """What the network takes.

    Attributes:
        model: its name.
        backend: what runs it.
        most: images at once; None where nothing bounds them.
    """

    model: str
    backend: str
    most: int | None

    @property
    def on_cpu(self) -> bool:
        """Whether a batch would only delay its first image."""
        return self.backend.endswith('-cpu')


def batch_size(
    asked: int, cameras: int, network: NetworkBound, deadline_ms: float
) -> tuple[int, list[str]]:
    """Images in one inference, as far as it can be had, and what of that may surprise.

    Args:
        asked: `max_batch`; 0 leaves it to the node.
        cameras: how many there are, at least 1. A batch holds one image of each.
        network: what it takes.
        deadline_ms: `batch_deadline_ms`; 0 waits for no other camera.

    Returns:
        At least 1; and sentences for the log, which name the parameters.
    """
    most = network.most or cameras
    wanted = asked or (1 if network.on_cpu else cameras)
    size = max(1, min(wanted, cameras, most))
    said = []
    if asked > cameras:
        said.append(
            f'max_batch is {asked}, but a batch holds one image of each camera: batches hold '
            f'{size}. Name more cameras by `cameras`, or lower max_batch'
        )
    if min(asked, cameras) > most:
        said.append(
            f'max_batch is {asked}, but {network.model} takes {most} images at once on '
            f'{network.backend}: batches hold {size}. Export the network with an open batch axis, '
            'or build its engine with --batch'
        )
    if size == 1 and deadline_ms:
        said.append(f'batch_deadline_ms has no effect, since {_why_one(asked, cameras, most)}')
    return size, said


def _why_one(asked: int, cameras: int, most: int) -> str:
    if cameras == 1:
        return 'the only camera waits for no other: set it to 0'
    if most == 1:
        return 'the network takes one image at once: set it to 0, or see to the network'
    left_to_the_node = '' if asked else ', which is 1 on a CPU'
    return f'max_batch is {asked}{left_to_the_node}: set max_batch to 2 or more'
