"""Files and folders written all or nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuserec.errors import ArtifactError


def check_writable(target: Path) -> None:
    """Raise `ArtifactError` when nothing can be made under this name: to be asked before work that would be lost."""
    place = next(parent for parent in target.absolute().parents if os.path.lexists(parent))
    if not os.path.isdir(place):
        raise ArtifactError(f"{target} cannot be written: {place} is not a folder; name another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ArtifactError(f"{target} cannot be written: no permission to write into {place}; name another place")


def check_folder(target: Path, *, may_replace: Callable[[Path], bool] = lambda folder: False) -> None:
    """Raise `ArtifactError` when `new_folder` could not, or must not, write this folder."""
    if os.path.isdir(target):  # unlike Path.is_dir, false below a folder without permission
        found = sorted(os.listdir(target))
        if found and not may_replace(target):
            names = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise ArtifactError(
                f"{target} exists and holds something else ({names}); name another folder, or empty that one first"
            )
    elif os.path.lexists(target):
        raise ArtifactError(f"{target} is a file; name a new folder")
    check_writable(target)


@contextmanager
def new_folder(target: Path, *, may_replace: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """`with new_folder(target) as place:` write into `place`; it becomes `target` at the end, or vanishes on an error.

    An empty target is replaced, a full one only if `may_replace(target)`; otherwise `ArtifactError`, before any work.
    """
    check_folder(target, may_replace=may_replace)
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


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """`with new_file(target) as place:` write the file `place`; it becomes `target` at the end, or vanishes on errors.

    What was there is replaced in one step: whoever is killed leaves the old file or the new one, never half of one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target.with_name(target.name + ".part")
    try:
        yield place
        os.replace(place, target)
    finally:
        place.unlink(missing_ok=True)
