import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec import registry
from fuserec.data.embeddings import Embeddings
from fuserec.errors import DataError, OptionError
from fuserec.fusion.early import Concat, Mean, Sum, Weighted, fuse, isometry

NAMES = list(registry.components("fuser"))


def made(vectors, present=None):
    vectors = np.asarray(vectors, dtype=np.float32)
    return Embeddings(vectors, np.ones(len(vectors), bool) if present is None else present, "given")


def cosines(vectors):
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def test_the_textbook_sum():
    parts = {"a": made([[1, 2, 3]]), "b": made([[4, 5, 6]]), "c": made([[7, 8, 9]])}
    assert Sum(normalize=False).fuse(parts).vectors.tolist() == [[12, 15, 18]]
    assert Mean(normalize=False).fuse(parts).vectors.tolist() == [[4, 5, 6]]
    assert Weighted(normalize=False, weights={"a": 2, "b": 0}).fuse(parts).vectors.tolist() == [[3, 4, 5]]
    assert Concat(normalize=False).fuse(parts).vectors.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_a_missing_column_is_left_out_and_marked():
    parts = {"a": made([[2, 4], [6, 8]]), "b": made([[10, 20], [0, 0]], np.array([True, False]))}
    mean = Mean(normalize=False).fuse(parts)
    assert mean.vectors.tolist() == [[6, 12], [6, 8]]
    assert Sum(normalize=False).fuse(parts).vectors.tolist() == [[12, 24], [6, 8]]
    assert mean.parts["b"].tolist() == [True, False] and mean.present.all()


@pytest.mark.parametrize("name", NAMES)
def test_an_item_with_one_column_gets_a_usable_vector_and_one_with_none_gets_none(name):
    rng = np.random.default_rng(0)
    present = np.array([[True, True], [True, False], [False, False], [True, True]])
    parts = {
        key: made(rng.standard_normal((4, dim)), present[:, m]) for m, (key, dim) in enumerate((("a", 3), ("b", 5)))
    }
    fused = registry.make("fuser", name).fuse(parts)
    assert fused.present.tolist() == [True, True, False, True]
    assert np.linalg.norm(fused.vectors[1]) > 0.1 and not fused.vectors[2].any()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_columns_changes_nothing(name):
    rng = np.random.default_rng(1)
    a, b = made(rng.standard_normal((6, 4))), made(rng.standard_normal((6, 7)))
    fuser = registry.make("fuser", name)
    np.testing.assert_array_equal(fuser.fuse({"a": a, "b": b}).vectors, fuser.fuse({"b": b, "a": a}).vectors)


def test_concatenation_of_unit_vectors_averages_their_cosines():
    rng = np.random.default_rng(2)
    parts = {"a": made(rng.standard_normal((9, 4))), "b": made(50 * rng.standard_normal((9, 6)))}
    fused = Concat().fuse(parts)
    expected = np.mean([cosines(part.centered_unit()) for part in parts.values()], axis=0)
    np.testing.assert_allclose(cosines(fused.vectors), expected, atol=1e-5)


def test_centers_come_from_the_training_items_only():
    fit_on = np.array([True, True, False])
    embeddings = made([[1, 0], [3, 0], [100, 5]])
    np.testing.assert_allclose(embeddings.centered_unit(fit_on)[:2], [[-1, 0], [1, 0]])
    dataset = checkerboard()
    assert not dataset.warm[-1]
    fused = fuse(dataset).embeddings["fused"]
    assert fused.dim == 6 and set(fused.parts) == {"title", "photo"}


def test_unequal_widths_are_rotated_without_changing_a_cosine():
    matrix = isometry(3, 8, seed=0)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    fused = Sum(normalize=False).fuse({"a": made(np.eye(3)), "b": made(np.zeros((3, 8)))})
    np.testing.assert_allclose(cosines(fused.vectors), np.eye(3), atol=1e-5)


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
    with pytest.raises(DataError, match="is not finite"):
        made([[np.nan, 1.0]])
