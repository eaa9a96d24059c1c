"""Texts → averages of word vectors, which are trained on the catalog (extra `[words]`) or read from a file."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from fuserec.encoders.encoder import Encoder
from fuserec.encoders.text import row_of, words
from fuserec.encoders.word_files import read_word_vectors
from fuserec.errors import MissingExtraError, NotFittedError, OptionError

Vectors = NDArray[np.float32]

SIF_A = 1e-3  # Arora et al. use 1e-4 to 1e-3
SHORTEST, LONGEST, BUCKETS = 3, 6, 2**17  # characters of an n-gram (FastText's own), rows that n-grams are hashed to
MAX_WORDS = 10_000  # gensim leaves out what comes after these in a text


@dataclass(kw_only=True, eq=False)
class WordVectors(Encoder):
    """Texts → float32 (b, dim_): the average of the vectors of each text's words, not of unit length.

    A word's vector comes from skip-grams with negative sampling, trained on the training texts (word2vec: Mikolov et
    al. 2013), from the same with character n-grams, which give vectors to unknown words too (FastText: Bojanowski et
    al. 2017), or from a file (also GloVe: Pennington et al. 2014). How they are averaged, with v_w a word's vector:

    mean    sum v_w / n over the text's n known words
    tfidf   sum idf_w v_w / sum idf_w, with idf_w = ln((1 + N) / (1 + N_w)) + 1, N_w of N training texts holding w
    sif     smooth inverse frequency (Arora et al. 2017): sum a / (a + p_w) v_w / n, with p_w the share of w among the
            words of the training texts and a = 0.001; then without its part along the first principal component
            (uncentered, as in the paper) of the training texts' averages

    The projection `sigmoid` is an embedding layer after that: sigmoid(W v + b), with a seeded random W that is not
    trained (Huang, Zhu and Siew 2006), scaled, and b set, so that W v + b has mean 0 and variance 1 over the training
    texts (Salimans and Kingma 2016, section 3): neither all near 1/2 nor all at 0 and 1.

    A text without any known word is a row of zeros, as is one of which `sif` leaves nothing.
    Raises `NotFittedError` before `fit`, `DataError` for a file that cannot be used, and, where words are trained here,
    `MissingExtraError` without gensim.
    """

    modality: ClassVar[str] = "text"
    batch_size: ClassVar[int] = 256

    source: str = "train"  # "train" (word2vec), "fasttext", or the path of a .txt, .vec or .bin file
    pooling: Literal["mean", "tfidf", "sif"] = "sif"
    projection: Literal["none", "sigmoid"] = "none"
    dim: int = 100  # numbers a vector of words trained here, and out of the projection; a file has its own
    window: int = 5  # training: words to either side that a word predicts
    min_count: int = 1  # training: a word that occurs fewer times is left out
    epochs: int = 20  # training: passes over the texts; fewer than some 100,000 words gain from more
    limit: int = 50_000  # file: its first words that are kept (such files begin with the most frequent ones)
    seed: int = 0  # of the training and of the projection

    def __post_init__(self) -> None:
        self._check_options()
        self.vocabulary_: tuple[str, ...] = ()
        self.vectors_ = np.zeros((0, self.dim), dtype=np.float32)  # (n_words, word_dim)
        self.weights_ = np.zeros(0, dtype=np.float32)  # (n_words,) of each word in the average
        self.unknown_weight_ = 1.0  # of a word that is not in the vocabulary
        self.ngram_buckets_ = np.zeros(0, dtype=np.int64)  # (n_buckets,) ascending: where the vocabulary's n-grams lie
        self.ngram_vectors_ = np.zeros((0, self.dim), dtype=np.float32)  # (n_buckets, word_dim)
        self.common_ = np.zeros((0, self.dim), dtype=np.float32)  # (0 or 1, word_dim): the component that sif removes
        self.projection_weights_ = np.zeros((0, 0), dtype=np.float32)  # (dim, word_dim)
        self.projection_bias_ = np.zeros(0, dtype=np.float32)  # (dim,)
        self.state_ = ""

    @property
    def dim_(self) -> int:
        """Numbers a vector."""
        return self.dim if self.projection == "sigmoid" else self.vectors_.shape[1]

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn vectors, weights and projection from the training texts; none, or none with a word, is allowed."""
        self.__post_init__()  # forget an earlier fit
        bags = [words(text) for text in texts]
        if self.source in ("train", "fasttext"):
            self._train(bags)
        else:
            self.vocabulary_, self.vectors_ = read_word_vectors(Path(self.source), self.limit)
        self._weigh(bags)
        pooled = self._pool(bags)
        self.common_ = np.zeros((0, pooled.shape[1]), dtype=np.float32)
        if self.pooling == "sif" and pooled.any():
            _, directions = np.linalg.eigh(pooled.T.astype(np.float64) @ pooled)  # ascending eigenvalues
            self.common_ = np.ascontiguousarray(directions[:, -1:].T, dtype=np.float32)
            pooled = self._without_common(pooled)
        if self.projection == "sigmoid":
            self._scale_projection(pooled)
        self.state_ = self._hash()
        return self

    def encode_batch(self, batch: list[str]) -> Vectors:
        """Texts (b of them) → float32 (b, dim_). Raises `NotFittedError`."""
        if not self.state_:
            raise NotFittedError("WordVectors has not seen any texts; call fit(texts) with the training texts first")
        pooled = self._without_common(self._pool([words(text) for text in batch]))
        if self.projection == "none":
            return pooled
        projected = sigmoid_projection(pooled, self.projection_weights_, self.projection_bias_)
        projected[~pooled.any(axis=1)] = 0.0  # nothing is known of these texts: not a vector like any other
        return projected

    def reads(self) -> str:
        """Size and time of the file of word vectors; empty where words are trained here."""
        if self.source in ("train", "fasttext") or not Path(self.source).is_file():
            return ""
        found = Path(self.source).stat()
        return f"{found.st_size} {found.st_mtime_ns}"

    def state(self) -> str:
        """SHA-256 over all that was learned; empty before `fit`."""
        return self.state_

    def _check_options(self) -> None:
        for option in ("dim", "window", "min_count", "epochs", "limit"):
            if getattr(self, option) < 1:
                raise OptionError(f"WordVectors: {option} is {getattr(self, option)}; expected 1 or more")
        for option, known in (("pooling", ("mean", "tfidf", "sif")), ("projection", ("none", "sigmoid"))):
            if getattr(self, option) not in known:
                raise OptionError(
                    f"WordVectors: {option} is {getattr(self, option)!r}; expected one of {', '.join(known)}"
                )

    def _train(self, bags: list[list[str]]) -> None:
        counts = Counter(word for bag in bags for word in bag)
        if max(counts.values(), default=0) < self.min_count:  # gensim refuses to train on nothing
            return
        models = _gensim().models
        parts = [bag[start : start + MAX_WORDS] for bag in bags for start in range(0, len(bag), MAX_WORDS)]
        options = {
            "vector_size": self.dim,
            "window": self.window,
            "min_count": self.min_count,
            "epochs": self.epochs,
            "seed": self.seed,
            "sg": 1,  # skip-gram
            "workers": 1,  # with more, the order of the steps, and so the vectors, would change from run to run
        }
        if self.source == "train":
            trained = models.Word2Vec(parts, **options).wv
        else:
            trained = models.FastText(parts, min_n=SHORTEST, max_n=LONGEST, bucket=BUCKETS, **options).wv
            self.ngram_buckets_ = np.unique(np.concatenate(trained.buckets_word)).astype(np.int64)
            self.ngram_vectors_ = trained.vectors_ngrams[self.ngram_buckets_]  # the others are still random
        self.vocabulary_, self.vectors_ = tuple(trained.index_to_key), trained.vectors

    def _weigh(self, bags: list[list[str]]) -> None:
        """Set the weight of each word in the average."""
        self.weights_ = np.ones(len(self.vocabulary_), dtype=np.float32)
        if self.pooling == "tfidf":
            texts_with = Counter(word for bag in bags for word in set(bag))
            held = np.array([texts_with[word] for word in self.vocabulary_], dtype=np.float64)
            self.weights_ = (np.log((1 + len(bags)) / (1 + held)) + 1).astype(np.float32)
            self.unknown_weight_ = float(np.log(1 + len(bags)) + 1)
        elif self.pooling == "sif":
            counts = Counter(word for bag in bags for word in bag)
            share = np.array([counts[word] for word in self.vocabulary_]) / max(counts.total(), 1)
            self.weights_ = (SIF_A / (SIF_A + share)).astype(np.float32)

    def _pool(self, bags: list[list[str]]) -> Vectors:
        """Words of each text (b of them) → the averages of their vectors, float32 (b, word_dim)."""
        rows = row_of(self.vocabulary_)
        pooled = np.zeros((len(bags), self.vectors_.shape[1]), dtype=np.float32)
        for text, bag in enumerate(bags):
            known = [rows[word] for word in bag if word in rows]
            total = self.weights_[known] @ self.vectors_[known]
            weight, n = self.weights_[known].sum(), len(known)
            if len(self.ngram_buckets_):
                for word in bag:
                    if word not in rows and (vector := self._from_ngrams(word)) is not None:
                        total = total + self.unknown_weight_ * vector
                        weight, n = weight + self.unknown_weight_, n + 1
            if n:
                pooled[text] = total / (n if self.pooling == "sif" else weight)
        return pooled

    def _from_ngrams(self, word: str) -> Vectors | None:
        """A word outside the vocabulary → the mean over its n-grams, those never trained as zeros; None if all are."""
        hashes = _gensim().models.fasttext.ft_ngram_hashes(word, SHORTEST, LONGEST, BUCKETS)
        buckets = np.array(hashes, dtype=np.int64)
        places = np.searchsorted(self.ngram_buckets_, buckets)
        places = places[self.ngram_buckets_[places % len(self.ngram_buckets_)] == buckets]
        if not len(places):
            return None
        vector: Vectors = self.ngram_vectors_[places].sum(axis=0, dtype=np.float32) / np.float32(len(buckets))
        return vector

    def _without_common(self, pooled: Vectors) -> Vectors:
        left = np.asarray(pooled - pooled @ self.common_.T @ self.common_, dtype=np.float32)
        length = np.linalg.norm(pooled, axis=1)
        left[np.linalg.norm(left, axis=1) < 1e-5 * length] = 0.0  # rounding errors would look like a direction
        return left

    def _scale_projection(self, pooled: Vectors) -> None:
        """Set W and b from the training texts' averages, float32 (n_texts, word_dim)."""
        weights = np.random.default_rng(self.seed).standard_normal((self.dim, pooled.shape[1]))
        before = pooled[pooled.any(axis=1)] @ weights.T  # (n_texts with a known word, dim)
        scale, mean = np.ones(self.dim), np.zeros(self.dim)
        if len(before) > 1:
            scale, mean = before.std(axis=0), before.mean(axis=0)
            scale[scale < 1e-6 * np.abs(before).max()] = 1.0  # all texts alike but for rounding errors
        self.projection_weights_ = (weights / scale[:, None]).astype(np.float32)
        self.projection_bias_ = (-mean / scale).astype(np.float32)

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for name, value in sorted(vars(self).items()):
            if name.endswith("_"):
                digest.update(name.encode())
                digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        return digest.hexdigest()


def sigmoid_projection(vectors: Vectors, weights: Vectors, bias: Vectors) -> Vectors:
    """Vectors (b, n), weights (dim, n), bias (dim,) → sigmoid(W v + b) of each vector, float32 (b, dim).

    The logistic unit of Rumelhart, Hinton and Williams (1986).
    """
    from scipy.special import expit

    return np.asarray(expit(vectors @ weights.T + bias), dtype=np.float32)


def _gensim() -> Any:
    try:
        import gensim.models
    except ImportError as error:
        raise MissingExtraError(
            'WordVectors needs the package gensim, which is not installed: pip install "fuserec[words]"'
        ) from error
    return gensim
