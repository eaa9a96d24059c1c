"""Uploaded media → files in a folder of their own, named by content, checked before anything refers to them."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fuserec.data.media import Limits, check_media, read_audio
from fuserec.errors import MediaError

LIMITS = Limits(megabytes=20.0, pixels=24_000_000, seconds=120.0)  # of an upload; less than what preparation takes
SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
BLOCK = 1 << 16  # bytes
CHECK_RATE = 8_000  # Hz at which a sound is decoded once to see that it can be


@contextmanager
def uploaded(file: IO[bytes], filename: str, modality: str, limits: Limits = LIMITS) -> Iterator[Path]:
    """`with uploaded(...) as path:` what a client sent, in a file that is gone afterwards, checked against the limits.

    Of the client's file name only the suffix is used. Raises `MediaError`.
    """
    with tempfile.TemporaryDirectory(prefix="fuserec-") as folder:
        path = Path(folder) / f"upload{_suffix(filename)}"
        with path.open("wb") as copy:
            _copy(file, copy, limits)
        _check(path, modality, limits)
        yield path


class MediaFolder:
    """The folder of the files of items that were added online: `ab/abcdef....png`, by the SHA-256 of the content."""

    def __init__(self, root: Path, limits: Limits = LIMITS) -> None:
        self.root, self.limits = root.resolve(), limits

    def keep(self, file: IO[bytes], filename: str, modality: str) -> str:
        """What a client sent → its path inside the folder, once it is checked and on the disk. Raises `MediaError`."""
        with uploaded(file, filename, modality, self.limits) as path:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            name = f"{digest[:2]}/{digest}{path.suffix}"
            target = self.root / name
            if target.is_file():
                return name
            target.parent.mkdir(parents=True, exist_ok=True)
            place, half = tempfile.mkstemp(prefix=".half-", dir=target.parent)
            try:
                with os.fdopen(place, "wb") as copy:
                    copy.write(path.read_bytes())
                    copy.flush()
                    os.fsync(copy.fileno())
                os.replace(half, target)
            except BaseException:
                Path(half).unlink(missing_ok=True)
                raise
        return name


def _suffix(filename: str) -> str:
    """The suffix of a client's file name where it is a plain one; decoders look at the content, but for `.wav`."""
    suffix = os.path.splitext(filename)[1].lower()
    return suffix if SUFFIX.fullmatch(suffix) else ""


def _copy(source: IO[bytes], target: IO[bytes], limits: Limits) -> None:
    n_bytes = 0
    while block := source.read(BLOCK):
        n_bytes += len(block)
        if n_bytes > limits.megabytes * 1e6:
            raise MediaError(f"the file is larger than the limit of {limits.megabytes:g} MB")
        target.write(block)


def _check(path: Path, modality: str, limits: Limits) -> None:
    check_media(path, modality, limits)
    if modality == "audio":  # a header may claim less than there is
        read_audio(path, limits, CHECK_RATE)
