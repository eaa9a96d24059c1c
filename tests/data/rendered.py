"""Small media files for the tests of `fuserec.data.media`."""

import struct
import wave
import zlib

import av
import numpy as np

from fuserec.data.media import Limits

LIMITS = Limits(seconds=60.0, pixels=10_000_000)
RATE = 16_000


def tone(seconds=0.5, hz=440.0, rate=RATE):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path, samples, rate=RATE, width=2):
    """samples: float (n,) or (n, channels) in [-1, 1]."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype("<i4")
    data = whole.reshape(-1, 1).view("u1")[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def write_av(path, codec=None, samples=None, frames=None, rate=RATE):
    with av.open(str(path), "w") as container:
        streams = []
        if frames is not None:
            video = container.add_stream("mpeg4", rate=10)
            video.height, video.width, video.pix_fmt = *frames.shape[1:3], "yuv420p"
            streams.append(video)
        if samples is not None:
            audio = container.add_stream(codec or "aac", rate=rate, layout="mono")
            streams.append(audio)
        for frame in frames if frames is not None else ():
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if samples is not None:
            sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            sound.sample_rate = rate
            resampler = av.AudioResampler(
                format=audio.format, layout="mono", rate=rate, frame_size=audio.frame_size or 0
            )
            for block in [*resampler.resample(sound), *resampler.resample(None)]:
                container.mux(audio.encode(block))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def clip(n_frames=10):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (n_frames, 64, 64, 3), dtype=np.uint8)


def noise(height=40, width=30):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bomb(path, side=30_000):
    """A sound PNG of side x side black pixels, in about 100 KB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    squeeze = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path
