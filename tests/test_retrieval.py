import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from fuserec import retrieval
from fuserec.data.embeddings import Embeddings
from fuserec.errors import DataError, OptionError
from fuserec.retrieval import nearest, neighbor_graph, sparse_top_k, top_k


@given(st.lists(st.lists(st.integers(0, 4), min_size=7, max_size=7), min_size=1, max_size=5), st.integers(1, 9))
def test_top_k_is_a_stable_sort(rows, k):
    scores = np.array(rows, dtype=np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_k(scores, k), expected)


def test_top_k_keeps_masked_items_last():
    scores = np.array([[-np.inf, 1.0, -np.inf, 2.0]], dtype=np.float32)
    assert top_k(scores, 3).tolist() == [[3, 1, 0]]


@pytest.mark.parametrize("block", [8_000_000, 30])
def test_neighbor_graph_is_the_dense_answer_in_blocks(block, monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK_CELLS", block)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = np.arange(12) != 5
    graph = neighbor_graph(vectors, 3, present, least=-2.0).toarray()
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -9)
    cosine[:, ~present] = -9
    for row in np.flatnonzero(present):
        nearest = np.argsort(-cosine[row])[:3]
        assert set(np.flatnonzero(graph[row])) == set(nearest)
        np.testing.assert_allclose(graph[row, nearest], cosine[row, nearest], rtol=1e-5)
    assert not graph[5].any() and not graph[:, 5].any()


def test_sparse_top_k():
    matrix = csr_matrix(np.array([[3.0, 1.0, 2.0, 2.0], [0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    expected = [[3.0, 0.0, 2.0, 0.0], [0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(sparse_top_k(matrix, 2).toarray(), expected)


def columns_of_one_space(seed=0):
    rng = np.random.default_rng(seed)
    present = rng.random((3, 12)) < 0.7
    present[:, 4] = False
    return {
        name: Embeddings(rng.standard_normal((12, 5)), there, "x") for name, there in zip("abc", present, strict=True)
    }


@pytest.mark.parametrize("combine, of", [("best", np.max), ("mean", np.mean)])
def test_nearest_scores_an_item_by_its_columns(combine, of):
    columns = columns_of_one_space()
    query = np.random.default_rng(1).standard_normal(5).astype(np.float32)
    scores = {}
    for row in range(12):
        vectors = [e.vectors[row] for e in columns.values() if e.present[row]]
        cosines = [v @ query / np.linalg.norm(v) / np.linalg.norm(query) for v in vectors]
        if cosines:
            scores[row] = of(cosines)
    found = nearest(query, columns, 5, combine=combine)
    assert found.rows.tolist() == sorted(scores, key=scores.get)[::-1][:5]
    np.testing.assert_allclose(found.scores, [scores[row] for row in found.rows], atol=1e-6)
    for name, cosines in found.by.items():
        np.testing.assert_array_equal(np.isnan(cosines), ~columns[name].present[found.rows])
    assert sorted(nearest(query, columns, 99).rows.tolist()) == sorted(scores)  # item 4 has no vector


def test_nearest_says_what_it_cannot_compare():
    columns = columns_of_one_space()
    with pytest.raises(OptionError, match="combine = 'sum'"):
        nearest(np.ones(5, np.float32), columns, 3, combine="sum")
    with pytest.raises(DataError, match="a query of shape \\(4,\\) for vectors of widths"):
        nearest(np.ones(4, np.float32), columns, 3)
    with pytest.raises(DataError, match="the query is a vector of zeros"):
        nearest(np.zeros(5, np.float32), columns, 3)
