"""PeakMemory: the largest resident memory of this process during a block, in MB."""

import ctypes
import gc
import threading
from types import TracebackType
from typing import Self

import psutil


def resident() -> float:
    """The resident memory of this process, in MB, after what is no longer used was given back."""
    gc.collect()
    try:  # glibc keeps freed memory, so that what one model used would be counted as the next one's
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass  # not glibc
    return _resident(psutil.Process())


class PeakMemory:
    """`with PeakMemory() as peak: ...` → `peak.megabytes`, sampled 50 times a second.

    growth: by how many of them the process grew above what it had when the block began
    """

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self._stopped = threading.Event()
        self.megabytes = self._before = resident()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._sampler.join()
        self.megabytes = max(self.megabytes, _resident(self._process))
        self.growth = self.megabytes - self._before

    def _sample(self) -> None:
        while not self._stopped.wait(0.02):
            self.megabytes = max(self.megabytes, _resident(self._process))


def _resident(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6
