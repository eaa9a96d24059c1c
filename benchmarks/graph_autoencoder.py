"""A graph autoencoder (GC-MC: van den Berg 2017) beside the rating models, on hold-outs of MovieLens-100K.

    python benchmarks/graph_autoencoder.py ../shared/data/movielens-100k [u1 u2 ...] [--set KEY=VALUE]

Per fold, half of the ratings of half of the users of uK.base are held out, as `fuserec benchmark movielens-ratings`
does; no test part is read. Alone, and beside `BayesianFactors` in a sum whose weight is fitted on one half of those
users and judged on the other, both ways. Intervals: 95 %, bootstrap over users. CPU seconds of one thread.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fuserec import make
from fuserec.metrics import rmse
from fuserec.ratings.movielens import _demographics, _encoded, _part
from fuserec.ratings.predictor import L2_ITEMS, L2_USERS, biases, hold_out_ratings
from fuserec.ratings.trained import TrainedRatings
from fuserec.recommenders.networks import dense


@dataclass(kw_only=True, eq=False)
class GraphAutoencoder(TrainedRatings):
    """Users and items get messages along each level of rating, from vectors of their own (the graph convolution of
    section 2.3, levels side by side, weights of a level added to those of levels below), then a dense layer with side
    features (section 2.5); a bilinear decoder makes chances of the levels, whose mean is the rating (section 2.4).

    Ratings of a batch are no edges of the graph of that step, so that none predicts itself. Squared error, not cross
    entropy, on the shared training loop. `biases`: user and item biases are added, which the paper has not.
    """  # noqa: D205

    dim: int = 60  # of what is decoded
    hidden: int = 40  # of a level
    bases: int = 2
    dropout: float = 0.5  # of messages
    biases: bool = True
    folder: str = ""  # u.user, for demographics
    l2: float = 0.01
    epochs: int = 40
    batch: int = 8_192
    learning_rate: float = 0.01

    def start(self, dataset, rng):
        """Own vectors by level, dense layers, the decoder's bases and shares."""
        n_levels, h, d = len(np.unique(dataset.interactions.ratings)), self.hidden, self.dim
        weights = {"mix": rng.standard_normal((n_levels, self.bases)).astype(np.float32)}
        weights["bases"] = dense(rng, self.bases, d, d)
        for side, n, width in (
            ("users", dataset.n_users, self.features[0].shape[1]),
            ("items", dataset.n_items, self.features[1].shape[1]),
        ):
            weights[f"own/{side}"] = 0.1 * rng.standard_normal((n_levels, n, h), dtype=np.float32)
            weights[f"dense/{side}"] = dense(rng, n_levels * h, d)
            weights[f"side/{side}"] = dense(rng, width, d)
        user_bias, item_bias = biases(dataset, L2_ITEMS, L2_USERS)
        return weights | ({"bias/users": user_bias, "bias/items": item_bias} if self.biases else {})

    def forward(self, dataset):
        """The network over the training graph, without the batch where it learns."""
        rows = dataset.interactions
        levels, level = np.unique(rows.ratings, return_inverse=True)
        users, items, level = (torch.from_numpy(np.ascontiguousarray(one)) for one in (rows.users, rows.items, level))
        keys, n_levels = users * dataset.n_items + items, len(levels)
        value = torch.from_numpy(levels - np.float32(self.mean_))
        features = [torch.from_numpy(one.copy()) for one in self.features]
        chance = torch.Generator().manual_seed(self.seed)

        def encoded(weights, side, to, of, own, n, kept):
            """Messages to the rows of a side: the mean of the vectors of its neighbors on each level, (n, d)."""
            table = weights[f"own/{own}"].cumsum(0).flatten(0, 1)  # ordinal: a level has what those below it have
            sent = table[level[kept] * (len(table) // n_levels) + of[kept]]
            place = to[kept] * n_levels + level[kept]
            total = torch.zeros(n * n_levels, sent.shape[1]).index_add(0, place, sent).view(n, -1)
            count = torch.bincount(to[kept], minlength=n).clamp(min=1)
            message = torch.relu(total / count[:, None] ** 0.5)
            if torch.is_grad_enabled():
                left_out = torch.rand(message.shape, generator=chance) < self.dropout
                message = message.masked_fill(left_out, 0.0) / (1.0 - self.dropout)
            which = 0 if side == "users" else 1
            return torch.tanh(message @ weights[f"dense/{side}"] + features[which] @ weights[f"side/{side}"])

        def rate(weights, of_users, of_items):
            kept = torch.ones(len(keys), dtype=torch.bool)
            if torch.is_grad_enabled():
                kept = ~torch.isin(keys, of_users * dataset.n_items + of_items)
            u = encoded(weights, "users", users, items, "items", dataset.n_users, kept)[of_users]
            v = encoded(weights, "items", items, users, "users", dataset.n_items, kept)[of_items]
            each = torch.stack([((u @ basis) * v).sum(1) for basis in weights["bases"]], 1)  # (b, bases)
            found = (each @ weights["mix"].T).softmax(1) @ value
            size = (u**2).mean() + (v**2).mean()
            if self.biases:
                found = found + weights["bias/users"][of_users] + weights["bias/items"][of_items]
            return found, size

        return rate

    def learn_by(self, dataset, validation, tell):
        """Side features first."""
        self.features = (_demographics(Path(self.folder), dataset), dataset.embeddings["genres"].vectors)
        self.dataset = dataset
        super().learn_by(dataset, validation, tell)

    def keep_weights(self, weights, dataset):
        """All, and the graph they belong to."""
        self.weights, self.graph = weights, dataset

    def estimate(self, users, items):
        """Mean and network."""
        weights = {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        with torch.no_grad():
            found, _ = self.forward(self.dataset)(weights, torch.from_numpy(users), torch.from_numpy(items))
        return found.numpy() + np.float32(self.mean_)


def stacked(found, ratings, users):
    """Predictions of two models (2, n) → their weighted sum, the weight fitted on the other half of the users."""
    half = users % 2 == 0
    best, chosen = np.empty(len(ratings)), []
    for own in (half, ~half):
        shares = np.linspace(0.0, 0.5, 51)
        errors = [rmse(ratings[~own], (1 - w) * found[0][~own] + w * found[1][~own]) for w in shares]
        chosen.append(shares[int(np.argmin(errors))])
        best[own] = (1 - chosen[-1]) * found[0][own] + chosen[-1] * found[1][own]
    return best, chosen


def saved(ratings, users, one, other, resamples=1_000):
    """How much lower the error of one is than that of the other, over the same draws of users."""
    place = np.unique(users, return_inverse=True)[1]
    n = place.max() + 1
    counts, a, b = (np.bincount(place, v) for v in (np.ones(len(users)), (ratings - one) ** 2, (ratings - other) ** 2))
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), resamples)
    gains = np.sqrt(drawn @ b / (drawn @ counts)) - np.sqrt(drawn @ a / (drawn @ counts))
    low, high = np.quantile(gains, [0.025, 0.975])
    return f"{rmse(ratings, other) - rmse(ratings, one):+.4f} [{low:+.4f}, {high:+.4f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("folds", nargs="*", default=["u1", "u2", "u3", "u4", "u5"])
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of the autoencoder, values as in JSON")
    parser.add_argument("--alone", action="store_true", help="no other model, no sum")
    told = parser.parse_args()
    options = {key: json.loads(value) for key, value in (one.split("=", 1) for one in told.set)}
    everything = _encoded(told.folder)
    for fold in told.folds:
        part, held = hold_out_ratings(_part(everything, told.folder / f"{fold}.base"), seed=0)
        rows, found = held.interactions, []
        others = [] if told.alone else [make("rater", "Biases"), make("rater", "BayesianFactors")]
        for model in (*others, GraphAutoencoder(folder=str(told.folder), **options)):
            start = time.process_time()
            found.append(model.fit(part).predict(rows.users, rows.items))
            seconds = time.process_time() - start
            print(
                f"{fold} {type(model).__name__:18s} RMSE {rmse(rows.ratings, found[-1]):.4f}  {seconds:.1f} s", end=""
            )
            print(f"  {len(model.validation_)} epochs" if isinstance(model, GraphAutoencoder) else "", flush=True)
        if not told.alone:
            both, shares = stacked(found[1:], rows.ratings, rows.users)
            gain = saved(rows.ratings, rows.users, both, found[1])
            told_as = " and ".join(f"{one:.2f}" for one in shares)
            print(f"{fold} with {told_as} of the autoencoder: RMSE {rmse(rows.ratings, both):.4f}, saved {gain}")


if __name__ == "__main__":
    main()
