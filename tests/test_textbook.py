"""Numbers that textbooks work out by hand, from the components that compute them here."""

import numpy as np
import pytest

from fuserec.alignment.similarity import cosine, euclidean
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.encoders.words import sigmoid_projection
from fuserec.fusion.early import Sum
from fuserec.fusion.fuser import fuse


def test_cosine_and_distance_of_two_vectors():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    assert cosine(a, b) == pytest.approx(0.9746, abs=5e-5)
    assert euclidean(a, b) == pytest.approx(27**0.5)


def test_the_sum_of_three_modalities():
    one = np.ones(1, bool)
    columns = {
        name: Embeddings(np.array([vector], np.float32), one, name)
        for name, vector in (("text", [1, 2, 3]), ("image", [4, 5, 6]), ("audio", [7, 8, 9]))
    }
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("one", Catalog(Ids(["a"]), {}), Ids([], "user"), Interactions(nobody, nobody), columns)
    assert fuse(dataset, Sum(normalize=False)).embeddings["fused"].vectors.tolist() == [[12, 15, 18]]


def test_an_embedding_layer():
    made = sigmoid_projection(np.array([[1.0, 2.0, 3.0]]), np.array([[0.1, 0.2, 0.3]]), np.array([0.5]))
    assert made == pytest.approx(1 / (1 + np.exp(-1.9)), abs=1e-6) and made == pytest.approx(0.8699, abs=5e-5)


def test_a_convolution_through_relu():
    """The layer that LogMelCNN and the picture networks are made of."""
    import torch

    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.ReLU())
    with torch.no_grad():
        layer[0].weight.copy_(torch.arange(1, 10).reshape(1, 1, 3, 3) / 10)
        layer[0].bias.fill_(0.5)
        rows = torch.tensor([[1.0, 2.0, 3.0]]).repeat(3, 1)[None, None]
        assert layer(rows).item() == pytest.approx(10.1, abs=1e-5)
        assert layer(-rows).item() == 0
