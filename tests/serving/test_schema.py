"""The OpenAPI document against a real server, by schemathesis: no 5xx, no answer that is not documented."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuserec.serving.keys import add_key
from fuserec.serving.stores.store import open_store

# Its program, not its plugin of pytest, which is switched off in pyproject.toml.
ST = shutil.which("st", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
SHARED = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not ST, reason="needs pip install schemathesis==4.32.5")


@pytest.mark.parametrize("options", [[], ["--read-keys"]], ids=["reading open", "reading with keys"])
def test_the_server_does_what_its_document_says(shop_model, tmp_path, options):
    store = f"sqlite:///{tmp_path}/store.sqlite"
    opened = open_store(store)
    key, _ = add_key(opened, ["read", "write"])
    opened.close()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    loose = ["--rate", "1000000/second", "--heavy-rate", "1000000/second", "--media", str(tmp_path / "media")]
    serve = [sys.executable, "-m", "fuserec", "serve", str(shop_model), "--store", store, "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*serve, *loose, *options], stderr=log)
    try:
        for _ in range(600):
            with socket.socket() as tried:
                if not tried.connect_ex(("127.0.0.1", port)):
                    break
            assert server.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        done = subprocess.run(
            [ST, "--config-file", SHARED / "schemathesis.toml", "--no-color", "run"]
            + [f"http://127.0.0.1:{port}/openapi.json", "--exclude-path", "/v1/model/reload"]
            + ["--seed", "3", "-n", "3", "--phases", "examples,coverage,fuzzing", "--continue-on-failure"],
            cwd=tmp_path,
            env=os.environ | {"FUSEREC_KEY": key, "SCHEMA_HOOKS": str(SHARED / "schema_hooks.py")},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
        assert '"status": 5' not in (tmp_path / "log").read_text()
    finally:
        server.terminate()
        server.wait(60)
