"""What Python's collector of rings of objects looks at. Needs no ROS to be imported.

It goes through all objects that might be in a ring, a second time and a third, in the midst of
frames: a tenth of a second for what imports have made, and it finds nothing there.
"""

from __future__ import annotations

import gc


def spare() -> None:
    """Let it pass over all that is there now, until `collect_all`."""
    gc.freeze()


def collect_new() -> None:
    """Free the rings among what is not spared, and spare what is left."""
    gc.collect()
    spare()


def collect_all() -> None:
    """Free the rings among all objects, spared or not, and spare what is left."""
    gc.unfreeze()
    collect_new()
