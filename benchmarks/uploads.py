"""Damaged pictures, sounds and videos, bombs, and files of another kind, sent to a server: no 5xx, no crash, no growth.

python benchmarks/uploads.py [N] [SEED]     10,000 uploads, two thirds to /v1/search, one third to /v1/items/{id}
"""

import asyncio
import gzip
import io
import json
import random
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter

import av
import numpy as np
import soundfile
from PIL import Image
from served import Served


def whole_files(shop):
    """Modality → files that can be decoded: name and bytes."""
    photo = shop.catalog.path("photo", 3).read_bytes()
    jingle = shop.catalog.path("jingle", 3).read_bytes()
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    files = {"image": [("a.png", photo)], "audio": [("a.wav", jingle)], "video": []}
    for form in ("jpeg", "webp", "gif"):
        picture.save(made := io.BytesIO(), form)
        files["image"].append((f"a.{form}", made.getvalue()))
    samples, rate = soundfile.read(io.BytesIO(jingle))
    for form in ("mp3", "flac", "ogg"):
        soundfile.write(made := io.BytesIO(), samples, rate, format=form)
        files["audio"].append((f"a.{form}", made.getvalue()))
    for form, codec in (("mp4", "mpeg4"), ("webm", "libvpx")):
        made = io.BytesIO()
        with av.open(made, "w", format=form) as container:
            stream = container.add_stream(codec, rate=10, width=64, height=64, pix_fmt="yuv420p")
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.asarray(picture.resize((64, 64))), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        files["video"].append((f"a.{form}", made.getvalue()))
    return files


def mutated(data, rng):
    """Bytes → the same, cut, or with some bytes changed, left out or repeated; of half of the files near the head."""
    made, near = bytearray(data), rng.choice((1, 3))
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        place = int(len(made) * rng.random() ** near)
        kind = rng.randrange(5)
        if kind == 0:
            del made[place:]
        elif kind == 1:
            del made[place : place + rng.randrange(1, 64)]
        elif kind == 2:
            made[place:place] = made[place : place + rng.randrange(1, 64)]
        elif kind == 3 and len(made) > place:
            made[place] ^= 1 << rng.randrange(8)
        else:
            made[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", rng.randbytes(4)))
    return bytes(made)


def bombs():
    """Modality → small files that claim to be, or become, much more than they are, and files of something else."""

    def png(width, height, lines):  # `lines` of the height are there
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        rows = zlib.compress(bytes((width * 3 + 1) * lines), 9)
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    frames = [Image.new("P", (2000, 2000), n) for n in range(60)]
    frames[0].save(gif := io.BytesIO(), "gif", save_all=True, append_images=frames[1:])
    soundfile.write(flac := io.BytesIO(), np.zeros(8000 * 3600), 8000, format="flac")  # an hour of silence
    header = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as container:  # an hour between two frames
        stream = container.add_stream("mpeg4", rate=1, width=64, height=64, pix_fmt="yuv420p")
        for number in (0, 3600):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    others = [
        b"",
        b"\0",
        b"%PDF-1.7\n" + b"x" * 500,
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        gzip.compress(bytes(10_000_000)),
    ]
    return {
        "image": [("a.png", png(50_000, 50_000, 1)), ("a.png", png(5_000, 4_900, 4_900)), ("a.gif", gif.getvalue())]
        + [("a.png", other) for other in others],
        "audio": [("a.wav", header + b"data\xff\xff\xff\xff" + bytes(2000)), ("a.flac", flac.getvalue())]
        + [("a.wav", other) for other in others],
        "video": [("a.mp4", made.getvalue())] + [("a.mp4", other) for other in others],
    }


def damaged(modality, files, rng):
    """A modality, and whole files of all → name and bytes: a mutated file, one of another kind, or a bomb."""
    draw = rng.random()
    if draw < 0.9:
        filename, data = rng.choice(files[modality])
        return filename, mutated(data, rng)
    if draw < 0.95:  # a file that could be decoded, as something else
        filename, _ = rng.choice(files[modality])
        return filename, rng.choice(files[rng.choice([name for name in files if name != modality])])[1]
    return rng.choice(BOMBS[modality])


def form(fields, name, filename, data):
    parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode()
    return b"".join((*parts, head, data, b"\r\n--x--\r\n"))


async def send_form(reader, writer, method, path, key, body):
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n"
    )
    writer.write(head.encode() + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + body)
    status, length = int((await reader.readline()).split()[1]), 0
    while (line := await reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, await reader.readexactly(length)


BOMBS = bombs()


async def send(served, files, n, rng):
    statuses, slowest = Counter(), 0.0
    columns = {"image": "photo", "audio": "jingle"}
    numbers = iter(range(n))

    async def connection():
        nonlocal slowest
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for number in numbers:
            modality = rng.choice(list(files))
            filename, data = damaged(modality, files, rng)
            started = time.perf_counter()
            if modality in columns and number % 2:
                body = form({}, columns[modality], filename, data)
                path = f"/v1/items/damaged-{number % 50}"
                status, told = await send_form(reader, writer, "PUT", path, served.key, body)
            else:
                body = form({}, modality, filename, data)
                status, told = await send_form(reader, writer, "POST", "/v1/search", served.key, body)
            slowest = max(slowest, time.perf_counter() - started)
            statuses[f"{status} {json.loads(told)['type'].rpartition(':')[2]}" if status >= 400 else str(status)] += 1
            assert status < 500, (number, filename, told)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(4)))
    return statuses, slowest


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        served = Served(place)
        served.start()
        try:
            files = whole_files(served.shop)
            total, start = Counter(), time.perf_counter()
            print(f"before: {served.mebibytes():.0f} MiB", flush=True)
            for _ in range(10):
                statuses, slowest = asyncio.run(send(served, files, n // 10, rng))
                total += statuses
                told = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
                print(f"{n // 10:,} uploads: {told}; slowest {slowest:.2f} s; {served.mebibytes():.0f} MiB", flush=True)
            assert served.process.poll() is None
            print(f"in all, {time.perf_counter() - start:.0f} s: {dict(sorted(total.items()))}")
        finally:
            served.stop()


if __name__ == "__main__":
    main()
