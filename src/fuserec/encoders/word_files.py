"""Files of word vectors, as GloVe, word2vec and FastText write them → words and one array."""

import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fuserec.encoders.text import RUN
from fuserec.errors import DataError, OptionError

FASTTEXT_MODEL = b"\xba\x16O/"  # the first bytes of FastText's own .bin files
LONGEST_WORD, LONGEST_VECTOR = 10_000, 100_000  # bytes, numbers; more is a damaged file, no reason to use up memory


def read_word_vectors(path: Path, limit: int) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """A file of word vectors → the words among its first `limit`, and their vectors float32 (n_words, dim).

    `.txt` and `.vec`: a word and its numbers a line, after word2vec's line of two counts or, as GloVe's, without it;
    `.bin`: word2vec's binary. Words are folded as texts are (lower case, full width), the first of equal ones wins;
    those that no text can hold, such as punctuation, are left out.
    Raises `OptionError` for another ending, `DataError` for a file that is missing, damaged or something else.
    """
    if path.suffix not in (".txt", ".vec", ".bin"):
        raise OptionError(
            f"WordVectors: source is {str(path)!r}; "
            "expected 'train', 'fasttext', or a file that ends in .txt, .vec or .bin"
        )
    vectors: dict[str, NDArray[np.float32]] = {}
    try:
        with path.open("rb") as file:
            for spelled, vector in islice(_binary(file) if path.suffix == ".bin" else _text(file), limit):
                if not np.isfinite(vector).all():
                    raise ValueError(f"a number of {spelled!r} is not finite")
                word = unicodedata.normalize("NFKC", spelled).casefold()
                if RUN.fullmatch(word):
                    vectors.setdefault(word, vector)
        if not vectors:
            raise ValueError("no word in it")
    except OSError as error:
        raise DataError(f"{path}: word vectors cannot be read ({error.strerror}); give the path of a file") from error
    except ValueError as error:
        raise DataError(
            f"{path}: these are not word vectors, or the file is damaged ({error}); expected a word and its numbers a "
            "line (.txt, .vec) or word2vec's binary (.bin)"
        ) from error
    return tuple(vectors), np.stack(list(vectors.values()))


def _text(file: BinaryIO) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Raises `ValueError` for a line that is not a word and its numbers, or where lines are missing."""
    first = file.readline().split()
    n_words, dim = map(int, first) if len(first) == 2 else (None, len(first) - 1)
    if n_words is None:
        file.seek(0)
    n = 0
    for n, line in enumerate(file, 1):
        word, *numbers = line.rstrip().rsplit(b" ", dim)  # from the right: some words of GloVe's hold spaces
        if len(numbers) != dim or dim < 1:
            raise ValueError(f"word {n} has {len(numbers)} numbers instead of {dim}")
        yield word.decode(errors="replace"), np.array(numbers, dtype=np.float32)
    if n_words is not None and n < n_words:
        raise ValueError(f"it ends after {n} of {n_words} words")


def _binary(file: BinaryIO) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Raises `ValueError` where it is not as word2vec writes it, or ends too early."""
    first = file.readline(100)
    if first.startswith(FASTTEXT_MODEL):
        raise ValueError("a whole FastText model: give the .vec file that comes with it")
    n_words, dim = map(int, first.split())
    if not 1 <= dim <= LONGEST_VECTOR:
        raise ValueError(f"{dim} numbers a word")
    for n in range(n_words):
        word = b""
        while (byte := file.read(1)) not in (b" ", b"") and len(word) < LONGEST_WORD:
            word += byte
        numbers = file.read(4 * dim)
        if len(word) == LONGEST_WORD or len(numbers) < 4 * dim:
            raise ValueError(f"it ends, or goes wrong, after {n} of {n_words} words")
        yield word.lstrip(b"\n").decode(errors="replace"), np.frombuffer(numbers, dtype="<f4").astype(np.float32)
