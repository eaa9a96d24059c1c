from math import log

import numpy as np
import pytest
from tests.planted import checkerboard

from fuserec.alignment.aligner import align
from fuserec.alignment.clusters import WORD, Clusters, agreement_between, cluster, name_clusters
from fuserec.data.embeddings import Embeddings
from fuserec.errors import DataError, OptionError
from fuserec.sources.toy import THEME_WORDS, _attributes


def groups_of(labels):
    return Clusters(np.asarray(labels), ("?",) * (max(labels) + 1), ())


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_planted_groups_are_found_and_absent_items_are_in_none(method):
    dataset = checkerboard(n_items=40)
    found = cluster(dataset, "photo", method=method, n_clusters=2 if method == "kmeans" else None)
    there = dataset.embeddings["photo"].present
    assert len(found) == 2 and (found.labels[~there] == -1).all()
    even, odd = (set(found.labels[there & (np.arange(40) % 2 == side)]) - {-1} for side in (0, 1))
    assert len(even) == len(odd) == 1 and even != odd
    assert all(found.labels[row] == label for label, rows in enumerate(found.typical) for row in rows)


def test_typical_items_are_the_nearest_to_the_center():
    dataset = checkerboard(n_items=40)
    found = cluster(dataset, "title", n_clusters=2, n_typical=3)
    vectors = dataset.embeddings["title"].centered_unit()
    for label, rows in enumerate(found.typical):
        members = np.flatnonzero(found.labels == label)
        distance = {row: np.linalg.norm(vectors[row] - vectors[members].mean(axis=0)) for row in members}
        assert list(rows) == sorted(distance, key=distance.get)[:3]


def test_the_number_of_clusters_follows_from_the_silhouette():
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(6), 10, axis=0) + 0.05 * rng.standard_normal((60, 6))
    dataset = checkerboard(n_items=60).with_embeddings("six", Embeddings(vectors, np.ones(60, bool), "given"))
    assert len(cluster(dataset, "six")) == 6


def test_names_are_the_words_with_the_largest_class_based_tf_idf():
    texts = ["red apple", "red cherry", "red red apple", "blue sea", "blue sky", "a blue sea 7"]
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert name_clusters(texts, labels, WORD.findall, 2) == ("red, apple", "blue, sea")
    # from the definition: 6 + 6 words over two clusters
    weights = {word: n * log(1 + 6 / n) for word, n in {"red": 3, "apple": 2, "cherry": 1}.items()}
    assert sorted(weights, key=weights.get)[::-1] == ["red", "apple", "cherry"]


def test_words_that_most_items_have_and_items_in_no_cluster_name_nothing():
    texts = ["the red", "the red", "the blue", "the blue", "green green"]
    assert name_clusters(texts, np.array([0, 0, 1, 1, -1]), str.split) == ("red", "blue")
    assert name_clusters(["the", "the"], np.array([0, 1]), str.split) == ("cluster 0", "cluster 1")


def test_agreement_is_one_for_the_same_groups_and_zero_for_unrelated_ones():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 2000)
    renamed = (labels + 1) % 4
    renamed[:20] = -1  # in no cluster: left out
    found = agreement_between(
        {"a": groups_of(labels), "b": groups_of(renamed), "c": groups_of(rng.permutation(labels))}
    )
    assert found["a", "b"] == pytest.approx(1.0)
    assert abs(found["a", "c"]) < 0.01
    nothing = Clusters(np.full(2000, -1), (), ())
    assert agreement_between({"a": groups_of(labels), "none": nothing}) == {("a", "none"): 0.0}


def test_in_the_shared_space_of_the_shop_pictures_and_sounds_fall_into_the_planted_themes(encoded_shop):
    shop = align(encoded_shop(0))
    found = {name: cluster(shop, name, n_clusters=6) for name in ("photo", "jingle", "shared-jingle")}
    found["shared-photo"] = cluster(shop, "shared-photo")  # finds the number by itself
    found["theme"] = groups_of(_attributes(300, 0)["theme"])
    agreement = agreement_between(found)
    assert agreement["photo", "jingle"] < 0.1  # kinds of products here, timbres there
    assert agreement["shared-jingle", "shared-photo"] > 0.9 < agreement["shared-photo", "theme"]
    theme_words = {word.casefold() for adjectives, _ in THEME_WORDS for word in adjectives}
    scene_words = {word for _, scenes in THEME_WORDS for scene in scenes for word in scene.split()}
    for name in found["shared-photo"].names:
        assert set(name.split(", ")) & (theme_words | scene_words), name


def test_what_cannot_be_clustered_is_said():
    dataset = checkerboard()
    with pytest.raises(OptionError, match="did you mean 'photo'"):
        cluster(dataset, "phote")
    with pytest.raises(OptionError, match="'hdbscan' without a number"):
        cluster(dataset, "photo", method="hdbscan", n_clusters=3)
    with pytest.raises(OptionError, match="method = 'ward'"):
        cluster(dataset, "photo", method="ward")
    with pytest.raises(DataError, match="19 items have vectors named 'photo' and n_clusters is 30"):
        cluster(dataset, "photo", n_clusters=30)
