"""Like or not, from the words of an item: the classic deep pipeline as one component."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import expit

from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.encoders.text import row_of, words
from fuserec.encoders.word_files import read_word_vectors
from fuserec.errors import DataError, OptionError, did_you_mean
from fuserec.ratings.predictor import RatingPredictor, Values, hold_out_ratings, padded
from fuserec.recommenders.content import vectors_named
from fuserec.recommenders.recommender import OnProgress, Rows
from fuserec.recommenders.training import Arrays, TrainedRecommender, Weights

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 128  # items read at a time when nothing is learned
ROUNDS = 20  # Newton steps of the floor


@dataclass(kw_only=True, eq=False)
class TextLSTM(RatingPredictor, TrainedRecommender):
    """Whether an item is liked, from its text: word embeddings, an LSTM (Hochreiter and Schmidhuber 1997, as in torch),
    a dense sigmoid, binary cross-entropy, Adam. A new item needs only a text.

    Without `biases`, all users are told the same of an item. With those of users, or of both, the logits of who likes
    much and what is liked are added (`floor_logits`), and the network learns what they leave: of both, little about a
    new item. Ratings follow from the probability by a line.

    validation_: float32 (n_epochs,): minus the binary cross-entropy on held-out ratings

    vocabulary_: the words; word k has index k + 1, index 0 is padding
    network_: name → weights, float32
    text_logits_: float32 (n_items,), what the network says of each item
    user_logits_, item_logits_: float32 (n_users,) and (n_items,): zeros without `biases`
    line_: float32 (2,): rating = line_[0] + line_[1] * probability
    """  # noqa: D205

    columns: tuple[str, ...] | None = None  # text columns, joined; default: all
    join: tuple[str, ...] = ()  # columns whose vectors (of pictures, sounds) are joined before the dense layer
    biases: Literal["none", "users", "both"] = "none"
    words: int = 10_000  # the most frequent ones are known
    length: int = 100  # words of an item that are read
    dim: int = 128  # of a word
    hidden: int = 128
    word_vectors: str = ""  # a file of GloVe, word2vec or FastText to begin with; default: learned from nothing
    epochs: int = 10
    patience: int = 3
    batch: int = 64  # items in a gradient step, with all their ratings
    learning_rate: float = 1e-3

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Index the words, learn the weights, and say what they make of every item."""
        import torch

        if min(self.words, self.length, self.dim, self.hidden) < 1:
            raise OptionError("TextLSTM: expected words, length, dim and hidden from 1")
        part, judges = (dataset, validation) if validation else hold_out_ratings(dataset, self.seed, share=0.1)
        self._index_words(dataset)
        tokens, joined = self._tokens(dataset.catalog), self._joined(dataset)
        liked, held_liked = self._liked(part), self._liked(judges)
        users, items = part.interactions.users, part.interactions.items
        self.user_logits_, self.item_logits_ = (
            np.zeros(dataset.n_users, np.float32),
            np.zeros(dataset.n_items, np.float32),
        )
        if self.biases != "none":
            one = items if self.biases == "both" else np.zeros_like(items)
            self.user_logits_, of_item = floor_logits(users, one, liked, dataset.n_users, dataset.n_items)
            self.item_logits_ = of_item if self.biases == "both" else np.full(dataset.n_items, of_item[0], np.float32)
        floor = torch.from_numpy(self.user_logits_[users] + self.item_logits_[items])
        held = judges.interactions
        held_floor = self.user_logits_[held.users] + self.item_logits_[held.items]
        target = torch.from_numpy(liked)
        rated = np.unique(items)
        by_item = np.argsort(items, kind="stable")
        starts = np.searchsorted(items[by_item], rated)
        ends = np.append(starts[1:], len(items))

        def loss(weights: Weights, batch: Rows, rng: np.random.Generator) -> "Tensor":
            chosen = rated[batch]
            logits = self._logits(weights, tokens[chosen], joined[chosen])
            rows = np.concatenate([by_item[starts[one] : ends[one]] for one in batch])
            of = np.repeat(np.arange(len(batch)), (ends - starts)[batch])
            found = logits[torch.from_numpy(of).to(self.device)].cpu() + floor[torch.from_numpy(rows)]
            each = torch.nn.functional.binary_cross_entropy_with_logits(found, target[rows], reduction="sum")
            return each * len(rated) / (len(items) * len(batch))

        def judge(weights: Weights) -> float:
            logits = held_floor + self._all_logits(weights, tokens, joined)[held.items]
            return -float(np.mean(np.logaddexp(0.0, logits) - held_liked * logits))

        start = self._start(dataset, joined.shape[1])
        weights = self.train(start, loss, judge if len(held) else None, len(rated), part, tell)
        self.network_ = weights
        self.text_logits_ = self._all_logits({k: torch.from_numpy(v) for k, v in weights.items()}, tokens, joined)
        rows = dataset.interactions
        assert rows.ratings is not None
        chance = self.like(rows.users, rows.items).astype(np.float64)
        design = np.stack([np.ones_like(chance), chance], axis=1)
        self.line_ = np.linalg.lstsq(design, rows.ratings.astype(np.float64), rcond=None)[0].astype(np.float32)

    def like(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,), -1 where unknown → probability that he likes it, float32 (n,): the network's own."""
        logits = np.where(users >= 0, self.user_logits_[users], 0.0)
        logits = logits + np.where(items >= 0, (self.text_logits_ + self.item_logits_)[items], 0.0)
        return np.asarray(expit(logits), np.float32)

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → ratings by the probability, float32 (n,)."""
        return np.asarray(self.line_[0] + self.line_[1] * self.like(users, items), np.float32)

    def extend(self) -> None:
        """Read the new items."""
        import torch

        super().extend()
        n_known, n_items = len(self.text_logits_), self.catalog_.n_items
        new = np.arange(n_known, n_items)
        weights = {name: torch.from_numpy(np.array(value)) for name, value in self.network_.items()}
        parts = [self.embeddings_[name].centered_unit(self.popularity_ > 0)[new] for name in self.join]
        joined = np.concatenate([*parts, np.zeros((len(new), 0), np.float32)], axis=1)
        logits = self._all_logits(weights, self._tokens(self.catalog_.take(new)), joined)
        self.text_logits_ = np.append(self.text_logits_, logits)
        self.item_logits_ = padded(self.item_logits_, n_items)

    def _liked(self, dataset: Dataset) -> Values:
        assert dataset.interactions.ratings is not None
        return (dataset.interactions.ratings >= self.like_from_).astype(np.float32)

    def _texts(self, catalog: Catalog) -> list[str]:
        known = {name: column for name, column in catalog.columns.items() if column.modality == "text"}
        names = list(known) if self.columns is None else self.columns
        for name in names:
            if name not in known:
                raise DataError(
                    f"TextLSTM: no text column {name!r}{did_you_mean(name, known)} There are: {list(known)}"
                )
        if not names:
            raise DataError("TextLSTM reads texts, and the catalog has no text column; use another model")
        return [" ".join(known[name].values[row] or "" for name in names) for row in range(catalog.n_items)]

    def _index_words(self, dataset: Dataset) -> None:
        counts: Counter[str] = Counter()
        for row, text in enumerate(self._texts(dataset.catalog)):
            if dataset.warm[row]:
                counts.update(words(text))
        self.vocabulary_ = tuple(word for word, _ in counts.most_common(self.words))

    def _tokens(self, catalog: Catalog) -> Rows:
        """Catalog → indices of the first words of each item, int64 (n_items, length), 0 where there are none."""
        rows = row_of(self.vocabulary_)
        tokens = np.zeros((catalog.n_items, self.length), np.int64)
        for place, text in enumerate(self._texts(catalog)):
            found = [rows[word] + 1 for word in words(text) if word in rows][: self.length]
            tokens[place, : len(found)] = found
        return tokens

    def _joined(self, dataset: Dataset) -> Values:
        parts = [vectors_named(dataset, name, "TextLSTM").centered_unit(dataset.warm) for name in self.join]
        return np.concatenate([*parts, np.zeros((dataset.n_items, 0), np.float32)], axis=1)

    def _start(self, dataset: Dataset, n_joined: int) -> Arrays:
        rng = np.random.default_rng(self.seed)
        given: dict[str, Values] = {}
        dim = self.dim
        if self.word_vectors:
            known, vectors = read_word_vectors(Path(self.word_vectors), 1_000_000)
            given, dim = dict(zip(known, vectors, strict=True)), vectors.shape[1]
        table = 0.05 * rng.standard_normal((len(self.vocabulary_) + 1, dim), dtype=np.float32)
        for place, word in enumerate(self.vocabulary_):
            table[place + 1] = given.get(word, table[place + 1])
        bound, h = self.hidden**-0.5, self.hidden

        def uniform(*shape: int) -> Values:
            return rng.uniform(-bound, bound, shape).astype(np.float32)

        return {
            "words": table,
            "weight_ih_l0": uniform(4 * h, dim),
            "weight_hh_l0": uniform(4 * h, h),
            "bias_ih_l0": uniform(4 * h),
            "bias_hh_l0": uniform(4 * h),
            "dense": uniform(h + n_joined),
            "dense_bias": np.zeros(1, np.float32),
        }

    def _logits(self, weights: Weights, tokens: Rows, joined: Values) -> "Tensor":
        """Tokens int64 (b, length) and joined vectors (b, w) → logits (b,): the state after each item's last word."""
        import torch

        read = max(1, int((tokens > 0).sum(axis=1).max(initial=0)))  # no item of the batch has more words
        ends = torch.from_numpy(np.maximum((tokens > 0).sum(axis=1) - 1, 0)).to(self.device)
        indices = torch.from_numpy(tokens[:, :read].copy()).to(self.device)
        embedded = torch.nn.functional.embedding(indices, weights["words"])  # (b, read, dim)
        start = embedded.new_zeros((1, len(tokens), self.hidden))
        layer = [weights[name] for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
        states, _, _ = torch.lstm(embedded, (start, start), layer, True, 1, 0.0, False, False, True)
        last = states[torch.arange(len(tokens)), ends]  # (b, hidden)
        return torch.cat([last, torch.from_numpy(joined).to(self.device)], 1) @ weights["dense"] + weights["dense_bias"]

    def _all_logits(self, weights: Weights, tokens: Rows, joined: Values) -> Values:
        import torch

        weights = {name: weight.to(self.device) for name, weight in weights.items()}
        with torch.no_grad():
            parts: Sequence[Values] = [
                self._logits(weights, tokens[start : start + CHUNK], joined[start : start + CHUNK]).cpu().numpy()
                for start in range(0, len(tokens), CHUNK)
            ]
        return np.concatenate([*parts, np.zeros(0, np.float32)])


def floor_logits(
    users: Rows, items: Rows, liked: Values, n_users: int, n_items: int, l2: float = 1.0
) -> tuple[Values, Values]:
    """Who rated what (n,), and whether he liked it → logits of users (n_users,) and items (n_items,), float32.

    Logistic regression on the two ids with l2, by Newton steps of each side in turn; the mean is in the users' part.
    """
    of_user, of_item = np.zeros(n_users), np.zeros(n_items)
    share = np.clip(liked.mean(dtype=np.float64), 1e-6, 1 - 1e-6)
    base = np.log(share / (1 - share))
    for _ in range(ROUNDS):
        for own, rows in ((of_item, items), (of_user, users)):
            chance = expit(base + of_user[users] + of_item[items])
            slope = np.bincount(rows, liked - chance, len(own)) - l2 * own
            own += slope / (np.bincount(rows, chance * (1 - chance), len(own)) + l2)
    return (base + of_user).astype(np.float32), of_item.astype(np.float32)
