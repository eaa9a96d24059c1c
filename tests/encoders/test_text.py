"""TfidfText: its formula, its limits, and that jieba neither warns, logs nor writes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fuserec.encoders.text import TfidfText, words
from fuserec.errors import NotFittedError, OptionError

TEXTS = [
    "red summer dress",
    "red winter dress",
    "blue running shoes",
    "black running shoes",
    "夏天新款红色连衣裙",
    "夏天蓝色连衣裙",
    "the the the of of a",
]


def test_words_are_folded_and_chinese_is_segmented():
    assert words("Red-Dress, ＡＢＣ１! naïve_x") == ["red", "dress", "abc1", "naïve", "x"]
    assert words("红色连衣裙Nike夏天") == ["红色", "连衣裙", "nike", "夏天"]
    assert words("") == words(" \n,.!?🙂") == []


def test_a_vector_is_the_formula_projected():
    texts = ["a b", "a a c", "b c c c d", "d"]
    names = ["a", "b", "c", "d"]
    counts = np.array([[text.split().count(name) for name in names] for text in texts], dtype=float)
    weights = np.zeros_like(counts)
    for row in range(4):
        for column in range(4):
            if counts[row, column]:
                n = sum(counts[other, column] > 0 for other in range(4))
                weights[row, column] = (1 + np.log(counts[row, column])) * (np.log((1 + 4) / (1 + n)) + 1)
    # sklearn scales each text to unit length before the reduction; all four directions keep every angle
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    vectors = TfidfText(dim=4).fit(texts).encode_batch(texts)
    assert np.abs(vectors @ vectors.T - weights @ weights.T).max() < 1e-5


@pytest.mark.parametrize("options", [{}, {"max_features": 5}, {"min_texts": 2}])
def test_the_weights_are_those_of_sklearns_vectorizer(options):
    from sklearn.feature_extraction.text import TfidfVectorizer

    encoder = TfidfText(**options).fit(TEXTS)
    kept = {"max_features": options.get("max_features"), "min_df": options.get("min_texts", 1)}
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True, dtype=np.float32, **kept).fit(TEXTS)
    new = [*TEXTS, "red red blue unheard", "unheard", ""]
    weights = vectorizer.transform(new).toarray()
    assert encoder.words_ == tuple(vectorizer.get_feature_names_out())
    assert np.abs(encoder._weights(new).toarray() - weights).max() < 1e-6
    vectors = weights @ encoder.directions_
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.abs(encoder.encode_batch(new) - np.where(length > 1e-6, vectors / (length + 1e-30), 0)).max() < 1e-6


def test_what_was_learned_is_all_that_a_new_instance_needs():
    fitted, restored = TfidfText(dim=3).fit(TEXTS), TfidfText(dim=3)
    vars(restored).update({name: value for name, value in vars(fitted).items() if name.endswith("_")})
    assert np.array_equal(restored.encode_batch(TEXTS), fitted.encode_batch(TEXTS))
    assert restored.identity() == fitted.identity()


def test_fitting_again_forgets():
    encoder = TfidfText().fit(TEXTS).fit(["!!!"])
    assert encoder.words_ == () and not encoder.encode_batch(["red"]).any()


def test_the_reduction_is_the_best_of_its_rank():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.zipf(1.5, 12) % 50) for _ in range(60)]
    full, few = TfidfText(dim=60).fit(texts), TfidfText(dim=5).fit(texts)
    weights = full._weights(texts).toarray()
    _, values, directions = np.linalg.svd(weights)
    projected = weights @ few.directions_
    assert np.linalg.norm(weights - projected @ few.directions_.T) < 1.01 * np.linalg.norm(values[5:])
    assert np.abs(np.abs(np.sum(few.directions_[:, 0] * directions[0])) - 1) < 1e-3


def test_like_texts_are_near():
    vectors = TfidfText().fit(TEXTS).encode_batch(TEXTS)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.4 > 0.1 > likeness[0, 2]
    assert likeness[4, 5] > 0.3 > 0.1 > likeness[4, 0]
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


@pytest.mark.parametrize("texts", [[], [""], ["!!!", "..."], ["the"], ["one text only"], ["same same"] * 3])
def test_few_texts_do_not_fail(texts):
    encoder = TfidfText(dim=16).fit(texts)
    vectors = encoder.encode_batch([*texts, "other", ""])
    assert vectors.shape[0] == len(texts) + 2 and vectors.shape[1] >= 1
    assert vectors.dtype == np.float32 and np.isfinite(vectors).all()
    assert not vectors[-2:].any()
    assert encoder.state()


def test_there_are_never_more_numbers_than_asked_for():
    assert TfidfText(dim=3).fit(TEXTS).encode_batch(["red"]).shape == (1, 3)
    assert TfidfText(dim=128).fit(TEXTS).encode_batch(["red"]).shape == (1, len(TEXTS))


def test_directions_that_are_rounding_errors_are_dropped():
    assert TfidfText().fit(TEXTS[:3] * 20).encode_batch(TEXTS).shape == (len(TEXTS), 3)


def test_an_empty_batch():
    assert TfidfText(dim=3).fit(TEXTS).encode_batch([]).shape == (0, 3)


@pytest.mark.parametrize("options", [{"dim": 0}, {"max_features": 0}, {"min_texts": 0}])
def test_impossible_options(options):
    with pytest.raises(OptionError, match="= 0.*expected 1 or more of each"):
        TfidfText(**options)


def test_rare_words_can_be_left_out():
    encoder = TfidfText(min_texts=2).fit(TEXTS)
    assert not encoder.encode_batch(["winter"]).any() and encoder.encode_batch(["red"]).any()
    assert not TfidfText(min_texts=50).fit(TEXTS).encode_batch(["red"]).any()


def test_unfitted():
    with pytest.raises(NotFittedError, match=r"TfidfText has not seen any texts; call fit"):
        TfidfText().encode_batch(["red"])
    assert TfidfText().state() == ""


def test_the_state_is_the_texts_in_their_order():
    state = TfidfText().fit(TEXTS).state()
    assert state == TfidfText(dim=2).fit(list(TEXTS)).state()
    assert len({state, TfidfText().fit(TEXTS[::-1]).state(), TfidfText().fit(["ab", "c"]).state()}) == 3
    assert TfidfText().fit(["ab", "c"]).state() != TfidfText().fit(["a", "bc"]).state()


def test_the_same_seed_gives_the_same_vectors():
    first, second = (TfidfText(dim=3, seed=4).fit(TEXTS).encode_batch(TEXTS) for _ in range(2))
    assert np.array_equal(first, second)


def test_several_threads():
    encoder = TfidfText().fit(TEXTS)
    alone = encoder.encode_batch(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(alone, found) for found in pool.map(encoder.encode_batch, [TEXTS] * 20))


def test_chinese_is_silent_and_writes_nothing(tmp_path):
    code = (
        "import warnings\n"
        "from fuserec.encoders.text import TfidfText, words\n"
        "import sys\nassert 'jieba' not in sys.modules and 'sklearn' not in sys.modules\n"
        "assert words('red dress') == ['red', 'dress'] and 'jieba' not in sys.modules\n"
        "TfidfText().fit(['红色连衣裙']).encode_batch(['红色'])\n"
    )
    import os

    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
