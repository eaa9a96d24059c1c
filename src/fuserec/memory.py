"""PeakMemory: the largest resident memory of this process during a block, in MB."""

import threading
from types import TracebackType
from typing import Self

import psutil


class PeakMemory:
    """`with PeakMemory() as peak: ...` → `peak.megabytes`, sampled 50 times a second."""

    def __enter__(self) -> Self:
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
