"""What a cache of lists costs and saves: milliseconds of a list, made, and found in Redis after a restart.

    python benchmarks/cached_lists.py [N_ITEMS]

A ContentWalk of synthetic items (see new_item.py), and a redis-server that writes each change to the disk before it
answers. Median of 300 users; CPU is that of this process.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from new_item import fitted, shop

from fuserec.artifact import save_model
from fuserec.serving.media import MediaFolder
from fuserec.serving.service import Service
from fuserec.serving.stores.store import Event, open_store

USERS = [str(user) for user in range(300)]


def measured(name, work):
    """Do the work for each user → its results; prints the median of the milliseconds, and the mean of those of CPU."""
    results, walls, cpu = [], [], time.process_time()
    for user in USERS:
        started = time.perf_counter()
        results.append(work(user))
        walls.append(time.perf_counter() - started)
    cpu = (time.process_time() - cpu) / len(USERS)
    print(f"| {name} | {1e3 * np.median(walls):.2f} | {1e3 * cpu:.2f} |", flush=True)
    return results


def main():
    n_items = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as place, socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        save_model(fitted("ContentWalk", shop(n_items)), Path(place) / "model")
        options = ["--port", str(port), "--dir", place, "--appendonly", "yes", "--appendfsync", "always"]
        server = subprocess.Popen([shutil.which("redis-server"), *options], stdout=subprocess.DEVNULL)
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        try:
            compare(Path(place), f"redis://127.0.0.1:{port}/0")
        finally:
            server.terminate()
            server.wait(30)


def compare(place, address):
    def service():
        return Service(place / "model", open_store(address), MediaFolder(place / "media"))

    first, again = service(), service()
    events = [Event(event_id=user, user_id=user, item_id="7", time=1_700_000_000) for user in USERS]
    first.store.add_events(events)
    print("| | ms, median | CPU, ms |\n|---|---|---|")
    listed = measured("a plain list, made", lambda user: first.recommend(user, 20))
    told = [answer.json.decode() for answer in listed]
    measured("its events, read", first.store.history)
    measured("looked for in the cache, not there", lambda user: first.store.cached(user, "name"))
    measured("put into the cache", lambda user: first.store.cache(user, "name", told[int(user)], 1))
    for name, asked in (("with reasons", {"explain": True}), ("with diversity .3", {"diversity": 0.3})):
        made = measured(f"a list {name}, made and cached", lambda user, asked=asked: first.recommend(user, 20, **asked))
        found = measured("the same after a restart", lambda user, asked=asked: again.recommend(user, 20, **asked))
        assert [answer.json for answer in made] == [answer.json for answer in found]


if __name__ == "__main__":
    main()
