"""Normalizers against scikit-learn's, and `normalize`: learned from training items only, stored, applied again."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec.data.embeddings import Embeddings
from fuserec.errors import DataError, NotFittedError, OptionError
from fuserec.packing import pack, unpack
from fuserec.preparation.normalize import Center, Normalized, PCAWhitening, Robust, UnitLength, ZScore, normalize
from fuserec.registry import components, make

NAMES = list(components("normalizer"))


def vectors(n=60, dim=5, seed=0):
    """Float32 (n, dim), correlated, on very different scales, with a few outliers."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, dim)) @ rng.standard_normal((dim, dim))
    mixed[:3] *= 20
    return (mixed * 10.0 ** np.arange(-2, dim - 2) + 3).astype(np.float32)


def test_center_and_zscore_are_those_of_scikit_learn():
    from sklearn.preprocessing import StandardScaler

    train, other = vectors(), vectors(seed=1)
    for ours, theirs in ((Center(), StandardScaler(with_std=False)), (ZScore(), StandardScaler())):
        expected = theirs.fit(train.astype(float)).transform(other.astype(float))
        assert ours.fit(train).apply(other) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_robust_is_that_of_scikit_learn():
    from sklearn.preprocessing import RobustScaler

    train, other = vectors(), vectors(seed=1)
    expected = RobustScaler().fit(train.astype(float)).transform(other.astype(float))
    assert Robust().fit(train).apply(other) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("n", "dim"), [(60, 3), (60, 5), (4, 5)])
def test_whitening_is_that_of_scikit_learn(n, dim):
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(2)
    train, other = (rng.standard_normal((size, 5)) @ np.diag([5, 3, 2, 1, 0.5]) + 1 for size in (n, 30))
    ours = PCAWhitening(dim=dim, eps=0).fit(train.astype(np.float32))
    kept = ours.directions_.shape[1]
    assert kept == min(dim, n - 1)
    expected = PCA(kept, whiten=True, svd_solver="full").fit(train).transform(other)
    found = ours.apply(other.astype(np.float32))
    assert np.abs(found) == pytest.approx(np.abs(expected), abs=1e-4)  # the sign of a direction is free
    assert np.cov(ours.apply(train.astype(np.float32)), rowvar=False) == pytest.approx(np.eye(kept), abs=1e-4)


def test_a_little_noise_is_not_blown_up():
    rng = np.random.default_rng(0)
    train = np.concatenate([rng.standard_normal((50, 1)), 1e-4 * rng.standard_normal((50, 1))], axis=1)
    spread = PCAWhitening(eps=1e-4).fit(train.astype(np.float32)).apply(train.astype(np.float32)).std(axis=0)
    assert spread[0] == pytest.approx(1, abs=0.02) and spread[1] < 0.02


def test_unit_length():
    found = UnitLength().fit(vectors()).apply(np.array([[3, 4], [0, 0], [-2, 0]], np.float32))
    assert found == pytest.approx(np.array([[0.6, 0.8], [0, 0], [-1, 0]]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_what_never_varies_is_no_failure(name, constant):
    train = vectors()
    train[:, 2] = constant
    normalizer = make("normalizer", name).fit(train)
    found = normalizer.apply(train)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    if name in ("Center", "ZScore", "Robust"):
        assert np.abs(found[:, 2]).max() <= 1e-7 * constant
    same = np.full((4, 3), constant, np.float32)
    for rows in (same, same[:1]):
        found = make("normalizer", name).fit(rows).apply(np.concatenate([rows, rows + 1]))
        assert np.isfinite(found).all() and np.abs(found).max() <= 2
    normalizer.fit(np.full((4, 3), 0.1, np.float32))  # fitted again, it forgets what was before
    assert len(normalizer.apply(np.ones((2, 3), np.float32))) == 2


@pytest.mark.parametrize("name", NAMES)
def test_the_input_stays_as_it_is_and_the_result_follows_from_it(name):
    train = vectors()
    before = train.copy()
    first, second = (make("normalizer", name).fit(train).apply(train) for _ in range(2))
    assert np.array_equal(train, before) and np.array_equal(first, second)


def test_numbers_that_are_mostly_zero_have_no_range():
    train = np.array([[0], [0], [0], [0], [8]], np.float32)
    assert Robust().fit(train).apply(train).ravel().tolist() == [0, 0, 0, 0, 8]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"UnitLength"}))
def test_before_fit_and_after_a_fit_on_another_width(name):
    with pytest.raises(NotFittedError, match=f"this {name} is not fitted"):
        make("normalizer", name).apply(vectors())
    with pytest.raises(DataError, match=rf"{name}: vectors of shape \(60, 4\); expected \(n, 5\)"):
        make("normalizer", name).fit(vectors()).apply(vectors(dim=4))
    with pytest.raises(DataError, match=f"{name} learns from vectors of training items; found none"):
        make("normalizer", name).fit(vectors()[:0])


@pytest.mark.parametrize("options", [{"dim": 0}, {"eps": -1}, {"eps": 2}])
def test_whitening_options_that_make_no_sense(options):
    with pytest.raises(OptionError, match="expected dim >= 1 and eps from 0 to 1"):
        PCAWhitening(**options)


# The stage


def test_columns_and_modalities_get_theirs_in_order_and_what_made_them_is_told():
    data = checkerboard()
    done = normalize(data, {"text": ZScore(), "image": [Center(), UnitLength()]})
    title, photo = (data.embeddings[name] for name in ("title", "photo"))
    warm = data.warm
    slow = (title.vectors - title.vectors[warm].mean(axis=0)) / title.vectors[warm].std(axis=0)
    assert done.embeddings["title"].vectors == pytest.approx(slow, abs=1e-5)
    slow = photo.vectors - photo.vectors[warm & photo.present].mean(axis=0)
    slow = np.where(photo.present[:, None], slow / np.linalg.norm(slow, axis=1, keepdims=True), 0)
    assert done.embeddings["photo"].vectors == pytest.approx(slow, abs=1e-5)
    assert np.array_equal(done.embeddings["photo"].present, photo.present)
    assert done.embeddings["photo"].modality == "image"
    assert json.loads(done.embeddings["photo"].made_by) == {
        "normalizers": [{"normalizer": "Center", "options": {}}, {"normalizer": "UnitLength", "options": {}}],
        "of": photo.made_by,
    }


def test_the_name_wins_over_the_modality():
    data = checkerboard()
    done = normalize(data, {"title": UnitLength(), "text": PCAWhitening(dim=1)})
    assert done.embeddings["title"].dim == 3
    assert np.array_equal(done.embeddings["photo"].vectors, data.embeddings["photo"].vectors)


@pytest.mark.parametrize("name", NAMES)
def test_a_cold_item_changes_nothing(name):
    data = checkerboard()
    title = data.embeddings["title"]
    changed = title.vectors.copy()
    changed[-1] = [50, -7, 1e4]  # the last item is cold
    assert not data.warm[-1]
    other = data.with_embeddings("title", replace(title, vectors=changed))
    first, second = (normalize(each, {"title": make("normalizer", name)}).embeddings["title"] for each in (data, other))
    assert np.array_equal(first.vectors[:-1], second.vectors[:-1])
    assert not np.array_equal(first.vectors[-1], second.vectors[-1])


def test_the_items_to_learn_from_can_be_chosen():
    data = checkerboard()
    fit_on = np.arange(data.n_items) < 5
    done = normalize(data, {"title": Center()}, fit_on=fit_on)
    assert done.embeddings["title"].vectors[:5].mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)


def test_two_columns_of_a_modality_each_learn_their_own():
    data = checkerboard()
    title = data.embeddings["title"]
    data = data.with_embeddings("story", replace(title, vectors=title.vectors * 100 + 7))
    normalizer = ZScore()
    done = normalize(data, {"text": normalizer})
    assert done.embeddings["title"].vectors == pytest.approx(done.embeddings["story"].vectors, abs=1e-3)
    assert not vars(normalizer)  # what was given is not fitted


@pytest.mark.parametrize("name", NAMES)
def test_the_stage_normalizes_other_items_alike_also_after_packing(name):
    data = checkerboard()
    done = normalize(data, {"text": [make("normalizer", name), UnitLength()]})
    arrays = {}
    packed = json.loads(json.dumps(pack(done.stages[-1], arrays, "stage")))
    stage = unpack(packed, arrays)
    assert isinstance(stage, Normalized)
    again = stage(data)
    assert np.array_equal(again.embeddings["title"].vectors, done.embeddings["title"].vectors)
    assert again.embeddings["title"].made_by == done.embeddings["title"].made_by
    new = data.embeddings["title"].vectors[3:4] + 1
    one = data.with_embeddings("title", replace(data.embeddings["title"], vectors=np.repeat(new, data.n_items, axis=0)))
    slow = done.stages[-1].normalizers_["title"][0].apply(new)
    assert stage(one).embeddings["title"].vectors[0] == pytest.approx(slow[0] / np.linalg.norm(slow), abs=1e-5)


def test_fused_vectors_are_left_alone_and_nothing_to_do_is_no_stage():
    data = checkerboard()
    fused = replace(data.embeddings["title"], modality="vector", parts={"title": data.embeddings["title"].present})
    data = data.with_embeddings("fused", fused)
    assert normalize(data, {"vector": Center()}) is data
    assert normalize(data, {}) is data


def test_what_cannot_be_normalized_is_told():
    data = checkerboard()
    with pytest.raises(OptionError, match="no vectors named 'titel'; did you mean 'title'. There are: title, photo"):
        normalize(data, {"titel": Center()})
    cold = Embeddings(np.ones((data.n_items, 2)), ~data.warm, "given")
    with pytest.raises(DataError, match="vectors 'lab': no item to learn the normalization from has one; leave 'lab'"):
        normalize(data.with_embeddings("lab", cold), {"vector": Center()})
