import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from fuserec import retrieval
from fuserec.retrieval import neighbor_graph, sparse_top_k, top_k


@given(st.lists(st.lists(st.integers(0, 4), min_size=7, max_size=7), min_size=1, max_size=5), st.integers(1, 9))
def test_top_k_is_a_stable_sort(rows, k):
    scores = np.array(rows, dtype=np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_k(scores, k), expected)


def test_top_k_keeps_masked_items_last():
    scores = np.array([[-np.inf, 1.0, -np.inf, 2.0]], dtype=np.float32)
    assert top_k(scores, 3).tolist() == [[3, 1, 0]]


@pytest.mark.parametrize("values", [2, 30, 10**6])  # many ties, some, hardly any
def test_top_k_of_a_large_catalog_is_a_stable_sort(values):
    rng = np.random.default_rng(values)
    scores = rng.integers(0, values, (40, 1_003)).astype(np.float32)
    scores[:, ::7] = -np.inf
    scores[3] = -np.inf
    scores[4, 5:] = -np.inf  # fewer than k are left
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(top_k(scores, 20), expected)


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


def test_sparse_top_k_of_many_rows_is_that_of_each(monkeypatch):
    matrix = csr_matrix(np.random.default_rng(0).integers(0, 5, (50, 12)).astype(np.float32))
    whole = sparse_top_k(matrix, 3).toarray()
    monkeypatch.setattr(retrieval, "ROWS_SORTED", 7)
    np.testing.assert_array_equal(sparse_top_k(matrix, 3).toarray(), whole)


def test_sparse_top_k_of_all_floats_is_a_stable_sort():
    rng = np.random.default_rng(0)
    values = np.array([-np.inf, -3e30, -1.0, -1e-40, 1e-40, 0.5, 1.0, 1.0000001, 3e30, np.inf], np.float32)
    dense = rng.choice(values, (30, 12))
    found = sparse_top_k(csr_matrix(dense), 4)
    best = np.sort(np.argsort(-dense, axis=1, kind="stable")[:, :4], axis=1)
    np.testing.assert_array_equal(np.sort(found.indices.reshape(30, 4), axis=1), best)


@pytest.mark.parametrize("k", [5, 20])
def test_neighbors_of_many_items_are_nearly_the_exact_ones(k, monkeypatch):
    rng = np.random.default_rng(0)
    n = 3_000
    vectors = rng.standard_normal((60, 16)).astype(np.float32)[np.arange(n) % 60]
    vectors += rng.standard_normal((n, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = np.arange(n) % 10 != 0
    exact = neighbor_graph(vectors, k, present)
    monkeypatch.setattr(retrieval, "MOST_EXACT", 1_000)
    near = neighbor_graph(vectors, k, present)
    assert (near.getnnz(axis=1) == np.where(present, k, 0)).all() and not near.diagonal().any()
    assert not near[:, ~present].nnz
    rows, columns = near.nonzero()
    cosines = (vectors[rows] * vectors[columns]).sum(axis=1)
    np.testing.assert_allclose(near.data, cosines, rtol=1e-4)
    found = (exact > 0).multiply(near > 0).nnz / exact.nnz
    assert found > 0.95 and near.data.mean() > 0.99 * exact.data.mean()
    again = neighbor_graph(vectors, k, present)
    assert (near != again).nnz == 0
    floor = neighbor_graph(vectors, k, present, least=0.6)
    assert 0 < floor.nnz < near.nnz and floor.data.min() > 0.6


@pytest.mark.parametrize("size", [50, 500])
def test_neighbors_are_found_in_clusters_smaller_and_larger_than_a_cell(size, monkeypatch):
    n, rng = 10_000, np.random.default_rng(0)
    vectors = rng.standard_normal((n // size, 32)).astype(np.float32)[np.arange(n) % (n // size)]
    vectors += rng.standard_normal((n, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = neighbor_graph(vectors, 20)
    monkeypatch.setattr(retrieval, "MOST_EXACT", 1_000)
    found = (exact > 0).multiply(neighbor_graph(vectors, 20) > 0).nnz / exact.nnz
    assert found > 0.98
    monkeypatch.setattr(retrieval, "PROBES", 1)
    assert (exact > 0).multiply(neighbor_graph(vectors, 20) > 0).nnz / exact.nnz < found - 0.2


def test_many_equal_vectors_are_neighbors_once(monkeypatch):
    monkeypatch.setattr(retrieval, "MOST_EXACT", 10)
    graph = neighbor_graph(np.ones((100, 4), np.float32) / 2, 3)
    assert (graph.getnnz(axis=1) == 3).all() and not graph.diagonal().any()
