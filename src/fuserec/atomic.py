"""Folders written all or nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuserec.errors import ArtifactError


@contextmanager
def new_folder(target: Path, *, may_replace: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """`with new_folder(target) as place:` write into `place`; it becomes `target` at the end, or vanishes on an error.

    An empty target is replaced, a full one only if `may_replace(target)`; otherwise `ArtifactError`, before any work.
    """
    if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or may_replace(target))):
        raise ArtifactError(f"{target} exists and holds something else; name another folder, or empty that one first")
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield place
        place.chmod(0o755)  # mkdtemp gives a folder that only its owner can enter
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            os.replace(
                target, old / target.name
            )  # two renames: the target is away for an instant, and never half written
            os.replace(place, target)
            shutil.rmtree(old)
        else:
            os.replace(place, target)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
