"""Variants of histories, int64 (n,) of what a user chose, the oldest first: the three of CL4SRec (Xie et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.augmentation.augmentation import Augmentation, check_range

History = NDArray[np.int64]


@dataclass(kw_only=True, eq=False)
class SequenceCrop(Augmentation):
    """Keeps one stretch of floor(share n) entries, at least one, in their order (section 3.3.1)."""

    modality: ClassVar[str] = "sequence"

    share: float = 0.6

    def __post_init__(self) -> None:
        check_range(self, 0, 1, share=self.share)

    def __call__(self, value: History, rng: np.random.Generator) -> History:
        """Int64 (n,) → int64 (max(1, floor(share n)),)."""
        start, stop = _stretch(len(value), self.share, rng, least=1)
        return value[start:stop].copy()


@dataclass(kw_only=True, eq=False)
class SequenceMask(Augmentation):
    """Replaces floor(share n) entries by `token` (section 3.3.2)."""

    modality: ClassVar[str] = "sequence"

    share: float = 0.3
    token: int = -1  # what the model takes for "something was here"

    def __post_init__(self) -> None:
        check_range(self, 0, 1, share=self.share)

    def __call__(self, value: History, rng: np.random.Generator) -> History:
        """Int64 (n,) → int64 (n,) with masked entries."""
        masked = value.copy()
        masked[rng.choice(len(value), int(self.share * len(value)), replace=False)] = self.token
        return masked


@dataclass(kw_only=True, eq=False)
class SequenceReorder(Augmentation):
    """Shuffles one stretch of floor(share n) entries (section 3.3.3)."""

    modality: ClassVar[str] = "sequence"

    share: float = 0.6

    def __post_init__(self) -> None:
        check_range(self, 0, 1, share=self.share)

    def __call__(self, value: History, rng: np.random.Generator) -> History:
        """Int64 (n,) → int64 (n,), the same entries."""
        start, stop = _stretch(len(value), self.share, rng)
        shuffled = value.copy()
        shuffled[start:stop] = rng.permutation(value[start:stop])
        return shuffled


def _stretch(size: int, share: float, rng: np.random.Generator, least: int = 0) -> tuple[int, int]:
    length = min(size, max(least, int(share * size)))
    start = int(rng.integers(size - length + 1))
    return start, start + length
