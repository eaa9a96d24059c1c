"""schemathesis against a server of a toy shop, first with reading open to all, then with a key for it.

python -m venv /tmp/st && /tmp/st/bin/pip install schemathesis==4.32.5
python benchmarks/schema.py /tmp/st/bin/st
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from served import Served

HERE = Path(__file__).parent
failed = 0
for options in ([], ["--read-keys"]):
    with tempfile.TemporaryDirectory() as place:
        served = Served(place)
        served.start(*options)
        address = f"http://127.0.0.1:{served.port}/openapi.json"
        asked = ["--seed", "1", "-n", "25", "--exclude-path", "/v1/model/reload", "--continue-on-failure"]
        command = [
            sys.argv[1],
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "--no-color",
            "run",
            address,
            *asked,
            *sys.argv[2:],
        ]
        try:
            told = {"FUSEREC_KEY": served.key, "SCHEMA_HOOKS": str(HERE / "schema_hooks.py")}
            failed += subprocess.run(command, cwd=place, env=os.environ | told).returncode
        finally:
            served.stop()
sys.exit(bool(failed))
