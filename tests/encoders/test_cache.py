"""VectorCache: what was put is there, exactly; what cannot be used is a `DataError` that names the file."""

import sqlite3
import threading

import media
import numpy as np
import pytest

from fuserec.encoders.cache import VectorCache
from fuserec.encoders.encoder import encode
from fuserec.errors import DataError
from fuserec.registry import make


def vectors(n, dim=8, seed=0):
    made = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return {str(row).encode(): made[row] for row in range(n)}


def test_what_was_put_is_there_after_closing(tmp_path):
    put = vectors(5)
    with VectorCache(tmp_path / "new" / "cache") as cache:
        cache.put("one", put)
    with VectorCache(tmp_path / "new" / "cache") as cache:
        found = cache.get("one", [*put, b"other"])
        assert len(cache) == 5 and found.keys() == put.keys()
        assert all(np.array_equal(found[key], put[key]) and found[key].dtype == np.float32 for key in put)
        assert not cache.get("two", put)


def test_encoders_do_not_share_vectors_and_the_last_one_put_stays(tmp_path):
    with VectorCache(tmp_path / "cache") as cache:
        cache.put("one", vectors(3, seed=1))
        cache.put("two", vectors(3, seed=2))
        cache.put("one", vectors(1, seed=3))
        assert len(cache) == 6
        assert np.array_equal(cache.get("one", [b"0"])[b"0"], vectors(1, seed=3)[b"0"])
        assert np.array_equal(cache.get("two", [b"0"])[b"0"], vectors(3, seed=2)[b"0"])


def test_two_runs_may_share_a_file(tmp_path):
    failures = []

    def run(number):
        try:
            with VectorCache(tmp_path / "cache") as cache:
                for key, vector in vectors(50, seed=number).items():
                    cache.put(str(number), {key: vector})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with VectorCache(tmp_path / "cache") as cache:
        assert len(cache) == 150


@pytest.mark.parametrize(
    "content", [b"this is no database, but a text that is long enough" * 50, b"SQLite format 3\0" * 200]
)
def test_a_file_that_is_no_cache_is_named(tmp_path, content):
    path = tmp_path / "cache.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cache\.sqlite: cannot be used as a vector cache .*--cache"):
        VectorCache(path)
    assert path.read_bytes() == content


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "folder", tmp_path / "file" / "cache"):
        with pytest.raises(DataError, match=f"{path}: cannot be used as a vector cache"):
            VectorCache(path)


def test_a_table_of_another_program_is_named(tmp_path):
    connection = sqlite3.connect(tmp_path / "cache")
    connection.execute("CREATE TABLE vectors (something TEXT)")
    connection.close()
    with VectorCache(tmp_path / "cache") as cache:
        with pytest.raises(DataError, match="cannot be used as a vector cache"):
            cache.get("one", [b"0"])
        with pytest.raises(DataError, match="cannot be used as a vector cache"):
            cache.put("one", vectors(1))


def test_damage_in_the_middle_is_named_by_the_run_that_meets_it(tmp_path):
    path = tmp_path / "cache"
    with VectorCache(path) as cache:
        cache.put("one", vectors(2_000, dim=64))
    whole = bytearray(path.read_bytes())
    whole[4096:] = np.random.default_rng(0).bytes(len(whole) - 4096)  # the header is sound, the pages are not
    path.write_bytes(whole)
    encoder = make("encoder", "TfidfText")
    with VectorCache(path) as cache, pytest.raises(DataError, match=f"{path}: cannot be used as a vector cache"):
        encode(media.dataset(["red dress", "blue shoe"], "text"), {"text": encoder}, cache=cache)


def test_what_was_learned_comes_back_as_it_was(tmp_path):
    told = {"words_": ("a", "b"), "idf_": np.arange(3, dtype=np.float32), "weights_": {"w": np.eye(2)}, "n_": 0.1}
    with VectorCache(tmp_path / "cache") as cache:
        assert cache.get_learned("these texts") is None
        cache.put_learned("these texts", told)
        cache.put_learned("others", {"model_": object()})  # cannot be stored: it is learned again
        assert cache.get_learned("others") is None and cache.get_learned("these") is None
    with VectorCache(tmp_path / "cache") as cache:
        found = cache.get_learned("these texts")
    assert found.keys() == told.keys() and found["words_"] == ("a", "b") and found["n_"] == 0.1
    assert np.array_equal(found["idf_"], told["idf_"]) and found["idf_"].dtype == np.float32
    assert np.array_equal(found["weights_"]["w"], np.eye(2))


def test_damage_to_what_was_learned_means_that_it_is_learned_again(tmp_path):
    with VectorCache(tmp_path / "cache") as cache:
        cache.put_learned("these texts", {"idf_": np.zeros(3, np.float32)})
        with sqlite3.connect(tmp_path / "cache") as file:
            file.execute("UPDATE learned SET packed = substr(packed, 1, 20)")
        assert cache.get_learned("these texts") is None


def learning(texts, cache, monkeypatch, **options):
    """How often an encoder of TF-IDF learned in one run over the texts; the last one is new to everybody."""
    calls = []
    kind = type(make("encoder", "TfidfText"))
    original = kind.fit
    with monkeypatch.context() as patch:
        patch.setattr(kind, "fit", lambda self, values: calls.append(len(values)) or original(self, values))
        warm = range(len(texts) - 1)
        encode(media.dataset(texts, "text", warm=warm), {"text": kind(**options)}, cache=cache)
    return calls


def test_learning_is_repeated_for_other_texts_or_options_only(tmp_path, monkeypatch):
    texts = ["a red dress", "blue shoes", "a cat", "new"]
    with VectorCache(tmp_path / "cache") as cache:
        assert learning(texts, cache, monkeypatch) == [3]
        assert learning(texts, cache, monkeypatch) == []
        assert learning([*texts[:3], "another new one"], cache, monkeypatch) == []  # it was not learned from
        assert learning(["a green dress", *texts[1:]], cache, monkeypatch) == [3]
        assert learning(texts, cache, monkeypatch, dim=2) == [3]
    assert learning(texts, None, monkeypatch) == [3]


def test_another_file_of_word_vectors_is_read_again(tmp_path):
    file = tmp_path / "words.txt"
    runs = []
    for length in ("1 0", "1 0", "0.5 1"):
        if not runs or length != runs[-1]:
            file.write_text(f"cat {length}\ndog 0 1\n")
        with VectorCache(tmp_path / "cache") as cache:
            encoder = make("encoder", "WordVectors", {"source": str(file), "pooling": "mean"})
            found = encode(media.dataset(["cat", "dog"], "text"), {"text": encoder}, cache=cache)
        runs.append(length)
        np.testing.assert_allclose(found.embeddings["text"].vectors[0], [float(x) for x in length.split()])
