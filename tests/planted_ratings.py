"""Ratings whose making is known: biases, tastes in what the vectors tell, and noise."""

import numpy as np

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions


def planted_ratings(n_users=60, n_items=40, seed=0, known=0.5, taste=0.8, step=0.5):
    """Half-star ratings from 1 to 5: 3.2 + biases + taste · z_item + noise of .4; item n_items-1 has no ratings.

    Vectors: `photo` is z with a little noise, but the last but one item lacks it; the words of `title` tell its signs
    and whether the item is good or bad.
    """
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_items, 2))
    of_item, of_user = 0.5 * rng.standard_normal(n_items), 0.4 * rng.standard_normal(n_users)
    tastes = taste * rng.standard_normal((n_users, 2))
    exact = 3.2 + of_user[:, None] + of_item + tastes @ z.T + 0.4 * rng.standard_normal((n_users, n_items))
    ratings = np.clip(np.round(exact / step) * step, 1.0, 5.0)
    users, items = np.nonzero(rng.random((n_users, n_items)) < known)
    warm = items != n_items - 1
    users, items = users[warm], items[warm]
    signs = np.where(z > 0, "high", "low")
    titles = tuple(
        f"{'good' if of_item[row] > 0 else 'bad'} {signs[row, 0]}x {signs[row, 1]}y story {row}"
        for row in range(n_items)
    )
    catalog = Catalog(Ids(f"i{row}" for row in range(n_items)), {"title": Column("title", "text", titles)})
    rows = Interactions(users, items, ratings[users, items].astype(np.float32))
    present = np.arange(n_items) != n_items - 2
    photo = Embeddings(z + 0.1 * rng.standard_normal(z.shape), present, '{"encoder": "photo"}', "image")
    return Dataset(
        "planted ratings", catalog, Ids((f"u{row}" for row in range(n_users)), "user"), rows, {"photo": photo}
    )
