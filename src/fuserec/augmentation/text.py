"""Variants of texts: tokens left out, tokens that change places.

A token is what stands between white space, and every Chinese character is one of its own: cutting Chinese into words
takes a dictionary, and single characters that are gone or moved leave most words of a text whole.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fuserec.augmentation.augmentation import Augmentation, check_range

HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
TOKEN = re.compile(rf"([{HAN}]|[^\s{HAN}]+)(\s*)")  # a token, and the space after it


@dataclass(kw_only=True, eq=False)
class TokenDropout(Augmentation):
    """Leaves out each token with probability `rate`, but never all of them (random deletion of Wei and Zou 2019)."""

    modality: ClassVar[str] = "text"

    rate: float = 0.1

    def __post_init__(self) -> None:
        check_range(self, 0, 1, rate=self.rate)

    def __call__(self, value: str, rng: np.random.Generator) -> str:
        """Text → the same without some of its tokens and the spaces after them."""
        pieces = [token[0] for token in TOKEN.finditer(value)]
        if not pieces:
            return value
        kept = rng.random(len(pieces)) >= self.rate
        kept[rng.integers(len(pieces))] |= not kept.any()
        return "".join(piece for piece, stays in zip(pieces, kept, strict=True) if stays)


@dataclass(kw_only=True, eq=False)
class TokenSwap(Augmentation):
    """Lets two tokens drawn at random change places, `rate` times the number of tokens (Wei and Zou 2019).

    At least once where there are two tokens and `rate` is not 0. The spaces stay where they are.
    """

    modality: ClassVar[str] = "text"

    rate: float = 0.1  # swaps a token

    def __post_init__(self) -> None:
        check_range(self, 0, 1, rate=self.rate)

    def __call__(self, value: str, rng: np.random.Generator) -> str:
        """Text → its tokens in another order."""
        found = TOKEN.findall(value)
        if len(found) < 2:
            return value
        tokens = [token for token, _ in found]
        for _ in range(int(np.ceil(self.rate * len(tokens)))):
            first, second = rng.choice(len(tokens), 2, replace=False)
            tokens[first], tokens[second] = tokens[second], tokens[first]
        return "".join(token + space for token, (_, space) in zip(tokens, found, strict=True))
