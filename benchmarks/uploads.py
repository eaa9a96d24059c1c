"""Damaged pictures, sounds and videos sent to a server: no 5xx, no crash, no growth of memory.

python benchmarks/uploads.py [N] [SEED]     10,000 uploads, two thirds to /v1/search, one third to /v1/items
"""

import asyncio
import io
import random
import sys
import tempfile
import time
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
    """Bytes → the same, cut, or with some bytes changed, left out or repeated, most often near the head."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        place = int(len(made) * rng.random() ** 3)
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


async def send(served, files, n, rng):
    statuses, slowest = Counter(), 0.0
    columns = {"image": "photo", "audio": "jingle"}
    numbers = iter(range(n))

    async def connection():
        nonlocal slowest
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for number in numbers:
            modality = rng.choice(list(files))
            filename, data = rng.choice(files[modality])
            data, started = mutated(data, rng), time.perf_counter()
            if modality in columns and number % 2:
                body = form({}, columns[modality], filename, data)
                path = f"/v1/items/damaged-{number % 50}"
                status, told = await send_form(reader, writer, "PUT", path, served.key, body)
            else:
                body = form({}, modality, filename, data)
                status, told = await send_form(reader, writer, "POST", "/v1/search", served.key, body)
            slowest = max(slowest, time.perf_counter() - started)
            statuses[status] += 1
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
            for _ in range(5):  # the first warms decoders up
                statuses, slowest = asyncio.run(send(served, files, n // 5, rng))
                told = ", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items()))
                print(f"{n // 5:,} uploads: {told}; slowest {slowest:.2f} s; {served.mebibytes():.0f} MiB", flush=True)
            assert served.process.poll() is None
        finally:
            served.stop()


if __name__ == "__main__":
    main()
