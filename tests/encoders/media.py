"""Datasets and small media files for the tests of encoders."""

import wave

import av
import numpy as np
from PIL import Image

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions

TEXTS = (
    "a red summer dress with flowers",
    "blue running shoes for men",
    "夏天 红色连衣裙 新款",
    "a cat and her two kittens",
    "stock markets fell on monday after the central bank raised its interest rates once more",
    "",
)


def picture(path, seed, size=(60, 80)):
    low = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(low).resize(size).save(path)
    return path.name


def sound(path, seed, seconds=0.3, rate=16_000):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    samples = 0.4 * np.sin(2 * np.pi * rng.uniform(100, 4_000) * time) + 0.05 * rng.standard_normal(time.size)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path.name


def film(path, seed, n_frames=20, key_every=5, hz=None):
    """An MP4 whose picture changes at every key frame, with a tone of `hz`, or silent."""
    rng = np.random.default_rng(seed)
    scenes = [np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8) for _ in range(n_frames)]
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        video.codec_context.gop_size = key_every
        if hz is not None:
            audio = container.add_stream("aac", rate=16_000, layout="mono")
        for number in range(n_frames):
            frame = av.VideoFrame.from_ndarray(scenes[number // key_every], format="rgb24")
            container.mux(video.encode(frame))
        if hz is not None:
            time = np.arange(16_000 * n_frames // 10) / 16_000
            block = av.AudioFrame.from_ndarray(
                (0.4 * np.sin(2 * np.pi * hz * time)).astype(np.float32)[None], format="fltp", layout="mono"
            )
            block.sample_rate = 16_000
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=16_000, frame_size=audio.frame_size)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path.name


def dataset(values, modality, root=None, warm=None):
    """One column named like its modality; `warm` are the rows that somebody used (default: all)."""
    items = np.arange(len(values)) if warm is None else np.array(warm)
    catalog = Catalog(
        Ids(f"i{row}" for row in range(len(values))), {modality: Column(modality, modality, tuple(values))}, root
    )
    return Dataset("test", catalog, Ids(["u"], "user"), Interactions(np.zeros(len(items), np.int64), items))


def columns(folder, modality):
    """Five values of a modality, two of them equal in content, and one missing."""
    if modality == "text":
        return dataset([*TEXTS, TEXTS[0], None], "text")
    make, end = {"image": (picture, "png"), "audio": (sound, "wav"), "video": (film, "mp4")}[modality]
    names = [make(folder / f"{seed}.{end}", seed) for seed in range(4)]
    (folder / f"copy.{end}").write_bytes((folder / names[0]).read_bytes())
    return dataset([*names, f"copy.{end}", None], modality, folder)
