"""How many recommendations a second one server process answers, how long the slowest take, and a new item's way in.

    python benchmarks/serving.py [N_ITEMS] [SECONDS] [CONNECTIONS] [--model NAME]

A ContentWalk of synthetic items (see new_item.py) is served on loopback in a child process; an asyncio client in this
one asks, one request after another on each connection, for a random user of 500 (kept: lists are made once and then
kept), for a user nobody has asked for (made: each list is computed), and with one event in twenty requests (mixed). The
client takes a part of the same cores. On a machine that others load too, only the server's CPU time tells something.

--model: another model; of BPR, SoftmaxFactors and LightGCN the factors are not learned but planted (planted_factors.py:
as many users as items, dim 128), and it is told how many of the 20 best are in the lists that are served.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from new_item import fitted, shop, take
from planted_factors import MODELS, planted, recall

from fuserec.artifact import save_model
from fuserec.serving.keys import add_key
from fuserec.serving.stores.store import open_store

WARM_SECONDS = 1.0


async def ask(reader, writer, method, path, body=None, key=""):
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
    status = int((await reader.readline()).split()[1])
    length = 0
    while (line := await reader.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, await reader.readexactly(length)


async def load(port, seconds, connections, next_request):
    """Ask for `seconds` → seconds of each request after a warm-up, sorted; number of all; how many failed."""
    times, n_asked, failed = [], 0, 0
    begin = time.perf_counter()

    async def connection():
        nonlocal n_asked, failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < begin + WARM_SECONDS + seconds:
            status, _ = await ask(reader, writer, *next_request())
            n_asked, failed = n_asked + 1, failed + (status != 200)
            if started > begin + WARM_SECONDS:
                times.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return np.sort(times), n_asked, failed


async def new_items(port, key, titles, vectors):
    """Add items → seconds from sending each to the answer, and to the end of a request that recommends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    added, shown = [], []
    for place, title in enumerate(titles):
        started = time.perf_counter()
        body = {"item_id": f"new-{place}", "columns": {"title": title}, "vectors": vectors}
        status, answer = await ask(reader, writer, "POST", "/v1/items", body, key)
        assert status == 201, answer
        added.append(time.perf_counter() - started)
        _, answer = await ask(reader, writer, "POST", "/v1/recommendations", {"items": [f"new-{place}"], "k": 1})
        assert json.loads(answer)["items"], answer
        _, answer = await ask(reader, writer, "GET", f"/v1/items/new-{place}/similar?k=1")
        neighbour = json.loads(answer)["items"][0]["item_id"]
        _, answer = await ask(reader, writer, "POST", "/v1/recommendations", {"items": [neighbour], "k": 1000})
        assert f"new-{place}" in [item["item_id"] for item in json.loads(answer)["items"]]
        shown.append(time.perf_counter() - started)
    writer.close()
    return np.median(added), np.median(shown)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n_items", nargs="?", type=int, default=10_000)
    parser.add_argument("seconds", nargs="?", type=float, default=10.0)
    parser.add_argument("connections", nargs="?", type=int, default=16)
    parser.add_argument("--model", default="ContentWalk")
    parser.add_argument("--artifact", type=Path, help="of planted factors: kept there, and used again")
    given = parser.parse_args()
    n_items, seconds, connections = given.n_items, given.seconds, given.connections
    random.seed(0)
    with tempfile.TemporaryDirectory() as place, socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        model, store, everything = given.artifact or Path(place) / "model", f"sqlite:///{place}/store.sqlite", None
        if given.model in MODELS:
            plant(given.model, n_items, model)
        else:
            everything = shop(n_items)
            save_model(fitted(given.model, take(everything, np.arange(n_items - 1))), model)
        opened = open_store(store)
        key, _ = add_key(opened, ["read", "write"])
        opened.close()
        arguments = ["serve", str(model), "--store", store, "--port", str(port), "--rate", "1000000/second"]
        started = time.perf_counter()
        with (Path(place) / "log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "fuserec", *arguments, "--heavy-rate", "1000000/second"], stderr=log
            )
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert server.poll() is None, (Path(place) / "log").read_text()
                time.sleep(0.05)
            print(f"{n_items:,} items, {connections} connections, {seconds:g} s each; load {os.getloadavg()[0]:.1f}")
            print(f"cold start: {time.perf_counter() - started:.1f} s")
            print(f"the server's memory: {memory(server.pid)}")
            measure(server.pid, port, seconds, connections, key, n_items)
            once(port)
            if everything:
                add_items(server.pid, port, key, everything, n_items)
            print(f"the server's memory: {memory(server.pid)}")
        finally:
            server.terminate()
            server.wait(60)


def plant(name, n_items, folder):
    """Save a model of planted factors there, where none is, and tell how many of the best items its servers find."""
    if (folder / "manifest.json").exists():
        return
    model = planted(name, n_items, n_items)
    users = np.random.default_rng(1).permutation(n_items)[:200]
    print(f"{name}: recall@20 of lists made by cells, against all products, 200 users: {recall(model, users):.3f}")
    save_model(model, folder)


def memory(pid):
    """A process → the largest memory so far and that of now; of this, what is not files that are mapped."""
    told = Path(f"/proc/{pid}/status").read_text()
    peak, now, own = (int(told.partition(f"{name}:")[2].split()[0]) / 1024 for name in ("VmHWM", "VmRSS", "RssAnon"))
    return f"largest {peak:,.0f} MiB, now {now:,.0f} MiB, of it {own:,.0f} MiB its own"


def cpu_seconds(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(pid, port, seconds, connections, key, n_items):
    count = iter(range(10**9))

    def kept():
        return "GET", f"/v1/users/{random.randrange(500)}/recommendations"

    def made():
        return "GET", f"/v1/users/{2_000 + next(count) % 18_000}/recommendations?k=20"

    def mixed():
        if random.random() > 0.05:
            return kept()
        event = {"user_id": str(random.randrange(500)), "item_id": str(random.randrange(n_items - 1))}
        return "POST", "/v1/interactions", event, key

    async def warm():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for user in range(500):
            await ask(reader, writer, "GET", f"/v1/users/{user}/recommendations")
        writer.close()

    asyncio.run(warm())
    columns = ["requests", "a second", "p50, ms", "p99, ms", "server's CPU, ms a request", "client's", "failed"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name, next_request in (("kept", kept), ("made", made), ("mixed", mixed)):
        before, own = cpu_seconds(pid), time.process_time()
        times, n_asked, failed = asyncio.run(load(port, seconds, connections, next_request))
        own = 1e3 * (time.process_time() - own) / n_asked
        p50, p99 = 1e3 * np.quantile(times, [0.5, 0.99])
        cpu = 1e3 * (cpu_seconds(pid) - before) / n_asked
        rate = f"{len(times) / seconds:,.0f}"
        print(f"| {name} | {rate} | {p50:.1f} | {p99:.1f} | {cpu:.2f} | {own:.2f} | {failed} |", flush=True)


def once(port):
    """Ask for what is not asked for often, twice each, and tell the seconds."""
    asked = {
        "home page": "/home.json",
        "a user's page": "/users.json/7",
        "similar items": "/v1/items/7/similar",
        "a list with reasons": "/v1/users/11/recommendations?explain=true",
        "a diverse list": "/v1/users/11/recommendations?diversity=.3",
    }

    async def times(path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            status, _ = await ask(reader, writer, "GET", path)
            seconds.append(f"{time.perf_counter() - started:.2f}")
        writer.close()
        return " and ".join(seconds) + " s" + ("" if status == 200 else f" (status {status})")

    for name, path in asked.items():
        print(f"{name}: {asyncio.run(times(path))}", flush=True)


def add_items(pid, port, key, everything, n_items):
    before = cpu_seconds(pid)
    titles = [f"{everything.catalog.title(n_items - 1)} {place}" for place in range(5)]
    vectors = {name: everything.embeddings[name].vectors[-1].tolist() for name in ("photo", "sound")}
    added, shown = asyncio.run(new_items(port, key, titles, vectors))
    print(f"POST /v1/items: {added:.2f} s; until it was recommended to a session: {shown:.2f} s (medians of 5)")
    print(f"the server's CPU for an item and three lists: {(cpu_seconds(pid) - before) / len(titles):.2f} s")


if __name__ == "__main__":
    main()
