import json
from dataclasses import replace

import numpy as np
import pytest

from fuserec.alignment import similarity
from fuserec.alignment.projection import GCCA
from fuserec.alignment.similarity import cosine, euclidean, match, ranks
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, unit
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError, OptionError


def catalog_of(embeddings):
    n_items = next(iter(embeddings.values())).n_items
    none = np.zeros(0, np.int64)
    ids = Ids((f"i{row}" for row in range(n_items)), "item")
    return Dataset("given", Catalog(ids, {}), Ids((), "user"), Interactions(none, none), embeddings)


def paired(n=200, dim=8, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n, dim))
    there = np.ones(n, bool)
    blocks = {name: hidden @ rng.standard_normal((dim, dim)) + noise * rng.standard_normal((n, dim)) for name in "ab"}
    return {name: Embeddings(block, there, "given") for name, block in blocks.items()}


def auc(low, score):
    """The chance that an item of `low` scores below another one; ties count half."""
    below, other = score[low], score[~low]
    below, other = below[~np.isnan(below)], other[~np.isnan(other)]
    return np.mean((below[:, None] < other) + 0.5 * (below[:, None] == other))


def mean(scores):
    """The mean over what is known, NaN where nothing is."""
    known = ~np.isnan(scores)
    return np.nansum(scores, axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)


def test_the_textbook_cosine_and_distance():
    assert round(float(cosine(np.array([1, 2, 3]), np.array([4, 5, 6]))), 4) == 0.9746
    assert float(euclidean(np.array([1, 2, 3]), np.array([4, 5, 6]))) == pytest.approx(27**0.5)
    assert cosine(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([1.0, 1.0])).tolist() == pytest.approx([0.5**0.5, 0])


def test_distance_follows_from_the_cosine_of_unit_vectors():
    a, b = (unit(np.random.default_rng(seed).standard_normal((9, 4)).astype(np.float32)) for seed in (0, 1))
    np.testing.assert_allclose(euclidean(a, b), np.sqrt(2 - 2 * cosine(a, b)), atol=1e-6)


def test_ranks_count_the_better_candidates_and_ties_share_their_places(monkeypatch):
    monkeypatch.setattr(similarity, "block_rows", lambda n_columns: 3)
    a, b = (np.random.default_rng(seed).integers(-2, 3, (10, 2)).astype(np.float32) for seed in (0, 1))
    expected = []
    for i in range(10):
        own = float(a[i] @ b[i])
        others = [float(a[i] @ b[j]) for j in range(10) if j != i]
        expected.append(1 + sum(o > own for o in others) + sum(o == own for o in others) / 2)
    assert ranks(a, b).tolist() == expected
    assert any(place % 1 for place in expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_items_with_a_picture_of_another_item_are_found(encoded_shop, seed):
    shop = encoded_shop(seed)
    photo = shop.embeddings["photo"]
    rng = np.random.default_rng(100 + seed)
    rows = rng.choice(np.flatnonzero(photo.present), round(0.05 * shop.n_items), replace=False)
    vectors = photo.vectors.copy()
    vectors[rows] = vectors[np.roll(rows, 1)]  # every one of them gets another's picture
    matching = match(shop.with_embeddings("photo", replace(photo, vectors=vectors)))
    swapped = np.isin(np.arange(shop.n_items), rows)
    assert auc(swapped, matching.agreement) >= 0.95
    with_photo = mean([found for pair, found in matching.by_pair.items() if "photo" in pair])
    without = mean([found for pair, found in matching.by_pair.items() if "photo" not in pair])
    assert auc(swapped, with_photo) > 0.95 > 0.7 > auc(swapped, without)  # and the pairs tell which column is wrong


def test_the_pair_that_agrees_least_is_named():
    pairs = {("a", "b"): [0.5, 0.2], ("a", "c"): [0.4, np.nan], ("b", "c"): [np.nan, 0.3]}
    found = {pair: np.array(values) for pair, values in pairs.items()}
    matching = similarity.Matching(Ids("xy", "item"), mean([*found.values()]), found, ())
    assert matching.least(0) == (("a", "c"), 0.4) and matching.least(1) == (("a", "b"), 0.2)


def test_held_out_retrieval_on_the_shop_is_far_above_chance(encoded_shop):
    pairs = match(encoded_shop(0)).to_dict()["pairs"]
    assert [pair["columns"] for pair in pairs][:2] == [["title", "description"], ["title", "photo"]]
    assert len(pairs) == 6
    for pair in pairs:
        assert pair["n"] > 40 and pair["chance@10"] == pytest.approx(10 / pair["n"])
        assert pair["recall@10"] > 3 * pair["chance@10"] and pair["median_rank"] < pair["n"] / 5
        assert pair["cosine"]["5%"] <= pair["cosine"]["50%"] <= pair["cosine"]["95%"]
        assert pair["cosine"]["mean"] > pair["cosine"]["mismatched_mean"] + 0.2
        assert pair["euclidean"]["mean"] < pair["euclidean"]["mismatched_mean"] - 0.2
        assert [(d["from"], d["to"]) for d in pair["directions"]] == [tuple(pair["columns"]), (*pair["columns"][::-1],)]
        assert pair["recall@10"] == pytest.approx(np.mean([found["recall@10"] for found in pair["directions"]]))


def test_unrelated_columns_match_by_chance_and_agree_by_half():
    rng = np.random.default_rng(0)
    there = np.ones(600, bool)
    columns = {name: Embeddings(rng.standard_normal((600, 100)), there, "given") for name in "ab"}
    matching = match(catalog_of(columns))
    (pair,) = matching.pairs
    assert pair["n"] == 120 and abs(pair["recall@10"] - pair["chance@10"]) < 0.06
    assert abs(pair["median_rank"] - 60) < 15
    assert abs(matching.agreement.mean() - 0.5) < 0.1  # 100 numbers for 480 items: a space learned with them would fit


def test_json_holds_every_item_lowest_first_and_null_last():
    columns = paired()
    gone = np.ones(200, bool)
    gone[[3, 5]] = False
    columns["b"] = Embeddings(columns["b"].vectors, gone, "given")
    found = json.loads(json.dumps(match(catalog_of(columns)).to_dict(), allow_nan=False))
    assert list(found) == ["items", "pairs"] and len(found["items"]) == 200
    assert all(list(item) == ["item_id", "agreement"] for item in found["items"])
    assert [item["item_id"] for item in found["items"][-2:]] == ["i3", "i5"]
    values = [item["agreement"] for item in found["items"]]
    assert values[-2:] == [None, None] and values[:-2] == sorted(values[:-2])
    assert 0 <= values[0] and values[-3] <= 1
    assert {"columns", "recall@1", "recall@5", "recall@10", "median_rank", "n"} <= set(found["pairs"][0])


def test_an_aligner_of_ones_own_is_fitted_on_copies_and_not_changed():
    dataset, aligner = catalog_of(paired()), GCCA(dim=4)
    matching = match(dataset, aligner=aligner)
    assert not hasattr(aligner, "centers_")
    assert matching.pairs[0]["recall@10"] > 0.5
    np.testing.assert_array_equal(match(dataset, aligner=aligner).agreement, matching.agreement)
    assert (match(dataset, aligner=aligner, seed=1).agreement != matching.agreement).any()


def test_wide_columns_are_measured_by_their_principal_components():
    narrow = paired(n=300)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((400, 8)))[0].T
    wide = {name: Embeddings(e.vectors @ turn, e.present, "given") for name, e in narrow.items()}
    found, expected = match(catalog_of(wide)).pairs[0], match(catalog_of(narrow)).pairs[0]
    assert expected["recall@1"] > 0.3 and found["recall@1"] == pytest.approx(expected["recall@1"], abs=0.05)


def test_what_cannot_be_matched_is_said():
    columns = paired()
    with pytest.raises(OptionError, match="holdout is 0.9; expected"):
        match(catalog_of(columns), holdout=0.9)
    with pytest.raises(OptionError, match="no vectors named 'c'"):
        match(catalog_of(columns), columns=["a", "c"])
    few = np.arange(200) < 9
    columns["b"] = Embeddings(columns["b"].vectors, few, "given")
    with pytest.raises(DataError, match="at least 10 items have in common; found no two such columns among a, b"):
        match(catalog_of(columns))
