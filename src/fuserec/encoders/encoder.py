"""Encoder: the contract of everything that turns a column into vectors; `encode` runs them over a dataset."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fuserec import registry
from fuserec.data.catalog import Column
from fuserec.data.dataset import Dataset, SetAside
from fuserec.data.embeddings import Embeddings
from fuserec.data.media import Limits, check_size
from fuserec.encoders.cache import VectorCache
from fuserec.errors import MediaError, OptionError
from fuserec.packing import learned

OnProgress = Callable[[str, int, int], None]  # (column, items done, items in all)


@dataclass(kw_only=True, eq=False)
class Encoder(ABC):
    """Turns values of one modality into vectors.

    A subclass sets `modality`, writes `encode_batch`, and, for media, `decode`. Raise `version` when the vectors change
    without a change of options: it is part of the cache's key. Both methods are called from several threads at once.
    """

    modality: ClassVar[str]
    version: ClassVar[int] = 1
    batch_size: ClassVar[int] = 32
    SAME_VECTORS: ClassVar[tuple[str, ...]] = ("device",)  # options that do not change the vectors

    def fit(self, values: Sequence[Any]) -> Self:
        """Learn from the training items' values, as `encode_batch` takes them; most encoders have nothing to learn.

        A file is decoded each time that its value is asked for, and raises `MediaError` where it is broken.
        """
        return self

    def decode(self, value: Path, limits: Limits) -> Any:
        """A media file → what `encode_batch` takes a list of. Raises `MediaError`. Not called for texts."""
        raise TypeError(f"{type(self).__name__} does not read files")

    @abstractmethod
    def encode_batch(self, batch: list[Any]) -> NDArray[np.float32]:
        """Decoded values (b of them) → vectors float32 (b, dim)."""

    def reads(self) -> str:
        """What `fit` learns from beside values and options, such as a file: its state, to know it again."""
        return ""

    def state(self) -> str:
        """A hash of what was learned or loaded; empty when the options say all."""
        return ""

    def identity(self) -> str:
        """What makes these vectors, exactly, as JSON: name, version, options, learned state. The cache's key."""
        described = {
            "encoder": type(self).__name__,
            "version": self.version,
            "options": {name: value for name, value in asdict(self).items() if name not in self.SAME_VECTORS},
            "state": self.state(),
        }
        return json.dumps(described, sort_keys=True)

    def space(self) -> str:
        """Names the space the vectors lie in: those of two encoders may be compared where these are the same."""
        return self.identity()


def encode(
    dataset: Dataset,
    encoders: Mapping[str, Encoder] | None = None,
    *,
    cache: VectorCache | None = None,
    limits: Limits | None = None,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Dataset → the same with one `Embeddings` a column, under the column's name.

    encoders: column name or modality → encoder; the name wins. A column with neither is left as it is. Default: see
    `default_encoders`.
    Encoders that learn are fitted on the items that have interactions in this dataset, so give it the training part.
    cache: vectors found there are not made again, and what was learned from the same values with the same options is
    not learned again; new vectors are stored batch by batch.
    workers: threads, each decoding and encoding a batch at a time; default: the number of cores.
    A file that cannot be decoded is set aside and counted; the run goes on.
    """
    encoders = default_encoders() if encoders is None else encoders
    for key, encoder in encoders.items():
        column = dataset.catalog.columns.get(key)
        if column is not None and column.modality != encoder.modality:
            raise OptionError(
                f"column {key!r} holds {column.modality}, but {type(encoder).__name__} encodes {encoder.modality}"
            )
    fitted = {}
    for column in dataset.catalog.columns.values():
        chosen = encoders.get(column.name) or encoders.get(column.modality)
        if chosen is not None:
            run = _ColumnRun(dataset, column, replace(chosen), limits or Limits(), cache, workers, on_progress)
            fitted[column.name] = run.fit()
            dataset = run.encode()
    return dataset.with_stage(Encoded(encoders_=fitted)) if fitted else dataset


@dataclass(kw_only=True, eq=False)
class Encoded:
    """The stage that `encode` leaves behind: column → its fitted encoder, to encode other items in the same way."""

    encoders_: dict[str, Encoder] = field(default_factory=dict)

    def __call__(self, dataset: Dataset) -> Dataset:
        """Another dataset → the same with the vectors of the columns that it has."""
        for name, encoder in self.encoders_.items():
            if name in dataset.catalog.columns:
                column = dataset.catalog.columns[name]
                dataset = _ColumnRun(dataset, column, encoder, Limits(), None, None, None).encode()
        return dataset


def default_encoders() -> dict[str, Encoder]:
    """Modality → encoder: with pretrained weights where the extra `[pretrained]` is installed, without elsewhere."""
    from fuserec.encoders.pretrained import available

    text, image = ("MiniLM", "EfficientNetLite0") if available() else ("TfidfText", "ColorTexture")
    names = {"text": text, "image": image, "audio": "MFCC"}
    encoders = {modality: registry.make("encoder", name) for modality, name in names.items()}
    return {**encoders, "video": registry.make("encoder", "VideoFrames", {"image": image, "audio": "MFCC"})}


class _Values(Sequence[Any]):
    """Rows and how to make the value of one → all values, each made when it is asked for."""

    def __init__(self, make: Callable[[int], Any], rows: list[int]) -> None:
        self._make, self._rows = make, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._make(self._rows[index])


class _ColumnRun:
    """One column through one encoder."""

    def __init__(
        self,
        dataset: Dataset,
        column: Column,
        encoder: Encoder,
        limits: Limits,
        cache: VectorCache | None,
        workers: int | None,
        on_progress: OnProgress | None,
    ) -> None:
        self.dataset, self.column, self.limits, self.cache = dataset, column, limits, cache
        self.workers = workers or os.cpu_count() or 1
        self.on_progress = on_progress or (lambda name, done, total: None)
        self.encoder, self.reads_files = encoder, encoder.modality != "text"
        self.broken: dict[bytes, str] = {}  # content hash → why it cannot be decoded
        self.set_aside: list[SetAside] = []

    def fit(self) -> Encoder:
        """The encoder, fitted, or with what an earlier run learned from the same values."""
        dataset = self.dataset
        if type(self.encoder).fit is Encoder.fit:
            return self.encoder
        learn_from = dataset.warm if dataset.warm.any() else np.ones(dataset.n_items, dtype=bool)
        values = zip(self.column.values, learn_from, strict=True)
        rows = [row for row, (value, used) in enumerate(values) if value and used]
        if self.cache is None:
            return self.encoder.fit(_Values(self._value, rows))
        told = [self.encoder.identity(), self.encoder.reads(), repr(self.limits)]
        told += [self.hashes[row].hex() for row in rows if row in self.hashes]
        known = self.cache.get_learned(json.dumps(told))
        if known:
            vars(self.encoder).update(known)
            return self.encoder
        fitted = self.encoder.fit(_Values(self._value, rows))
        self.cache.put_learned(json.dumps(told), learned(fitted))
        return fitted

    @cached_property
    def hashes(self) -> dict[int, bytes]:
        """Row → the hash of its content, for all rows with a value that can be read."""
        rows = [row for row, value in enumerate(self.column.values) if value is not None]
        with ThreadPoolExecutor(self.workers) as pool:
            return {row: key for row, key in zip(rows, pool.map(self._hash, rows), strict=True) if key is not None}

    def encode(self) -> Dataset:
        hashes, identity = self.hashes, self.encoder.identity()
        with ThreadPoolExecutor(self.workers) as pool:
            rows_of = {key: row for row, key in hashes.items()}  # one row stands for all rows of the same content
            known = {} if self.cache is None else self.cache.get(identity, rows_of)
            todo = [(key, row) for key, row in rows_of.items() if key not in known]
            done = len(rows_of) - len(todo)
            self.on_progress(self.column.name, done, len(rows_of))
            size = self.encoder.batch_size
            batches = [todo[start : start + size] for start in range(0, len(todo), size)]
            try:
                for batch, made in zip(batches, pool.map(self._encode_batch, batches), strict=True):
                    if self.cache is not None and made:
                        self.cache.put(identity, made)
                    known.update(made)
                    done += len(batch)
                    self.on_progress(self.column.name, done, len(rows_of))
            finally:
                pool.shutdown(cancel_futures=True)
        for row, key in hashes.items():
            if key in self.broken:
                self._leave_out(row, self.broken[key])
        return self._embedded({row: known[key] for row, key in hashes.items() if key in known}, identity)

    def _embedded(self, vectors: dict[int, NDArray[np.float32]], identity: str) -> Dataset:
        if not vectors:  # nothing could be encoded: the column is left as it is, with a record of why
            return self.dataset.with_set_aside(sorted(self.set_aside))
        dim = len(next(iter(vectors.values())))
        matrix = np.zeros((self.dataset.n_items, dim), dtype=np.float32)
        present = np.zeros(self.dataset.n_items, dtype=bool)
        for row, vector in vectors.items():
            matrix[row], present[row] = vector, True
        embeddings = Embeddings(matrix, present, identity, self.column.modality)
        return self.dataset.with_embeddings(self.column.name, embeddings).with_set_aside(sorted(self.set_aside))

    def _path(self, row: int) -> Path:
        path = self.dataset.catalog.path(self.column.name, row)
        assert path is not None  # rows without a value are left out before
        return path

    def _value(self, row: int) -> Any:
        return self.encoder.decode(self._path(row), self.limits) if self.reads_files else self.column.values[row]

    def _hash(self, row: int) -> bytes | None:
        if not self.reads_files:
            return hashlib.sha256((self.column.values[row] or "").encode()).digest()
        path = self._path(row)
        try:
            check_size(path, self.limits)
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except MediaError as error:
            self._leave_out(row, str(error))
        except OSError as error:
            self._leave_out(row, error.strerror or "cannot be read")
        return None

    def _encode_batch(self, batch: list[tuple[bytes, int]]) -> dict[bytes, NDArray[np.float32]]:
        keys, decoded = [], []
        for key, row in batch:
            try:
                decoded.append(self._value(row))
                keys.append(key)
            except MediaError as error:
                self.broken[key] = str(error)
        return dict(zip(keys, self.encoder.encode_batch(decoded), strict=True)) if decoded else {}

    def _leave_out(self, row: int, reason: str) -> None:
        where = f"item {self.dataset.catalog.ids[row]}, column {self.column.name}"
        self.set_aside.append(SetAside("encode", self.column.modality, where, reason, self.column.values[row] or ""))
