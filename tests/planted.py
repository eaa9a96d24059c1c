"""A small dataset whose answer is known, made without media: two taste groups, vectors that tell them apart."""

import numpy as np

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions


def checkerboard(n_users=24, n_items=20, seed=0, vectors=True, skip=0.4):
    """Even users choose even items, odd users odd ones (all but a share `skip`); item n_items-1 is cold.

    Vectors: `title` tells even from odd items with a little noise; `photo` too, but the last but one item lacks it.
    """
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(
        (np.add.outer(np.arange(n_users), np.arange(n_items)) % 2 == 0) & (rng.random((n_users, n_items)) > skip)
    )
    warm = items != n_items - 1
    users, items = users[warm], items[warm]
    times = rng.permutation(len(users)) + 1_700_000_000
    titles = Column("title", "text", tuple(f"Item number {row}" for row in range(n_items)))
    catalog = Catalog(Ids(f"i{row}" for row in range(n_items)), {"title": titles})
    interactions = Interactions(users, items, rng.integers(1, 6, len(users)).astype(np.float32), times)
    dataset = Dataset("checkerboard", catalog, Ids((f"u{row}" for row in range(n_users)), "user"), interactions)
    if not vectors:
        return dataset
    side = np.where(np.arange(n_items)[:, None] % 2 == 0, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    for name, modality in (("title", "text"), ("photo", "image")):
        present = np.ones(n_items, bool)
        present[n_items - 2] = name != "photo"
        noisy = side + 0.1 * rng.standard_normal(side.shape)
        dataset = dataset.with_embeddings(name, Embeddings(noisy, present, f'{{"encoder": "{name}"}}', modality))
    return dataset
