"""The frozen graphs of items and the interactions that are left out."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tests.planted import checkerboard

from fuserec import make
from fuserec.errors import OptionError
from fuserec.recommenders.freedom import _Kept, content_graphs


def test_an_item_hears_its_nearest_chosen_items_by_the_columns_it_has():
    shop = checkerboard()
    graphs = content_graphs(dict(shop.embeddings), shop.warm, 3)
    total = sum(graphs.values())
    np.testing.assert_allclose(total.sum(axis=1), 1.0, rtol=1e-6)
    assert not total[:, ~shop.warm].nnz and not total.diagonal().any()  # nobody hears a cold item, none itself
    lacking = shop.n_items - 2  # it has no photo
    assert graphs["photo"][lacking].nnz == 0 and graphs["title"][lacking].nnz == 3
    for name, graph in graphs.items():
        unit = shop.embeddings[name].centered_unit(shop.warm)
        cosine = np.where(shop.warm & shop.embeddings[name].present, unit @ unit[0], -1.0)
        cosine[0] = -1.0
        assert set(graph[0].indices) == set(np.argsort(-cosine)[:3])


def test_busy_users_and_popular_items_are_left_out_first():
    seen = checkerboard(n_users=60, n_items=40, skip=0.3).seen
    dense = seen.toarray()
    dense[:, 0] = 1.0
    seen = csr_matrix(dense)
    kept = _Kept(seen, 0.75)
    times = np.zeros(seen.shape)
    for seed in range(60):
        kept.draw(np.random.default_rng(seed))
        assert kept.kept.nnz == round(0.25 * seen.nnz) and kept.kept.multiply(seen).nnz == kept.kept.nnz
        times += kept.kept.toarray()
    share = times.sum(axis=0)[1:38] / seen.toarray().sum(axis=0)[1:38] / 60
    assert times[:, 0].mean() / 60 < 0.9 * share.mean()  # the item that everybody chose


@pytest.mark.parametrize("options", [{"drop": 1.0}, {"drop": -0.1}, {"layers": -1}])
def test_wrong_options_are_told(options):
    with pytest.raises(OptionError, match="FREEDOM: layers is"):
        make("recommender", "FREEDOM", options).fit(checkerboard())
