"""Text models by folder or hub id: pooling, windows, identity, downloads; on small random models."""

import json
import shutil
from pathlib import Path

import hub_models
import numpy as np
import pytest

pytest.importorskip(
    "transformers", reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)

from fuserec.encoders.hub_text import TransformersText
from fuserec.encoders.pretrained import MiniLM, available
from fuserec.encoders.weights import loaded
from fuserec.errors import DataError, OptionError
from fuserec.registry import make

TEXTS = ["abc", "hello there", "", "x", "a b c d e f"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name of a small model → its folder, made when it is first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = getattr(hub_models, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def slow(folder, text, pooling="mean", add_special_tokens=True):
    """One text through transformers alone, not padded."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", add_special_tokens=add_special_tokens)
    inputs.pop("token_type_ids", None)
    model = AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state[0].numpy()
    vector = {"mean": states.mean(axis=0), "cls": states[0], "last": states[-1]}[pooling]
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [("bert", "mean"), ("bert", "cls"), ("bert", "last"), ("roberta", "mean"), ("qwen", "last"), ("t5", "mean")],
)
def test_vectors_are_those_of_transformers_one_by_one(folders, name, pooling):
    texts = [text for text in TEXTS if text or name != "qwen"]  # transformers cannot do a text without any token
    vectors = TransformersText(model=folders(name), pooling=pooling).encode_batch(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (len(texts), 16)
    for text, vector in zip(texts, vectors, strict=True):
        assert np.abs(vector - slow(folders(name), text, pooling)).max() < 1e-5


@pytest.mark.parametrize("name", ["bert", "roberta", "qwen", "t5", "clip", "siglip2", "clap"])
def test_a_batch_of_any_lengths_is_as_one_by_one(folders, name):
    texts = ["a b c " * n for n in (0, 1, 30, 3, 12, 0, 7)]
    encoder = TransformersText(model=folders(name))
    together = encoder.encode_batch(texts)
    alone = np.concatenate([encoder.encode_batch([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5


@pytest.mark.parametrize(("name", "room"), [("bert", 38), ("roberta", 10), ("qwen", 24), ("clip", 10)])
def test_a_long_text_is_cut_where_the_model_ends_and_nothing_is_lost(folders, name, room):
    words = (hub_models.LETTERS * 2)[: room + 1]  # one token too many: two windows
    encoder = TransformersText(model=folders(name))
    first = -(-len(words) // 2)
    halves = encoder._pool(
        [window for half in (words[:first], words[first:]) for window in windows(encoder, " ".join(half))],
        *parts(encoder),
    )
    mean = halves.mean(axis=0)
    assert np.abs(encoder.encode_batch([" ".join(words)])[0] - mean / np.linalg.norm(mean)).max() < 1e-5
    assert len(windows(encoder, " ".join(words))) == 2 and len(windows(encoder, " ".join(words[:room]))) == 1


def parts(encoder):
    encoder.encode_batch(["a"])
    key = (encoder.state(), encoder.precision, encoder.device)
    found = {part[1]: value for part, value in loaded.items() if (part[0], *part[2:]) == key}
    return found["network"], found["tokens"], encoder.pooling


def windows(encoder, text):
    from fuserec.encoders.hub_text import _positions

    network, tokens, _ = parts(encoder)
    return encoder._windows(text, tokens, min(encoder.max_tokens, tokens.longest, _positions(network.network)))


def test_the_prefix_stands_before_every_window(folders):
    encoder = TransformersText(model=folders("bert"), prefix="passage: ", max_tokens=9)
    short = TransformersText(model=folders("bert")).encode_batch(["passage: a b"])
    assert np.abs(encoder.encode_batch(["a b"]) - short).max() < 1e-6
    found = windows(encoder, " ".join(hub_models.LETTERS[:10]))
    assert [len(window) for window in found] == [9, 9] and {tuple(window[:3]) for window in found} == {(2, 4, 6)}


def test_a_window_must_have_room(folders):
    with pytest.raises(OptionError, match=r"max_tokens = 4 leaves no room beside 4 marks and tokens of the prefix"):
        TransformersText(model=folders("bert"), prefix="passage: ", max_tokens=4).encode_batch(["a"])


@pytest.mark.parametrize(("precision", "allowed"), [("float16", 1e-2), ("bfloat16", 2e-2), ("int8", 5e-2)])
def test_less_precision_is_near(folders, precision, allowed):
    exact = TransformersText(model=folders("bert"))
    near = TransformersText(model=folders("bert"), precision=precision)
    difference = np.abs(exact.encode_batch(TEXTS) - near.encode_batch(TEXTS)).max()
    assert 0 < difference < allowed
    alone = np.concatenate([near.encode_batch([text]) for text in TEXTS])
    assert np.abs(near.encode_batch(TEXTS) - alone).max() < (allowed if "float" in precision else 1e-6)
    assert near.identity() != exact.identity() and near.space() == exact.space()


def test_int8_is_for_the_cpu_alone(folders):
    encoder = TransformersText(model=folders("bert"), precision="int8", device="meta")
    with pytest.raises(OptionError, match=r"precision = 'int8' needs device = 'cpu'.*use 'float16' or 'bfloat16'"):
        encoder.encode_batch(["a"])


# Folders of sentence-transformers


def sentence_folder(source, target, pooling, extra=()):
    """A model's folder → the same as sentence-transformers saves it."""
    shutil.copytree(source, target / "0_Transformer")
    kinds = ["Transformer", "Pooling", "Normalize", *extra]
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (target / "modules.json").write_text(json.dumps(modules))
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (target / "0_Transformer" / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    return str(target)


@pytest.mark.parametrize(
    ("told", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_a_sentence_folder_says_its_pooling_and_length(folders, tmp_path, told, pooling):
    folder = sentence_folder(folders("bert"), tmp_path / "model", told)
    encoder = TransformersText(model=folder)
    plain = TransformersText(model=folders("bert"), pooling=pooling, max_tokens=8)
    texts = [*TEXTS, "a b c d e f g"]
    assert np.abs(encoder.encode_batch(texts) - plain.encode_batch(texts)).max() < 1e-6


def test_a_sentence_folder_with_other_parts_is_refused(folders, tmp_path):
    folder = sentence_folder(folders("bert"), tmp_path / "dense", {"pooling_mode": "mean"}, ["Dense"])
    with pytest.raises(DataError, match=r"modules Transformer, Pooling, Normalize, Dense and pooling mean.*SharedText"):
        TransformersText(model=folder).encode_batch(["a"])
    folder = sentence_folder(folders("bert"), tmp_path / "max", {"pooling_mode_max_tokens": True})
    with pytest.raises(DataError, match=r"pooling max; TransformersText knows"):
        TransformersText(model=folder).encode_batch(["a"])


@pytest.mark.skipif(
    not available(), reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)
def test_the_real_minilm_by_its_folder_is_minilm():
    folder = str(MiniLM()._weights_path().parent)
    texts = ["a cat", "", "stock markets fell on monday " * 60]
    vectors = TransformersText(model=folder, max_tokens=256).encode_batch(texts)
    assert np.abs(vectors - MiniLM().encode_batch(texts)).max() < 1e-5


# Where models come from


def test_options_are_read_as_a_recipe_gives_them():
    encoder = make("encoder", "TransformersText", {"model": "a/b", "max_tokens": "64", "precision": "bfloat16"})
    assert (encoder.max_tokens, encoder.precision, encoder.allow_download) == (64, "bfloat16", False)
    with pytest.raises(OptionError, match=r"TransformersText: .*model"):
        make("encoder", "TransformersText")
    with pytest.raises(OptionError, match=r"precision = 'float8'"):
        make("encoder", "TransformersImage", {"model": "a/b", "precision": "float8"})


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"model = '.*none': there is no such folder.*--allow-download, or allow_down"):
        TransformersText(model=str(tmp_path / "none")).encode_batch(["a"])
    with pytest.raises(DataError, match=r"model = 'nobody/nothing': there is no such folder.*--allow-download"):
        TransformersText(model="nobody/nothing").identity()


def test_a_hub_id_is_downloaded_once_and_only_if_allowed(folders, tmp_path, monkeypatch):
    """The hub is played by a function that copies a folder, as `snapshot_download` would."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    snapshot, asked = tmp_path / "snapshots" / "0123abcd", []

    def download(model, *, local_files_only, allow_patterns):
        asked.append((model, local_files_only))
        assert set(allow_patterns) == {"*.json", "*.safetensors", "*.txt", "*.model"}  # no pickle, no code
        if local_files_only and not snapshot.exists():
            raise LocalEntryNotFoundError("not there")
        if not local_files_only:
            shutil.copytree(folders("bert"), snapshot)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(DataError, match="allow_download=True"):
        TransformersText(model="some/bert").encode_batch(["a"])
    assert asked == [("some/bert", True)]
    encoder = TransformersText(model="some/bert", allow_download=True)
    vectors = encoder.encode_batch(["abc"])
    assert asked[1:] == [("some/bert", True), ("some/bert", False)]
    assert np.abs(vectors - TransformersText(model=folders("bert")).encode_batch(["abc"])).max() < 1e-6
    assert json.loads(encoder.identity())["state"] == "some/bert@0123abcd"
    assert len(asked) == 3 and TransformersText(model="some/bert").identity() == encoder.identity()
    loaded.pop(("folder", "some/bert"))


def test_pickled_weights_are_not_read(folders, tmp_path):
    shutil.copytree(folders("bert"), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"model: no \*\.safetensors in this folder; other weights are pickles"):
        TransformersText(model=str(tmp_path / "model")).encode_batch(["a"])


def test_a_model_with_code_of_its_own_is_refused(folders, tmp_path):
    shutil.copytree(folders("bert"), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config |= {"model_type": "mert_model", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError, match=r"needs code that comes with it, which fuserec never runs"):
        TransformersText(model=str(tmp_path / "model")).encode_batch(["a"])
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_missing_or_damaged(folders, tmp_path):
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folders("bert"), tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    weights = load_file(path)
    without = {key: value for key, value in weights.items() if "layer.1" not in key}
    save_file(without, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"weights are missing for 16 parts of BertModel, such as .*layer\.1"):
        TransformersText(model=str(tmp_path / "model")).encode_batch(["a"])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"transformers cannot read this model"):
        TransformersText(model=str(tmp_path / "model")).encode_batch(["a"])


# Identity


def test_the_identity_follows_the_files_and_not_the_place(folders, tmp_path):
    shutil.copytree(folders("bert"), tmp_path / "copy")
    here, there = TransformersText(model=folders("bert")), TransformersText(model=str(tmp_path / "copy"))
    assert here.identity() == there.identity() and str(tmp_path) not in there.identity()
    other = TransformersText(model=here.model, device="cuda", allow_download=True)
    assert other.identity() == here.identity()
    before = there.encode_batch(["abc"])
    path = Path(there.model, "model.safetensors")
    content = bytearray(path.read_bytes())
    content[-64:] = bytes(64)
    path.write_bytes(content)
    assert there.identity() != here.identity() and there.space() != here.space()
    assert there.encode_batch(["abc"]).shape == before.shape
    Path(there.model, "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json: not JSON"):
        there.space()


def test_encoders_of_one_model_share_the_network_and_the_space(folders):
    mean, prefixed = TransformersText(model=folders("bert")), TransformersText(model=folders("bert"), prefix="query: ")
    assert mean.space() == prefixed.space() != TransformersText(model=folders("bert"), pooling="cls").space()
    mean.encode_batch(["a"])
    before = len(loaded)
    prefixed.encode_batch(["a"])
    assert len(loaded) == before
