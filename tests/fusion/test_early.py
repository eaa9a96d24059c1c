from dataclasses import replace

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec.data.embeddings import Embeddings
from fuserec.errors import DataError, NotFittedError, OptionError
from fuserec.fusion.early import Concat, Mean, PCAConcat, Sum, Weighted, isometry, principal_axes
from fuserec.fusion.fuser import fuse


def made(vectors, present=None):
    vectors = np.asarray(vectors, dtype=np.float32)
    return Embeddings(vectors, np.ones(len(vectors), bool) if present is None else present, "given")


def fused(fuser, parts):
    """A fuser and column → embeddings → their fusion, centered on all items: nobody chose any in this dataset."""
    dataset = checkerboard(n_items=next(iter(parts.values())).n_items, vectors=False)
    dataset = replace(dataset, interactions=dataset.interactions.take(np.zeros(len(dataset.interactions), bool)))
    for name, embeddings in parts.items():
        dataset = dataset.with_embeddings(name, embeddings)
    return fuser.fit(dataset).fuse(parts)


def cosines(vectors):
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def test_the_textbook_sum():
    parts = {"a": made([[1, 2, 3]]), "b": made([[4, 5, 6]]), "c": made([[7, 8, 9]])}
    assert fused(Sum(normalize=False), parts).vectors.tolist() == [[12, 15, 18]]
    assert fused(Mean(normalize=False), parts).vectors.tolist() == [[4, 5, 6]]
    assert fused(Weighted(normalize=False, weights={"a": 2, "b": 0}), parts).vectors.tolist() == [[3, 4, 5]]
    assert fused(Concat(normalize=False), parts).vectors.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_a_missing_column_is_left_out_and_marked():
    parts = {"a": made([[2, 4], [6, 8]]), "b": made([[10, 20], [0, 0]], np.array([True, False]))}
    mean = fused(Mean(normalize=False), parts)
    assert mean.vectors.tolist() == [[6, 12], [6, 8]]
    assert fused(Sum(normalize=False), parts).vectors.tolist() == [[12, 24], [6, 8]]
    assert mean.parts["b"].tolist() == [True, False] and mean.present.all()


def test_concatenation_of_unit_vectors_averages_their_cosines():
    rng = np.random.default_rng(2)
    parts = {"a": made(rng.standard_normal((9, 4))), "b": made(50 * rng.standard_normal((9, 6)))}
    expected = np.mean([cosines(part.centered_unit()) for part in parts.values()], axis=0)
    np.testing.assert_allclose(cosines(fused(Concat(), parts).vectors), expected, atol=1e-5)


def test_centers_come_from_the_training_items_only():
    fit_on = np.array([True, True, False])
    embeddings = made([[1, 0], [3, 0], [100, 5]])
    np.testing.assert_allclose(embeddings.centered_unit(fit_on)[:2], [[-1, 0], [1, 0]])
    dataset = checkerboard()
    assert not dataset.warm[-1]
    fuser = Concat()
    together = fuse(dataset, fuser).embeddings["fused"]
    assert together.dim == 6 and set(together.parts) == {"title", "photo"}
    for name, center in fuser.centers_.items():
        np.testing.assert_array_equal(center, dataset.embeddings[name].center(dataset.warm))


def test_what_was_fused_or_aligned_is_not_fused_again_unless_asked_for():
    dataset = fuse(checkerboard(), name="together")
    dataset = fuse(dataset.with_embeddings("shared-title", dataset.embeddings["title"]))
    assert set(dataset.embeddings["fused"].parts) == {"title", "photo"}
    asked = fuse(dataset, columns=["shared-title", "photo"]).embeddings["fused"]
    assert set(asked.parts) == {"shared-title", "photo"}


def test_principal_axes_are_the_right_singular_vectors():
    rows = np.random.default_rng(3).standard_normal((40, 7)).astype(np.float32) * np.arange(1, 8, dtype=np.float32)
    axes = principal_axes(rows, 4)
    _, _, right = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(np.abs(right[:4] @ axes), np.eye(4), atol=1e-5)
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(4)] > 0).all()
    assert principal_axes(rows, 99).shape == (7, 7)


def test_the_principal_axes_of_the_concatenation_keep_its_distances():
    rng = np.random.default_rng(4)
    low_rank = rng.standard_normal((30, 3)) @ rng.standard_normal((3, 12))
    parts = {"a": made(low_rank[:, :5]), "b": made(low_rank[:, 5:])}
    long, short = fused(Concat(), parts).vectors, fused(PCAConcat(dim=12), parts).vectors
    between = [np.linalg.norm(rows[:, None] - rows[None], axis=2) for rows in (long, short)]
    np.testing.assert_allclose(between[0], between[1], atol=1e-5)
    np.testing.assert_allclose(short.mean(axis=0), 0, atol=1e-6)
    assert fused(PCAConcat(dim=4), parts).dim == 4


def test_unequal_widths_are_rotated_without_changing_a_cosine():
    matrix = isometry(3, 8, seed=0)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    summed = fused(Sum(normalize=False), {"a": made(np.eye(3)), "b": made(np.zeros((3, 8)))})
    np.testing.assert_allclose(cosines(summed.vectors), np.eye(3), atol=1e-5)


def test_errors_name_the_column():
    dataset = checkerboard()
    with pytest.raises(OptionError, match="no vectors named 'foto'; did you mean 'photo'"):
        fuse(dataset, columns=["foto"])
    with pytest.raises(OptionError, match="unknown column 'sound'"):
        fuse(dataset, Weighted(weights={"sound": 1.0}))
    with pytest.raises(OptionError, match="weight of column 'title' is -1"):
        fuse(dataset, Weighted(weights={"title": -1.0}))
    with pytest.raises(DataError, match="encode it first"):
        fuse(checkerboard(vectors=False))
    with pytest.raises(OptionError, match="PCAConcat: dim is 0"):
        fuse(dataset, PCAConcat(dim=0))
    with pytest.raises(DataError, match="is not finite"):
        made([[np.nan, 1.0]])


def test_errors_about_new_items():
    with pytest.raises(NotFittedError, match="this Concat is not fitted"):
        Concat().fuse({"title": made([[1, 2, 3]])})
    fuser = Concat().fit(checkerboard())
    with pytest.raises(OptionError, match="column 'foto' was not fitted; did you mean 'photo'"):
        fuser.fuse({"foto": made([[1, 2, 3]])})
    with pytest.raises(DataError, match="vectors of 'photo' have 2 numbers; expected 3, as in training"):
        fuser.fuse({"photo": made([[1, 2]])})
    with pytest.raises(DataError, match=r"one number of items; found \[1, 2\]"):
        fuser.fuse({"photo": made([[1, 2, 3]]), "title": made(np.ones((2, 3)))})
    with pytest.raises(DataError, match="found no column"):
        fuser.fuse({})
