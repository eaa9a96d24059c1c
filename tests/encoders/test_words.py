"""WordVectors: averages against slow loops, files of every kind, training that repeats itself, and what is saved."""

import json
import math
import os
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from fuserec.encoders.text import words
from fuserec.encoders.word_files import read_word_vectors
from fuserec.encoders.words import WordVectors, sigmoid_projection
from fuserec.errors import DataError, MissingExtraError, NotFittedError, OptionError
from fuserec.registry import make

pytest.importorskip("gensim", reason='needs the extra [words]: pip install -e ".[words]" (make test does)')

TEXTS = [
    "red summer dress",
    "red winter dress, a very red one",
    "blue running shoes",
    "black running shoes for winter",
    "夏天新款红色连衣裙",
    "夏天蓝色连衣裙",
    "!?",
]
NEW = [*TEXTS, "red unheard-of shoes", "unheard", "", "红色shoes"]
FILE = {"red": [1, 2, 3], "dress": [4, 5, 6], "shoes": [-1, 0.5, 2], "红色": [7, 8, 9], "winter": [0, -2, 1]}
SMALL = {"dim": 8, "epochs": 2}


def write_text(path, vectors, header):
    lines = [f"{len(vectors)} {len(next(iter(vectors.values())))}"] if header else []
    lines += [" ".join([word, *map(str, numbers)]) for word, numbers in vectors.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_binary(path, vectors):
    dim = len(next(iter(vectors.values())))
    rows = b"".join(
        word.encode() + b" " + struct.pack(f"<{dim}f", *numbers) + b"\n" for word, numbers in vectors.items()
    )
    path.write_bytes(f"{len(vectors)} {dim}\n".encode() + rows)
    return path


@pytest.fixture
def file(tmp_path):
    return str(write_text(tmp_path / "vectors.vec", FILE, header=True))


def slow_average(text, pooling, texts, vectors):
    """The formulas of WordVectors' docstring, word by word; before a component is removed."""
    total, weights, n = np.zeros(len(next(iter(vectors.values())))), 0.0, 0
    tokens = [word for other in texts for word in words(other)]
    for word in words(text):
        if word not in vectors:
            continue
        if pooling == "mean":
            weight = 1.0
        elif pooling == "tfidf":
            weight = math.log((1 + len(texts)) / (1 + sum(word in words(other) for other in texts))) + 1
        else:
            weight = 0.001 / (0.001 + tokens.count(word) / len(tokens))
        total += weight * np.array(vectors[word], dtype=float)
        weights, n = weights + weight, n + 1
    return total / (n if pooling == "sif" else weights) if n else total


# Averages


@pytest.mark.parametrize("pooling", ["mean", "tfidf"])
def test_an_average_is_its_formula(file, pooling):
    encoder = WordVectors(source=file, pooling=pooling).fit(TEXTS)
    slow = [slow_average(text, pooling, TEXTS, FILE) for text in NEW]
    assert np.abs(encoder.encode_batch(NEW) - slow).max() < 1e-5


def test_the_mean_in_numbers(file):
    encoder = WordVectors(source=file, pooling="mean").fit([])
    assert encoder.encode_batch(["Red dress", "red RED dress", "红色 ｒｅｄ"]).tolist() == [
        [2.5, 3.5, 4.5],
        [2.0, 3.0, 4.0],
        [4.0, 5.0, 6.0],
    ]


def test_sif_is_its_formula_and_removes_the_first_singular_vector(file):
    encoder = WordVectors(source=file, pooling="sif").fit(TEXTS)
    trained = np.array([slow_average(text, "sif", TEXTS, FILE) for text in TEXTS])
    first = np.linalg.svd(trained)[2][0]
    for text, vector in zip(NEW, encoder.encode_batch(NEW), strict=True):
        average = slow_average(text, "sif", TEXTS, FILE)
        assert np.abs(vector - (average - first * (first @ average))).max() < 1e-6
    assert np.abs(encoder.common_ @ encoder.encode_batch(NEW).T).max() < 1e-6


def test_what_sif_leaves_of_a_single_text_is_nothing_rather_than_rounding_errors(file):
    assert not WordVectors(source=file).fit(["red winter shoes"]).encode_batch(["red winter shoes"] * 2).any()


def test_frequent_words_weigh_less(file):
    for pooling in ("tfidf", "sif"):
        encoder = WordVectors(source=file, pooling=pooling).fit(TEXTS)
        weight = dict(zip(encoder.vocabulary_, encoder.weights_.tolist(), strict=True))
        assert weight["red"] < weight["红色"] and len(weight) == 5


@pytest.mark.parametrize("pooling", ["mean", "tfidf", "sif"])
@pytest.mark.parametrize("projection", ["none", "sigmoid"])
def test_a_text_without_a_known_word_is_a_row_of_zeros(file, pooling, projection):
    for source in (file, "train"):
        encoder = WordVectors(source=source, pooling=pooling, projection=projection, **SMALL).fit(TEXTS)
        vectors = encoder.encode_batch(["unheard", "", "?!", "winter red"])
        assert not vectors[:3].any() and vectors[3].any()
        assert vectors.dtype == np.float32 and vectors.shape == (4, encoder.dim_)


# The projection


def test_the_embedding_layer_of_the_textbook():
    found = sigmoid_projection(np.array([[1.0, 2.0, 3.0]]), np.array([[0.1, 0.2, 0.3]]), np.array([0.5]))
    assert found.shape == (1, 1) and round(float(found[0, 0]), 4) == 0.8699


def test_the_embedding_layer_against_a_slow_loop():
    rng = np.random.default_rng(0)
    vectors, weights, bias = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
    vectors[0] *= 1e6  # no overflow
    found = sigmoid_projection(vectors, weights, bias)
    for row in range(4):
        for unit in range(5):
            sum_ = bias[unit] + sum(weights[unit, k] * vectors[row, k] for k in range(3))
            slow = 1 / (1 + math.exp(-sum_)) if sum_ > -700 else 0.0
            assert abs(found[row, unit] - slow) < 1e-6


def test_the_projection_is_scaled_on_the_training_texts(file):
    texts = TEXTS[:5]  # each with a known word
    plain = WordVectors(source=file, pooling="mean").fit(TEXTS).encode_batch(texts)
    encoder = WordVectors(source=file, pooling="mean", projection="sigmoid", dim=20).fit(TEXTS)
    found = encoder.encode_batch(texts)
    before = np.log(found / (1 - found))
    assert np.abs(before.mean(axis=0)).max() < 1e-4 and np.abs(before.std(axis=0) - 1).max() < 1e-4
    assert np.abs(before - plain @ encoder.projection_weights_.T - encoder.projection_bias_).max() < 1e-4
    other = WordVectors(source=file, pooling="mean", projection="sigmoid", dim=20, seed=1).fit(TEXTS)
    assert np.abs(other.encode_batch(texts) - found).max() > 0.1
    few = WordVectors(source=file, projection="sigmoid", pooling="mean").fit(["red", "red"]).encode_batch(["red"])
    assert np.isfinite(few).all() and few.shape == (1, 100)
    alike = WordVectors(source=file, projection="sigmoid", pooling="mean", seed=3).fit(["red dress shoes"] * 7)
    assert np.abs(alike.projection_weights_).max() < 10


# Files


@pytest.mark.parametrize("kind", ["glove.txt", "word2vec.txt", "fasttext.vec", "word2vec.bin"])
def test_a_file_of_each_kind(tmp_path, kind):
    path = tmp_path / kind
    write_binary(path, FILE) if kind.endswith("bin") else write_text(path, FILE, header="glove" not in kind)
    vocabulary, vectors = read_word_vectors(path, 50)
    assert vocabulary == tuple(FILE) and vectors.dtype == np.float32
    assert np.array_equal(vectors, np.array(list(FILE.values()), dtype=np.float32))
    assert read_word_vectors(path, 2)[0] == ("red", "dress")
    encoder = make("encoder", "WordVectors", {"source": str(path), "pooling": "mean", "limit": "2"}).fit(["winter"])
    assert encoder.encode_batch(["red winter", "winter"]).tolist() == [[1, 2, 3], [0, 0, 0]] and encoder.dim_ == 3


def test_words_of_a_file_are_folded_and_the_first_of_equal_ones_wins(tmp_path):
    vectors = {"The": [1, 1], "the": [2, 2], "Ｎｉｋｅ": [3, 3], ",": [4, 4], "New_York": [5, 5], "co-op": [6, 6]}
    vocabulary, found = read_word_vectors(write_text(tmp_path / "a.txt", vectors, header=False), 50)
    assert vocabulary == ("the", "nike") and found.tolist() == [[1, 1], [3, 3]]


DAMAGED = {
    "cut.bin": (b"2 3\nred " + bytes(12) + b"\ndress " + bytes(5), "it ends, or goes wrong, after 1 of 2 words"),
    "empty.txt": (b"", "no word in it"),
    "empty.bin": (b"", "not enough values"),
    "marks.txt": (b". 1 2\n, 3 4\n", "no word in it"),
    "prose.txt": (b"This is a text, not vectors of words.\n", "could not convert"),
    "prose.bin": (b"This is a text, not vectors of words.\n", "invalid literal"),
    "short.vec": (b"3 2\nred 1 2\ndress 3 4\n", "it ends after 2 of 3 words"),
    "uneven.txt": (b"red 1 2 3\ndress 4 5\n", "word 2 has 2 numbers instead of 3"),
    "nan.txt": (b"red 1 2\nblue 1 nan\n", "a number of 'blue' is not finite"),
    "huge.vec": (b"99999999999999 99999999999999\nred 1 2\n", "word 1 has 2 numbers instead of 9999"),
    "huge.bin": (b"99999999999999 99999999999999\nred 1 2\n", "99999999999999 numbers a word"),
    "endless.bin": (b"5 2\n" + b"a" * 20_000, "it ends, or goes wrong, after 0 of 5 words"),
    "picture.bin": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "invalid literal"),
    "model.bin": (struct.pack("<ii", 793712314, 12) + bytes(100), r"a whole FastText model: give the \.vec file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file(tmp_path, name):
    content, reason = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{name}: these are not word vectors, or the file is damaged \({reason}.*\); ex"
    ):
        read_word_vectors(tmp_path / name, 50_000)


def test_files_are_read_as_gensim_reads_and_writes_them(tmp_path):
    from gensim.models import KeyedVectors

    rng = np.random.default_rng(0)
    written = KeyedVectors(7)
    written.add_vectors([f"w{row}é" for row in range(50)], rng.normal(size=(50, 7)).astype(np.float32))
    for name in ("a.vec", "a.bin"):
        path, binary = tmp_path / name, name.endswith("bin")
        written.save_word2vec_format(str(path), binary=binary)
        read = KeyedVectors.load_word2vec_format(str(path), binary=binary, limit=30)
        vocabulary, vectors = read_word_vectors(path, 30)
        assert vocabulary == tuple(read.index_to_key) and np.array_equal(vectors, read.vectors)


def test_a_word_of_several_parts_does_not_spoil_a_file(tmp_path):
    (tmp_path / "glove.txt").write_text("red 1 2\n. . 3 4\nat name@example.org 5 6\nblue 7 8\n")
    assert read_word_vectors(tmp_path / "glove.txt", 50)[0] == ("red", "blue")


def test_sources_that_are_no_files(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: word vectors cannot be read \(No such file.*give the path"):
        WordVectors(source=str(tmp_path / "none.txt")).fit(TEXTS)
    (tmp_path / "folder.vec").mkdir()
    with pytest.raises(DataError, match=r"folder\.vec: word vectors cannot be read"):
        WordVectors(source=str(tmp_path / "folder.vec")).fit(TEXTS)
    with pytest.raises(DataError, match="cannot be read"):  # nothing is downloaded
        WordVectors(source="https://example.org/glove.txt").fit(TEXTS)
    with pytest.raises(OptionError, match=r"source is 'word2vec'; expected 'train', 'fasttext', or a file that ends"):
        WordVectors(source="word2vec").fit(TEXTS)


# Training


def shop(n=300):
    """Texts of two topics whose words never meet, so that training can find them."""
    rng = np.random.default_rng(0)
    topics = [["sand", "beach", "sun", "sea", "wave", "swim"], ["snow", "ice", "ski", "cold", "frost", "sled"]]
    return [" ".join(rng.choice(topics[row % 2], 6)) for row in range(n)]


@pytest.mark.parametrize("source", ["train", "fasttext"])
def test_words_that_occur_together_are_near(source):
    encoder = WordVectors(source=source, dim=16, pooling="mean", epochs=60).fit(shop())
    unit = encoder.encode_batch(["sand beach", "sun sea", "snow ice", "ski cold"])
    unit -= encoder.encode_batch(shop()).mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    likeness = unit @ unit.T
    assert min(likeness[0, 1], likeness[2, 3]) > 0.7 > 0.0 > likeness[:2, 2:].max()


def test_training_is_gensims():
    from gensim.models import Word2Vec

    encoder = WordVectors(pooling="mean", dim=8, window=3, epochs=2, min_count=2, seed=5).fit(TEXTS)
    bags = [words(text) for text in TEXTS]
    model = Word2Vec(bags, vector_size=8, window=3, epochs=2, min_count=2, seed=5, sg=1, workers=1)
    assert encoder.vocabulary_ == tuple(model.wv.index_to_key)
    assert set(encoder.vocabulary_) == {word for word, n in Counter(sum(bags, [])).items() if n >= 2}
    assert np.array_equal(encoder.encode_batch(["red dress"])[0], (model.wv["red"] + model.wv["dress"]) / 2)
    assert not encoder.encode_batch(["blue"]).any()


def test_the_end_of_a_very_long_text_is_trained_on_too():
    long = ["red dress"] * 5_000 + ["blue shoes"] * 50
    one, two = ([" ".join(long)], [" ".join(long[:5_000]), " ".join(long[5_000:])])
    options = {"dim": 4, "epochs": 1, "pooling": "mean"}
    assert np.array_equal(WordVectors(**options).fit(one).vectors_, WordVectors(**options).fit(two).vectors_)


def test_fasttext_knows_words_by_their_n_grams():
    from gensim.models import FastText

    from fuserec.encoders import words as module

    encoder = WordVectors(source="fasttext", pooling="mean", **SMALL).fit(TEXTS)
    bags = [words(text) for text in TEXTS]
    options = {"min_n": module.SHORTEST, "max_n": module.LONGEST, "bucket": module.BUCKETS}
    model = FastText(bags, vector_size=8, epochs=2, min_count=1, seed=0, sg=1, workers=1, **options).wv
    never = np.setdiff1d(np.arange(module.BUCKETS), np.concatenate(model.buckets_word))
    model.vectors_ngrams[never] = 0.0  # gensim leaves their random first values
    for word in ("winter", "winters", "midwinter", "dresses"):
        assert np.abs(encoder.encode_batch([word])[0] - model[word]).max() < 1e-6, word
        assert encoder.encode_batch([word]).any()
    assert words("连衣裤") != ["连衣裤"] and np.abs(encoder._from_ngrams("连衣裤") - model["连衣裤"]).max() < 1e-6
    assert not encoder.encode_batch(["zzzz"]).any()
    both = (model["red"].astype(float) + model["winters"]) / 2
    assert np.abs(encoder.encode_batch(["red winters zzzz"])[0] - both).max() < 1e-6


@pytest.mark.parametrize("pooling", ["tfidf", "sif"])
def test_unknown_words_weigh_as_words_that_no_training_text_holds(pooling):
    encoder = WordVectors(source="fasttext", pooling=pooling, **SMALL).fit(TEXTS)
    weight = math.log(1 + len(TEXTS)) + 1 if pooling == "tfidf" else 1.0
    known = encoder.weights_[encoder.vocabulary_.index("red")]
    red, winters = encoder.vectors_[encoder.vocabulary_.index("red")], encoder._from_ngrams("winters")
    average = (known * red + weight * winters) / (known + weight if pooling == "tfidf" else 2)
    average = average - encoder.common_.T @ (encoder.common_ @ average) if pooling == "sif" else average
    assert np.abs(encoder.encode_batch(["red winters"])[0] - average).max() < 1e-6


def test_training_again_is_the_same_whatever_the_hash_seed_and_says_nothing():
    code = (
        "from fuserec.encoders.words import WordVectors\n"
        "for source in ('train', 'fasttext'):\n"
        f"    print(WordVectors(source=source, dim=8, epochs=2, projection='sigmoid').fit({TEXTS!r}).state())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1"}  # not as here
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    here = [WordVectors(source=s, projection="sigmoid", **SMALL).fit(TEXTS).state() for s in ("train", "fasttext")]
    assert done.stdout.split() == here and all(len(state) == 64 for state in here)


@pytest.mark.parametrize("source", ["train", "fasttext"])
@pytest.mark.parametrize("texts", [[], [""], ["!!!"], ["one"], ["one two"], ["same same"] * 3])
def test_few_texts_do_not_fail(source, texts):
    for projection in ("none", "sigmoid"):
        encoder = WordVectors(source=source, projection=projection, **SMALL).fit(texts)
        vectors = encoder.encode_batch([*texts, ""])
        assert vectors.shape == (len(texts) + 1, 8) and np.isfinite(vectors).all() and not vectors[-1].any()
        assert encoder.encode_batch([]).shape == (0, 8)
    assert not WordVectors(source=source, min_count=9).fit(texts).encode_batch(["same"]).any()


# What was learned


@pytest.mark.parametrize("options", [{}, {"source": "fasttext"}, {"pooling": "tfidf", "projection": "sigmoid"}])
def test_what_was_learned_is_all_that_a_new_instance_needs(options):
    fitted = WordVectors(**options, **SMALL).fit(TEXTS)
    restored = replace(fitted)
    learned = {name: value for name, value in vars(fitted).items() if name.endswith("_")}
    assert set(learned) | {field.name for field in fields(fitted)} == set(vars(fitted))
    for value in learned.values():
        assert isinstance(value, (np.ndarray, str, float)) or all(isinstance(word, str) for word in value)
    vars(restored).update(learned)
    assert np.array_equal(restored.encode_batch(NEW), fitted.encode_batch(NEW))
    assert restored.identity() == fitted.identity() and restored.dim_ == fitted.dim_


def test_a_saved_encoder_does_not_need_the_file(file):
    fitted = WordVectors(source=file).fit(TEXTS)
    os.remove(file)
    assert fitted.encode_batch(["red"]).any()


def test_the_state_is_what_was_learned(file, tmp_path):
    state = WordVectors(source=file).fit(TEXTS).state()
    assert state == WordVectors(source=file).fit(TEXTS).state()
    again = write_text(tmp_path / "again.txt", FILE, header=False)
    assert WordVectors(source=str(again)).fit(TEXTS).state() == state
    changed = write_text(tmp_path / "changed.txt", {**FILE, "winter": [0, -2, 1.5]}, header=False)
    states = [
        state,
        WordVectors(source=str(changed)).fit(TEXTS).state(),
        WordVectors(source=file).fit(TEXTS[:3]).state(),
        WordVectors(**SMALL).fit(TEXTS).state(),
        WordVectors(seed=1, **SMALL).fit(TEXTS).state(),
        WordVectors(source="fasttext", **SMALL).fit(TEXTS).state(),
    ]
    assert len(set(states)) == len(states)
    assert json.loads(WordVectors(**SMALL).fit(TEXTS).identity())["state"] == states[3]


def test_fitting_again_forgets(file):
    encoder = WordVectors(source=file, pooling="tfidf").fit(TEXTS)
    first = encoder.encode_batch(TEXTS)
    assert not np.array_equal(encoder.fit(["red"]).encode_batch(TEXTS), first)
    assert np.array_equal(encoder.fit(TEXTS).encode_batch(TEXTS), first)


def test_unfitted():
    with pytest.raises(NotFittedError, match=r"WordVectors has not seen any texts; call fit"):
        WordVectors().encode_batch(["red"])
    assert WordVectors().state() == ""


@pytest.mark.parametrize("option", ["dim", "window", "min_count", "epochs", "limit"])
def test_options_that_make_no_sense(option):
    with pytest.raises(OptionError, match=rf"{option} is 0; expected 1 or more"):
        WordVectors(**{option: 0})
    with pytest.raises(OptionError, match=r"pooling is 'median'; expected one of mean, tfidf, sif"):
        WordVectors(pooling="median")
    with pytest.raises(OptionError, match=r"projection is 'relu'; expected one of none, sigmoid"):
        WordVectors(projection="relu")


def test_without_gensim(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    assert WordVectors(source=file).fit(TEXTS).encode_batch(["red"]).any()
    for source in ("train", "fasttext"):
        with pytest.raises(
            MissingExtraError, match=r'WordVectors needs the package gensim.*pip install "fuserec\[words\]"'
        ):
            WordVectors(source=source).fit(TEXTS)


def test_gensim_is_imported_only_where_it_is_used():
    code = "import sys, fuserec.encoders.words\nassert not {'gensim', 'sklearn', 'jieba'} & sys.modules.keys()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)
