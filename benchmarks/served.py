"""A server of a small toy shop in a child process, for what the other scripts here send to it."""

import socket
import subprocess
import sys
import time
from pathlib import Path

from fuserec import align, encode, fuse, make, save_model, toy_shop
from fuserec.encoders.audio import MFCC
from fuserec.encoders.image import ColorTexture
from fuserec.encoders.text import TfidfText
from fuserec.serving.keys import add_key
from fuserec.serving.stores.store import open_store


class Served:
    """`fuserec serve` of a ContentWalk of 300 items; start, kill and start again."""

    def __init__(self, place):
        self.place, self.store = Path(place), f"sqlite:///{place}/store.sqlite"
        self.shop = toy_shop(300, 200, seed=0, folder=self.place / "toyshop")
        encoders = {"title": TfidfText(dim=32), "photo": ColorTexture(), "jingle": MFCC()}
        save_model(make("recommender", "ContentWalk").fit(fuse(align(encode(self.shop, encoders)))), self.model)
        opened = open_store(self.store)
        self.key, _ = add_key(opened, ["read", "write"])
        opened.close()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]

    @property
    def model(self):
        return self.place / "model"

    def start(self, *more):
        loose = ["--rate", "1000000/second", "--heavy-rate", "1000000/second"]
        arguments = ["serve", str(self.model), "--store", self.store, "--port", str(self.port), *loose, *more]
        with (self.place / "log").open("a") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "fuserec", *arguments], stderr=log)
        while True:
            with socket.socket() as tried:
                if not tried.connect_ex(("127.0.0.1", self.port)):
                    return
            assert self.process.poll() is None, (self.place / "log").read_text()[-2000:]
            time.sleep(0.05)

    def mebibytes(self):
        """What the server holds in memory now."""
        return int(Path(f"/proc/{self.process.pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
