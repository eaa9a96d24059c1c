"""VectorCache: vectors and what encoders learned, on disk, keyed by what was encoded and by what encoded it."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.errors import ArtifactError, DataError
from fuserec.packing import Arrays, pack, unpack

MANIFEST = "manifest"  # where the JSON of what was learned stands beside its arrays


class VectorCache:
    """One SQLite file: (hash of the encoder's identity, hash of the content) → float32 vector.

    In a second table: a hash of what an encoder learned from → its learned attributes, as safetensors.

    Every `put` is one transaction, so a killed run loses at most the batch at hand, and runs may share a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60.0)
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors"
                    " (encoder BLOB, content BLOB, vector BLOB, PRIMARY KEY (encoder, content)) WITHOUT ROWID"
                )
                self._connection.execute("CREATE TABLE IF NOT EXISTS learned (source BLOB PRIMARY KEY, packed BLOB)")
            except sqlite3.Error:
                self._connection.close()
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{self.path}: cannot be used as a vector cache ({error}); delete the file or name another with --cache"
            ) from error

    def get(self, encoder: str, contents: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Encoder identity and content hashes → the vectors that are there, each float32 (dim,)."""
        key = _sha256(encoder)
        found = {}
        with self._errors():
            for content in contents:
                row = self._connection.execute(
                    "SELECT vector FROM vectors WHERE encoder = ? AND content = ?", (key, content)
                ).fetchone()
                if row is not None:
                    found[content] = np.frombuffer(row[0], dtype="<f4")
        return found

    def put(self, encoder: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keep these vectors, content hash → float32 (dim,), for this encoder identity."""
        key = _sha256(encoder)
        rows = [(key, content, vector.astype("<f4").tobytes()) for content, vector in vectors.items()]
        with self._errors(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def get_learned(self, source: str) -> dict[str, Any] | None:
        """What was learned from (options and content, as text) → the learned attributes; None where it is not known."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        with self._errors():
            row = self._connection.execute("SELECT packed FROM learned WHERE source = ?", (_sha256(source),)).fetchone()
        if row is None:
            return None
        try:
            arrays = load(row[0])
            found: dict[str, Any] = unpack(json.loads(arrays.pop(MANIFEST).tobytes()), arrays)
            return found
        except (SafetensorError, ValueError, KeyError, TypeError):  # of another version: it is learned again
            return None

    def put_learned(self, source: str, attributes: Mapping[str, Any]) -> None:
        """Keep learned attributes; what packing does not store is not kept, and learned again in the next run."""
        from safetensors.numpy import save

        arrays: Arrays = {}
        try:
            manifest = json.dumps(pack(attributes, arrays, "learned")).encode()
        except ArtifactError:
            return
        packed = save({**arrays, MANIFEST: np.frombuffer(manifest, np.uint8)})
        with self._errors(), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO learned VALUES (?, ?)", (_sha256(source), packed))

    def __len__(self) -> int:
        with self._errors():
            return int(self._connection.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "VectorCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
