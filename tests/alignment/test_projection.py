import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import registry
from fuserec.alignment.aligner import SHARED, align
from fuserec.alignment.projection import GCCA, Procrustes
from fuserec.data.embeddings import Embeddings
from fuserec.errors import DataError, NotFittedError, OptionError


def centered(block):
    return (block - block.mean(axis=0)).astype(np.float32)


def views(n=200, dims=(6, 5), shared=3, noise=0.6, seed=0):
    """Blocks that hold the same few hidden numbers, each in a mixture of its own, and noise."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n, shared))
    return [
        centered(hidden @ rng.standard_normal((shared, dim)) + noise * rng.standard_normal((n, dim))) for dim in dims
    ]


def made(vectors, present=None):
    return Embeddings(vectors, np.ones(len(vectors), bool) if present is None else present, "given")


def orthogonal(dim, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]


def test_two_complete_columns_give_the_canonical_correlations():
    from sklearn.cross_decomposition import CCA

    a, b = views()
    gcca = GCCA(dim=5, regularization=0.0, sharpness=0.0)
    gcca.learn(["a", "b"], [a, b], np.ones((200, 2), bool))
    bases = [np.linalg.svd(block.astype(float), full_matrices=False)[0] for block in (a, b)]
    direct = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)  # cosines of the principal angles
    np.testing.assert_allclose(gcca.correlations_, direct, atol=1e-5)
    left, right = gcca.to_shared("a", a), gcca.to_shared("b", b)
    here = [np.corrcoef(left[:, j], right[:, j])[0, 1] for j in range(5)]
    np.testing.assert_allclose(here, direct, atol=1e-4)
    left, right = CCA(n_components=2, max_iter=10_000, tol=1e-12).fit_transform(a, b)
    np.testing.assert_allclose(
        [np.corrcoef(left[:, j], right[:, j])[0, 1] for j in range(2)], gcca.correlations_[:2], atol=1e-4
    )


def test_three_columns_with_gaps_solve_the_regularized_maxvar_problem():
    rng = np.random.default_rng(3)
    blocks = [block.astype(np.float64) for block in views(n=60, dims=(4, 6, 5))]
    present = rng.random((60, 3)) < 0.75
    present[present.sum(axis=1) < 2] = True
    blocks = [np.where(there[:, None], block, 0.0) for block, there in zip(blocks, present.T, strict=True)]
    blocks = [
        block - there[:, None] * block.sum(0) / there.sum() for block, there in zip(blocks, present.T, strict=True)
    ]
    gcca = GCCA(dim=3, regularization=0.4, sharpness=0.0)
    gcca.learn(["a", "b", "c"], [block.astype(np.float32) for block in blocks], present)
    # from the definition, with matrices (n, n): maximize tr G' (sum of P_m) G subject to G' K G = I
    ridges = [0.4 * np.trace(block.T @ block) / block.shape[1] for block in blocks]
    solve = [
        np.linalg.solve(block.T @ block + ridge * np.eye(block.shape[1]), block.T)
        for block, ridge in zip(blocks, ridges, strict=True)
    ]
    root = np.diag(present.sum(axis=1) ** -0.5)
    total = root @ sum(block @ regress for block, regress in zip(blocks, solve, strict=True)) @ root
    g = root @ np.linalg.eigh(total)[1][:, ::-1][:, :3]
    for name, regress in zip("abc", solve, strict=True):
        expected, found = regress @ g, gcca.maps_[name]
        signs = np.sign((expected * found).sum(axis=0))
        np.testing.assert_allclose(found * signs, expected, atol=1e-4)


def test_coordinates_that_columns_share_outweigh_those_they_do_not():
    a, b = views(n=400, dims=(8, 8), shared=2, noise=0.3)
    both = np.ones((400, 2), bool)
    flat, sharp = GCCA(dim=8, sharpness=0.0), GCCA(dim=8)
    for gcca in (flat, sharp):
        gcca.learn(["a", "b"], [a, b], both)
    spread = [gcca.to_shared("a", a).std(axis=0) for gcca in (flat, sharp)]
    assert spread[1][2:].max() < 0.1 * spread[1][:2].min() < spread[0][2:].max()


def test_procrustes_recovers_a_rotation():
    a = views(dims=(6,), noise=1.0)[0] * np.arange(1, 7, dtype=np.float32)
    b = a @ orthogonal(6, 1)
    aligner = Procrustes().fit({"a": made(a), "b": made(b)})
    np.testing.assert_allclose(aligner.project("a", a), aligner.project("b", b), atol=1e-4)
    matrix = aligner.maps_["a"]
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(6), atol=1e-5)


def test_procrustes_recovers_three_rotations_with_gaps_and_never_moves_away():
    a = views(n=150, dims=(5,), noise=1.0)[0] * np.arange(1, 6, dtype=np.float32)
    rng = np.random.default_rng(5)
    present = rng.random((150, 3)) < 0.9
    blocks = {name: a @ orthogonal(5, seed) for seed, name in enumerate("abc")}
    columns = {name: made(block, present[:, m]) for m, (name, block) in enumerate(blocks.items())}
    aligner = Procrustes().fit(columns)
    # centers differ a little, since each column has gaps of its own
    for name in "bc":
        cosines = (aligner.project("a", blocks["a"]) * aligner.project(name, blocks[name])).sum(axis=1)
        assert np.median(cosines) > 0.99


def test_procrustes_brings_columns_of_unequal_width_to_a_common_one():
    a, b = views(dims=(9, 4), shared=3, noise=0.1)
    aligner = Procrustes().fit({"a": made(a), "b": made(b)})
    left, right = aligner.project("a", a), aligner.project("b", b)
    assert left.shape == right.shape == (200, 4)
    own, other = (left * right).sum(axis=1), (left * np.roll(right, 1, axis=0)).sum(axis=1)
    assert own.mean() > other.mean() + 0.3


@pytest.mark.parametrize("aligner", [GCCA(), Procrustes()], ids=lambda aligner: type(aligner).__name__)
def test_new_items_and_items_with_gaps_find_their_own_vectors(aligner):
    a, b, c = views(n=300, dims=(20, 12, 16), shared=6, noise=0.3)
    rng = np.random.default_rng(0)
    present = rng.random((300, 3)) < 0.7
    columns = {name: made(block, present[:, m]) for m, (name, block) in enumerate(zip("abc", (a, b, c), strict=True))}
    aligner.fit(columns, np.arange(300) < 250)
    left, right = aligner.project("a", a[250:]), aligner.project("b", b[250:])
    assert left.dtype == np.float32 and np.isfinite(left).all()
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1.0, atol=1e-5)
    if isinstance(aligner, GCCA):  # a rotation cannot undo two unrelated mixtures
        assert ((left @ right.T).argmax(axis=1) == np.arange(50)).mean() > 0.8
    one_by_one = np.concatenate([aligner.project("a", row[None]) for row in a[250:]])
    np.testing.assert_allclose(one_by_one, left, atol=1e-5)


def test_items_outside_fit_on_change_nothing():
    a, b = views()
    spoiled = [np.where(np.arange(200)[:, None] < 150, block, 9 * block[::-1]) for block in (a, b)]
    fit_on = np.arange(200) < 150
    first = GCCA().fit({"a": made(a), "b": made(b)}, fit_on)
    second = GCCA().fit({"a": made(spoiled[0]), "b": made(spoiled[1])}, fit_on)
    np.testing.assert_array_equal(first.project("a", a), second.project("a", a))


def test_a_column_without_any_difference_between_items_is_survived_or_named():
    a, b = views()
    flat = made(np.tile(np.float32([1, 0, 2]), (200, 1)))
    aligner = GCCA().fit({"a": made(a), "b": made(b), "flat": flat})
    assert np.isfinite(aligner.project("a", a)).all() and not aligner.project("flat", flat.vectors).any()
    with pytest.raises(DataError, match="fewer than two columns have vectors that differ"):
        GCCA().fit({"a": made(a), "flat": flat})


@pytest.mark.parametrize("name", ["GCCA", "Procrustes"])
def test_align_adds_a_shared_column_for_each(name):
    dataset = checkerboard()
    aligned = align(dataset, registry.make("aligner", name, {"dim": 3}))
    for column, embeddings in dataset.embeddings.items():
        shared = aligned.embeddings[SHARED + column]
        assert shared.dim <= 3 and shared.modality == embeddings.modality
        np.testing.assert_array_equal(shared.present, embeddings.present)
        assert not shared.vectors[~shared.present].any() and name in shared.made_by


def test_what_cannot_be_aligned_is_said():
    a = made(views()[0])
    with pytest.raises(DataError, match="at least two columns"):
        GCCA().fit({"a": a})
    with pytest.raises(DataError, match="found 0 of them, expected at least 2"):
        GCCA().fit({"a": a, "b": a}, np.zeros(200, bool))
    with pytest.raises(NotFittedError, match="call fit"):
        Procrustes().project("a", a.vectors)
    with pytest.raises(OptionError, match="did you mean 'photo'"):
        align(checkerboard(), columns=["title", "photos"])
    with pytest.raises(OptionError, match="no column 'c' was aligned"):
        GCCA().fit({"a": a, "b": a}).project("c", a.vectors)
    with pytest.raises(OptionError, match="expected a dim of 1 or more"):
        GCCA(dim=0)
    with pytest.raises(OptionError, match="expected 1 or more"):
        Procrustes(iterations=0)
