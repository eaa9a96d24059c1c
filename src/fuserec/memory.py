"""Memory: the largest that a block takes, what is given back, and what an object holds. All in MB."""

import ctypes
import gc
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
import psutil


class PeakMemory:
    """`with PeakMemory() as peak: ...` → `peak.megabytes`, resident in this process, sampled 50 times a second."""

    def __enter__(self) -> Self:
        give_back()
        self._process = psutil.Process()
        self._stopped = threading.Event()
        self.megabytes = self._resident()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._sampler.join()
        self.megabytes = max(self.megabytes, self._resident())

    def _sample(self) -> None:
        while not self._stopped.wait(0.02):
            self.megabytes = max(self.megabytes, self._resident())

    def _resident(self) -> float:
        return float(self._process.memory_info().rss) / 1e6


def give_back() -> None:
    """Return unused memory to the system: glibc would keep it, and it would count for who comes next."""
    gc.collect()
    with suppress(OSError, AttributeError):  # where there is no glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def held(values: Any) -> float:
    """The arrays in an object: in its attributes, in mappings, lists and tuples → their size; each counts once."""
    total, known, left = 0, set(), [values]
    while left:
        value = left.pop()
        if id(value) in known or isinstance(value, str):
            continue
        known.add(id(value))
        if isinstance(value, np.ndarray):
            total += value.nbytes
        elif isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, (list, tuple)):
            left += value
        else:
            left += getattr(value, "__dict__", {}).values()
    return total / 1e6
