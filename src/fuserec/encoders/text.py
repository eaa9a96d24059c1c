"""Words → vectors that are learned from the catalog itself: no download, any language with spaces, and Chinese."""

import hashlib
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from threading import Lock
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fuserec.encoders.encoder import Encoder
from fuserec.errors import NotFittedError, OptionError

HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
RUN = re.compile(rf"([{HAN}]+)|[^\W_{HAN}]+")  # a run of Chinese, or a word

_segmenter: Any = None
_segmenter_lock = Lock()


def words(text: str) -> list[str]:
    """Text → its words in order, lower case and full width folded (NFKC); Chinese is segmented by jieba."""
    found: list[str] = []
    for run in RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        found += _chinese().lcut(run[0]) if run[1] else [run[0]]
    return found


def _chinese() -> Any:
    """Jieba's tokenizer, made at the first Chinese text, its dictionary built in memory.

    jieba's own `initialize` would log, and keep a cache file in the folder for temporary files.
    """
    global _segmenter
    with _segmenter_lock:
        if _segmenter is None:
            with warnings.catch_warnings():  # jieba imports pkg_resources and has old escape sequences
                warnings.simplefilter("ignore")
                import jieba

                tokenizer = jieba.Tokenizer()
                tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
            tokenizer.initialized = True
            _segmenter = tokenizer
    return _segmenter


@lru_cache(maxsize=8)
def row_of(vocabulary: tuple[str, ...]) -> dict[str, int]:
    """Words → word → its row; kept, since every batch asks for it and a model holds the words alone."""
    return {word: row for row, word in enumerate(vocabulary)}


def _as_is(found: list[str]) -> list[str]:
    return found


@dataclass(kw_only=True, eq=False)
class TfidfText(Encoder):
    """Texts → float32 (b, dim_) of unit length: weighted word counts, reduced to the directions that tell texts apart.

    A word that occurs f times in a text and in n of N training texts weighs (1 + ln f) (ln((1 + N) / (1 + n)) + 1):
    inverse document frequency (Spärck Jones 1972) with sublinear term frequency (Salton and Buckley 1988), smoothed.
    The reduction is latent semantic analysis (Deerwester et al. 1990): the first right singular vectors of the training
    texts. `dim_` is `dim`, or fewer where the training texts have fewer directions. A text without any known word is
    a row of zeros. Raises `NotFittedError` before `fit`.
    """

    modality: ClassVar[str] = "text"
    version: ClassVar[int] = 2
    batch_size: ClassVar[int] = 256

    dim: int = 128  # numbers a vector, at most
    max_features: int = 50_000  # words kept, the most frequent
    min_texts: int = 1  # a word in fewer training texts is left out
    seed: int = 0  # of the randomized singular value decomposition

    def __post_init__(self) -> None:
        if min(self.dim, self.max_features, self.min_texts) < 1:
            raise OptionError(
                f"dim = {self.dim}, max_features = {self.max_features}, min_texts = {self.min_texts}; "
                "expected 1 or more of each"
            )
        self.words_: tuple[str, ...] = ()
        self.idf_ = np.zeros(0, dtype=np.float32)  # (n_words,)
        self.directions_ = np.zeros((0, 1), dtype=np.float32)  # (n_words, dim_)
        self.state_ = ""

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn words, weights and directions from the training texts; none at all, or none with a word, is allowed."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.utils.extmath import randomized_svd

        digest = hashlib.sha256()
        for text in texts:
            digest.update(hashlib.sha256(text.encode()).digest())
        bags = [words(text) for text in texts]
        vectorizer = TfidfVectorizer(
            analyzer=_as_is,
            sublinear_tf=True,
            min_df=min(self.min_texts, max(len(texts), 1)),
            max_features=self.max_features,
            dtype=np.float32,
        )
        try:
            weights = vectorizer.fit_transform(bags)  # float32 CSR (n_texts, n_words)
        except ValueError:  # no word is left
            self.__post_init__()  # forget an earlier fit
        else:
            n_directions = min(self.dim, *weights.shape)
            _, sizes, directions = randomized_svd(weights, n_directions, n_iter=5, random_state=self.seed)
            directions = directions[sizes > 1e-6 * sizes[0]]  # the others are rounding errors
            self.words_ = tuple(vectorizer.get_feature_names_out().tolist())
            self.idf_ = np.asarray(vectorizer.idf_, dtype=np.float32)
            self.directions_ = np.ascontiguousarray(directions.T, dtype=np.float32)
        self.state_ = digest.hexdigest()
        return self

    def encode_batch(self, batch: list[str]) -> NDArray[np.float32]:
        """Texts (b of them) → float32 (b, dim_), each of unit length or all zeros. Raises `NotFittedError`."""
        if not self.state_:
            raise NotFittedError("TfidfText has not seen any texts; call fit(texts) with the training texts first")
        if not batch:
            return np.zeros((0, self.directions_.shape[1]), dtype=np.float32)
        vectors = np.asarray(self._weights(batch) @ self.directions_, dtype=np.float32)  # (b, dim_)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-6)
        return unit

    def _weights(self, texts: list[str]) -> Any:
        """Texts (b of them) → the weights of their words: float32 CSR (b, n_words), each row of unit length or empty.

        What sklearn's fitted vectorizer gives; from the learned arrays alone, so that a saved encoder needs no more.
        """
        from scipy.sparse import csr_matrix

        rows = row_of(self.words_)
        found = [Counter(rows[word] for word in words(text) if word in rows) for text in texts]
        starts = np.cumsum([0, *map(len, found)])
        columns = np.fromiter(chain.from_iterable(found), dtype=np.int32, count=starts[-1])
        times = np.fromiter(chain.from_iterable(bag.values() for bag in found), dtype=np.float32, count=starts[-1])
        weights = (1 + np.log(times)) * self.idf_[columns]
        matrix = csr_matrix((weights, columns, starts), shape=(len(texts), len(self.words_)))
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())  # (b,)
        matrix.data /= np.repeat(length, np.diff(starts))
        return matrix

    def state(self) -> str:
        """SHA-256 over the training texts in their order; empty before `fit`."""
        return self.state_
