"""Reads, events, new items, removals and reloads at once: no error, no growth, every acknowledged event there.

python benchmarks/mixed_load.py [SECONDS] [kill]     180 s; with `kill`, kill -9 in the middle and a new start
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter

from served import Served
from serving import ask

from fuserec.serving.stores.store import open_store

CONNECTIONS = 16


class Load:
    """What was asked, what failed, and what was acknowledged."""

    def __init__(self, served, seconds):
        self.served, self.end = served, time.perf_counter() + seconds
        self.asked, self.failed, self.events, self.items = Counter(), [], [], []
        self.down, self.numbers = False, iter(range(10**9))

    def next_request(self):
        draw, number, key = random.random(), next(self.numbers), self.served.key
        user = f"user-{random.randrange(400)}"
        if draw < 0.7:
            return "read", ("GET", f"/v1/users/{user}/recommendations?k={random.choice((5, 10))}")
        if draw < 0.92:
            event = {"event_id": f"e-{number}", "user_id": user, "item_id": f"item-{random.randrange(300)}"}
            return "event", ("POST", "/v1/interactions", event, key)
        if draw < 0.97:
            return "search", ("POST", "/v1/search", {"text": "silver lantern", "k": 5})
        if draw < 0.985:
            body = {"item_id": f"new-{number}", "columns": {"title": f"A silver lantern {number}"}}
            return "item", ("POST", "/v1/items", body, key)
        if draw < 0.999 and self.items:
            item = self.items.pop(random.randrange(len(self.items)))
            return "removal", ("DELETE", f"/v1/items/{item}", None, key)
        return "reload", ("POST", "/v1/model/reload", None, key)

    async def connection(self):
        reader = writer = None
        while time.perf_counter() < self.end:
            kind, request = self.next_request()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
                status, told = await answered(reader, writer, request)
            except (OSError, IndexError, asyncio.IncompleteReadError):
                if not self.down:
                    self.failed.append((kind, "no answer"))
                reader = writer = None
                await asyncio.sleep(0.1)
                continue
            self.asked[kind] += 1
            if status >= 400:
                self.failed.append((kind, status, told[:200]))
            elif kind == "event":
                self.events.append(request[2]["event_id"])
            elif kind == "item":
                self.items.append(request[2]["item_id"])
        if writer:
            writer.close()

    async def killer(self, after):
        await asyncio.sleep(after)
        self.down = True
        self.served.process.kill()
        self.served.process.wait()
        await asyncio.to_thread(self.served.start)
        await asyncio.sleep(1.0)
        self.down = False

    async def watch(self, every):
        while time.perf_counter() < self.end:
            await asyncio.sleep(every)
            if self.served.process.poll() is None:
                print(f"{sum(self.asked.values()):,} requests; {self.served.mebibytes():.0f} MiB", flush=True)


async def answered(reader, writer, request):
    if request[0] != "DELETE":
        return await ask(reader, writer, *request)
    writer.write(f"DELETE {request[1]} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {request[3]}\r\n\r\n".encode())
    status, length = int((await reader.readline()).split()[1]), 0
    while (line := await reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, await reader.readexactly(length)


async def run(load, seconds, kill):
    jobs = [load.connection() for _ in range(CONNECTIONS)] + [load.watch(seconds / 6)]
    await asyncio.gather(*jobs, *([load.killer(seconds / 2)] if kill else []))


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0
    kill = "kill" in sys.argv
    random.seed(0)
    with tempfile.TemporaryDirectory() as place:
        served = Served(place)
        served.start()
        load = Load(served, seconds)
        try:
            asyncio.run(run(load, seconds, kill))
        finally:
            served.stop()
        store = open_store(served.store)
        kept = {event.event_id for event in store.events()}
        store.close()
        print(json.dumps({"asked": load.asked, "failed": len(load.failed), "first": load.failed[:3]}, default=str))
        lost = set(load.events) - kept
        print(f"acknowledged events: {len(load.events):,}; lost: {len(lost)}")
        assert not lost and not load.failed


if __name__ == "__main__":
    main()
