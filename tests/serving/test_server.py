"""A real server in a child process, from the command line: keys, events, shutdown, kill -9, reload."""

import gc
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref

import pytest
from tests.planted import checkerboard

from fuserec.serving.stores.store import open_store


def command(*arguments):
    return [sys.executable, "-m", "fuserec", *map(str, arguments)]


def run(*arguments, **environment):
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """`fuserec serve` in a child process that ends with the test."""

    def __init__(self, model, log, *options):
        self.url, self.log = f"http://127.0.0.1:{free_port()}", log
        with log.open("w") as file:
            arguments = command("serve", model, "--port", self.url.rpartition(":")[2], *options)
            self.process = subprocess.Popen(arguments, stdout=file, stderr=subprocess.STDOUT)
        for _ in range(600):
            try:
                assert self.ask("/readyz")["status"] == "ready"
                return
            except OSError:
                assert self.process.poll() is None, log.read_text()
                time.sleep(0.1)
        raise AssertionError(log.read_text())

    def ask(self, path, body=None, key="", method=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        return self.process.wait(60)


@pytest.fixture
def model(tmp_path):
    from fuserec import fuse, make, save_model

    save_model(make("recommender", "ContentWalk").fit(fuse(checkerboard())), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def start(tmp_path):
    started = []

    def made(*arguments):
        started.append(Server(arguments[0], tmp_path / f"log-{len(started)}", *arguments[1:]))
        return started[-1]

    yield made
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def write_until_gone(server, key, acknowledged):
    """Send events one after another, and note those that were answered, until the server does not answer."""
    number = 0
    while True:
        event = {"event_id": f"{threading.get_ident()}-{number}", "user_id": f"u{number % 7}", "item_id": "i4"}
        try:
            server.ask("/v1/interactions", event, key)
        except (OSError, urllib.error.URLError, ValueError):
            return
        acknowledged.append(event["event_id"])
        number += 1


def test_python_looks_for_garbage_among_new_objects_only(monkeypatch):
    from fuserec.serving.http.server import serve

    class Node:
        pass

    old, before, served = [Node()], gc.get_threshold(), []

    def answer(*_, **__):
        new = [Node()]
        new[0].itself = new[0]  # a circle, which nothing but the search for garbage frees
        gone = weakref.ref(new.pop())
        looked_at = {id(one) for one in gc.get_objects()}
        gc.collect()
        served.append((id(old[0]) in looked_at, gone() is None, gc.get_threshold()[2]))

    monkeypatch.setattr("uvicorn.run", answer)
    handlers = {name: logging.getLogger(name).handlers for name in ("fuserec", "uvicorn")}
    try:
        serve(None, "127.0.0.1", 0)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        for name, kept in handlers.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = kept, True
    assert served == [(False, True, 100)]


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_no_acknowledged_event_is_lost_when_the_server_ends(model, start, ended_by):
    code, secret, err = run("keys", "add", model, "--scope", "write")
    assert code == 0 and re.fullmatch(r"fuserec_[0-9a-f]{12}_[\w-]{43}\n", secret), err
    server = start(model, "--rate", "100000/second")
    acknowledged = []
    writers = [threading.Thread(target=write_until_gone, args=(server, secret.strip(), acknowledged)) for _ in range(4)]
    for writer in writers:
        writer.start()
    while len(acknowledged) < 40:
        assert server.process.poll() is None
        time.sleep(0.01)
    server.stop(ended_by)
    for writer in writers:
        writer.join(60)
    store = open_store(f"sqlite:///{model.parent}/model-service/store.sqlite")
    kept = {event.event_id for event in store.events()}
    store.close()
    assert set(acknowledged) <= kept and len(kept) <= len(acknowledged) + 4
    assert secret.strip() not in server.log.read_text() and '"status": 200' in server.log.read_text()


def test_a_new_model_is_swapped_in_while_requests_go_on_and_keys_are_revoked(model, start):
    from fuserec import make, save_model

    _, secret, _ = run("keys", "add", model, "--note", "test")
    secret = secret.strip()
    code, out, err = run("serve", model, "--port", "1", "--rate", "often")
    assert code == 2 and "expected COUNT/second" in err
    server = start(model)
    assert server.ask("/v1/model")["name"] == "ContentWalk"
    failed, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                assert len(server.ask("/v1/users/u2/recommendations")["items"]) == 10
            except Exception as error:
                failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    save_model(make("recommender", "EASE").fit(checkerboard()), model)
    code, out, err = run("reload", server.url, "--json", FUSEREC_KEY=secret)
    assert code == 0 and json.loads(out)["name"] == "EASE", err
    (model / "arrays.safetensors").write_bytes(b"broken")
    code, out, err = run("reload", server.url, FUSEREC_KEY=secret)
    assert code == 1 and "409" in err and "changed since" in err
    assert server.ask("/v1/model")["name"] == "EASE"
    stop.set()
    reader.join()
    assert not failed
    assert "FUSEREC_KEY is not set" in run("reload", server.url, FUSEREC_KEY="")[2]
    told = json.loads(run("keys", "list", model, "--json")[1])["keys"]
    assert [(key["scopes"], key["note"]) for key in told] == [(["read", "write"], "test")]
    assert run("keys", "revoke", model, told[0]["key_id"])[0] == 0
    time.sleep(5.1)
    code, _, err = run("reload", server.url, FUSEREC_KEY=secret)
    assert code == 1 and "401" in err


@pytest.mark.parametrize("words", ["serve", "reload", "keys", "keys add", "keys list", "keys revoke"])
def test_every_command_has_help_with_an_example(words):
    from typer.testing import CliRunner

    from fuserec.cli import entry

    told = CliRunner().invoke(entry.app, [*words.split(), "--help"])
    assert told.exit_code == 0 and f"fuserec {words}" in told.output.partition("Example:")[2]
