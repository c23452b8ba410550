"""`trt_perception cache`: which engines are kept, and deleting them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trt_perception.cli.paths import path
from trt_perception.cli.quantities import age_in_seconds, shown_age, shown_bytes, size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trt_perception.building.engine_cache import EngineCache
    from trt_perception.building.engine_identity import EngineIdentity
    from trt_perception.building.kept_files import KeptEngine, KeptFile


def describe() -> str:
    """One line for the help text."""
    return 'List the engines that were built, add one from elsewhere, or delete old ones.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and what to delete."""
    parser.add_argument('--engines', type=path, metavar='DIR', help='where engines are kept')
    actions = parser.add_subparsers(dest='action', metavar='list|add|prune', required=True)
    listing = actions.add_parser('list', help='list the engines, the last used first')
    listing.add_argument('--json', action='store_true', help='print JSON, for programs')
    adding = actions.add_parser(
        'add', help='keep an engine file that was built elsewhere, by somebody you trust'
    )
    adding.add_argument(
        'file', metavar='FILE', type=path, help='TensorRT runs what is in it: know who made it'
    )
    pruning = actions.add_parser(
        'prune', help='delete engines and timing caches: damaged, too old or too many'
    )
    pruning.add_argument('--max-size', type=size_in_bytes, metavar='SIZE', help='keep at most 2GB')
    pruning.add_argument(
        '--max-age', type=age_in_seconds, metavar='AGE', help='delete what was not used for 30d'
    )
    pruning.add_argument('--dry-run', action='store_true', help='only say what would be deleted')
    for action in (listing, adding, pruning):
        # Wherever it stands; what stands behind the action does not unset what stands before.
        action.add_argument(
            '--engines', type=path, metavar='DIR', default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def run(arguments: argparse.Namespace) -> int:
    """List, add or prune."""
    from trt_perception.building.engine_cache import EngineCache, default_folder
    from trt_perception.errors import EngineFileError

    cache = EngineCache(arguments.engines or default_folder())
    try:
        return ACTIONS[arguments.action](cache, arguments)
    except OSError as error:
        raise EngineFileError(
            f'{cache.folder}: {error.strerror or error}. Check its rights, or name another folder '
            'with --engines'
        ) from error


def _list(cache: EngineCache, arguments: argparse.Namespace) -> int:
    import msgspec

    kept = cache.entries()
    if arguments.json:
        print(msgspec.json.encode(kept, enc_hook=str).decode())
        return 0
    print(f'{_counted([*kept, *cache.timings()])}, in {cache.folder}')
    if kept:
        print(_table(kept))
    return 0


def _add(cache: EngineCache, arguments: argparse.Namespace) -> int:
    added = cache.add(arguments.file)
    print(f'{added.path}: kept')
    print(_table([added]))
    return 0


def _prune(cache: EngineCache, arguments: argparse.Namespace) -> int:
    gone = cache.prune(
        max_bytes=arguments.max_size, max_age_s=arguments.max_age, dry_run=arguments.dry_run
    )
    word = 'would be deleted' if arguments.dry_run else 'deleted'
    print(f'{_counted(gone)}, {word}')
    engines = _engines(gone)
    if engines:
        print(_table(engines))
    return 0


ACTIONS = {'list': _list, 'add': _add, 'prune': _prune}


def _engines(kept: Sequence[KeptFile]) -> list[KeptEngine]:
    from trt_perception.building.kept_files import KeptEngine

    return [file for file in kept if isinstance(file, KeptEngine)]


def _counted(kept: Sequence[KeptFile]) -> str:
    """How many, and how large: '2 engines and 1 timing cache, 13.5 MB'."""
    engines = len(_engines(kept))
    timings = len(kept) - engines
    words = f'{engines} engine' + ('' if engines == 1 else 's')
    if timings:
        words += f' and {timings} timing cache' + ('' if timings == 1 else 's')
    return f'{words}, {shown_bytes(sum(file.size_bytes for file in kept))}'


def _table(kept: Sequence[KeptEngine]) -> str:
    import time

    from trt_perception.cli.tables import aligned

    heading = ('model', 'precision', 'batch', 'pictures', 'built by', 'for', 'size')
    rows = [(*heading, 'last used', 'key')]
    for entry in kept:
        used = shown_age(time.time() - entry.last_used)
        size, key = shown_bytes(entry.size_bytes), entry.path.stem[:12]
        identity = entry.identity
        if identity is None:
            rows.append(('-', '-', '-', '-', entry.damaged[:60], '-', size, used, key))
            continue
        device = identity.gpu.name if identity.gpu else ' '.join(identity.targets)
        batch, pictures = _taken(identity)
        rows.append(
            (
                entry.label,
                identity.precision,
                batch,
                pictures,
                f'{identity.tensorrt.flavour} {identity.tensorrt.version}',
                device,
                size,
                used,
                key,
            )
        )
    return aligned(rows, '<<<<<<>><')


def _taken(identity: EngineIdentity) -> tuple[str, str]:
    """Batches and sizes of pictures that an engine takes: '1:4:8' and '640x384', or 'fixed'."""
    batches, pictures = [], []
    for profile in identity.profiles:
        for extents in profile.values():
            shapes = (extents.min, extents.opt, extents.max)
            batches.append(_range([str(shape[0]) for shape in shapes]))
            if len(extents.opt) == 4:
                pictures.append(_range([f'{shape[3]}x{shape[2]}' for shape in shapes]))
    return ' '.join(batches) or 'fixed', ' '.join(pictures) or 'fixed'


def _range(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else ':'.join(texts)
