"""Musicnn: checkpoints without TensorFlow, the network against a slow one, and, where the package is, what it hears."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from fuserec.encoders import musicnn
from fuserec.encoders.checkpoint import read_checkpoint
from fuserec.encoders.musicnn import EPSILON, Musicnn, MusicnnMSD, _Network
from fuserec.encoders.spectra import RATE
from fuserec.errors import DataError, MissingExtraError, OptionError

needs_weights = pytest.mark.skipif(
    find_spec("musicnn") is None, reason="needs the weights: pip install --no-deps musicnn==0.1.0"
)


def varint(value):
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def block(entries):
    """Keys and values → a plain block of a LevelDB table with its trailer; keys share their starts."""
    written, before = b"", b""
    for key, value in entries:
        shared = next(
            (n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        written += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return written + bytes(4) + (1).to_bytes(4, "little"), bytes(5)


def checkpoint(folder, variables, compressed=0):
    """Variables → the two files of a checkpoint."""
    numbers, entries = b"", [(b"", b"\x08\x01")]
    for name, array in sorted(variables.items()):
        shape = b"".join(b"\x12" + varint(len(dim)) + dim for dim in (b"\x08" + varint(n) for n in array.shape))
        kind = {"float32": 1, "int64": 9}[array.dtype.name]
        where = (b"\x20" + varint(len(numbers)) if numbers else b"") + b"\x28" + varint(array.nbytes)
        entry = b"\x08" + varint(kind) + b"\x12" + varint(len(shape)) + shape + where + b"\x35" + b"abcd"
        entries.append((name.encode(), entry))
        numbers += array.tobytes()
    table, handles = b"", []
    for part in (entries[:2], entries[2:]):
        body, trailer = block(part)
        handles.append((part[-1][0], varint(len(table)) + varint(len(body))))
        table += body + bytes([compressed]) + trailer[1:]
    ends = b""
    for part in ([], handles):
        body, trailer = block(part)
        ends += varint(len(table)) + varint(len(body))
        table += body + trailer
    footer = ends.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    (folder / "a.index").write_bytes(table + footer)
    (folder / "a.data").write_bytes(numbers)
    return folder / "a.index", folder / "a.data"


def test_a_checkpoint_gives_its_variables_back(tmp_path):
    rng = np.random.default_rng(0)
    variables = {
        "conv2d/bias": rng.standard_normal(300).astype(np.float32),
        "conv2d/kernel": rng.standard_normal((7, 38, 1, 2)).astype(np.float32),
        "conv2d_1/kernel": rng.standard_normal((3, 2)).astype(np.float32),
        "power": np.float32(0.5).reshape(()),
        "step": np.arange(3),
    }
    found = read_checkpoint(*checkpoint(tmp_path, variables))
    assert set(found) == set(variables) - {"step"}
    for name, array in found.items():
        assert array.dtype == np.float32 and np.array_equal(array, variables[name]), name


def test_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / "index").write_bytes(b"something else" * 9)
    with pytest.raises(DataError, match="this is not the index of a TensorFlow checkpoint"):
        read_checkpoint(tmp_path / "index", tmp_path / "index")
    variables = {name: np.zeros(2, np.float32) for name in "ab"}
    with pytest.raises(DataError, match="compressed; only plain ones can be read"):
        read_checkpoint(*checkpoint(tmp_path, variables, compressed=1))


def small_variables(rng, timbral=3, temporal=2, middle=4, bands=10):
    """Random variables of a network of the same shape with fewer filters."""
    shapes = [(7, bands - 6, timbral), (7, bands - 3, timbral), *((width, 1, temporal) for width in (128, 64, 32))]
    shapes += [(7, 2 * timbral + 3 * temporal, middle), (7, middle, middle), (7, middle, middle)]
    n_features = 2 * timbral + 3 * temporal + 3 * middle
    variables, sizes = {}, [1, *(shape[2] for shape in shapes), 2 * n_features, 5]
    for number, (height, width, filters) in enumerate(shapes):
        name = f"conv2d_{number}" if number else "conv2d"
        variables[f"{name}/kernel"] = 0.2 * rng.standard_normal((height, width, 1, filters))
        variables[f"{name}/bias"] = rng.standard_normal(filters)
    for number, size in enumerate(sizes):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        for part in ("moving_mean", "gamma", "beta"):
            variables[f"{name}/{part}"] = rng.standard_normal(size)
        variables[f"{name}/moving_variance"] = rng.uniform(0.5, 2, size)
    for name, shape in (("dense", (2 * n_features, 5)), ("dense_1", (5, 6))):
        variables[f"{name}/kernel"], variables[f"{name}/bias"] = (
            rng.standard_normal(shape),
            rng.standard_normal(shape[1]),
        )
    return variables


def slow_network(x, variables):
    """One spectrogram (frames, bands) → what `_Network` returns, filter by filter and frame by frame."""

    def normal(values, number):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        mean, variance, gamma, beta = (
            variables[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return (values - mean) / np.sqrt(variance + EPSILON) * gamma + beta

    def convolve(x, number):  # → (frames, filters): the largest along the bands
        name = f"conv2d_{number}" if number else "conv2d"
        kernel, bias = variables[f"{name}/kernel"][:, :, 0], variables[f"{name}/bias"]
        height, width, _ = kernel.shape
        padded = np.pad(x, (((height - 1) // 2, height // 2), (0, 0)))
        made = [
            [
                np.tensordot(padded[frame : frame + height, band : band + width], kernel, 2) + bias
                for band in range(x.shape[1] - width + 1)
            ]
            for frame in range(len(x))
        ]
        return normal(np.maximum(np.array(made), 0), number + 1).max(axis=1)

    x = normal(x, 0)
    layers = [np.concatenate([convolve(x, number) for number in range(5)], axis=1)]
    layers.append(convolve(layers[0], 5))
    layers.append(convolve(layers[1], 6) + layers[1])
    layers.append(convolve(layers[2], 7) + layers[2])
    features = np.concatenate(layers, axis=1)
    both = normal(np.stack([features.max(axis=0), features.mean(axis=0)], axis=1).ravel(), 9)
    last = normal(np.maximum(both @ variables["dense/kernel"] + variables["dense/bias"], 0), 10)
    return (
        features.mean(axis=0),
        last,
        1 / (1 + np.exp(-(last @ variables["dense_1/kernel"] + variables["dense_1/bias"]))),
    )


def test_the_network_against_a_slow_one():
    rng = np.random.default_rng(0)
    variables, spectra = small_variables(rng), rng.standard_normal((2, 20, 10))
    found = _Network({name: torch.from_numpy(value) for name, value in variables.items()})(torch.from_numpy(spectra))
    for row in range(2):
        for layer, slow in zip(found, slow_network(spectra[row], variables), strict=True):
            assert np.allclose(layer[row].numpy(), slow)


@pytest.mark.parametrize(("seconds", "n_windows"), [(0.001, 1), (2, 1), (3, 2), (10, 4), (100, 10)])
def test_windows_of_sounds_of_any_length(seconds, n_windows):
    samples = np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32)
    spectra = Musicnn()._spectra(torch.from_numpy(samples))
    assert spectra.shape == (n_windows, 187, 96) and torch.isfinite(spectra).all()


def test_absence_names_the_command(monkeypatch):
    monkeypatch.setattr(musicnn, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="MusicnnMSD needs .* pip install --no-deps musicnn==0.1.0"):
        MusicnnMSD().encode_batch([np.zeros(RATE, np.float32)])


def test_options_that_make_no_sense_and_tags():
    with pytest.raises(OptionError, match="windows = 0; expected 1 or more"):
        Musicnn(windows=0)
    assert len(set(Musicnn.tag_names)) == len(set(MusicnnMSD.tag_names)) == 50


def drums(rng, beat=0.46):
    samples, time = np.zeros(5 * RATE), np.arange(4_000) / RATE
    kick = np.sin(2 * np.pi * (50 * time + 20 * (1 - np.exp(-30 * time)))) * np.exp(-12 * time)
    for start in (np.arange(0, 4, beat) * RATE).astype(int):
        samples[start : start + 4_000] += 0.8 * kick
        samples[start + int(beat * RATE / 2) :][:800] += 0.2 * rng.standard_normal(800) * np.exp(-np.arange(800) / 200)
    return samples[: 4 * RATE].astype(np.float32)


def plucked(rng, pitches=(220, 247, 262, 330, 392, 440)):
    """Strings by Karplus and Strong 1983."""
    samples = np.zeros(5 * RATE)
    for start, hz in zip((np.arange(0, 4, 0.25) * RATE).astype(int), rng.choice(pitches, 16), strict=True):
        wave, string = rng.standard_normal(RATE // hz), []
        for _ in range(hz):
            string.append(wave)
            wave = 0.498 * (wave + np.roll(wave, 1))
        samples[start : start + RATE][: RATE // hz * hz] += np.concatenate(string)
    return (0.2 * samples / np.abs(samples).max())[: 4 * RATE].astype(np.float32)


@needs_weights
def test_it_hears_drums_strings_and_a_flute():
    rng = np.random.default_rng(0)
    flute = (0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    probabilities = Musicnn().tags([drums(rng), plucked(rng), flute])
    heard = [[Musicnn.tag_names[tag] for tag in row.argsort()[::-1][:3]] for row in probabilities]
    assert heard[0][0] == "techno" and "guitar" in heard[1] and heard[2][0] == "flute"


@needs_weights
@pytest.mark.parametrize("encoder", [Musicnn(), Musicnn(pooled=True), MusicnnMSD()])
def test_two_halves_of_a_track_are_nearest_to_each_other(encoder):
    rng = np.random.default_rng(0)
    tracks = [drums(rng), drums(rng, beat=0.3), plucked(rng), plucked(rng, pitches=(660, 880, 990))]
    tracks += [0.5 * drums(rng, beat=0.6) + plucked(rng)]
    halves = encoder.encode_batch([half for track in tracks for half in np.split(track, 2)])
    assert halves.shape == (10, 753 if encoder.pooled else 200) and halves.dtype == np.float32
    unit = halves - halves.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -1)
    assert (similarity.argmax(axis=1) == np.arange(10) ^ 1).mean() >= 0.8
