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

HOOKS = Path(__file__).with_name("schema_hooks.py")
# 422 is also what a valid request is answered that this model cannot serve; `schema_hooks` looks at which it is.
CONFIG = f"""
hooks = "{HOOKS}"
headers = {{ Authorization = "Bearer ${{FUSEREC_KEY}}" }}
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 404, 409, 422, 429]
"""
failed = 0
for options in ([], ["--read-keys"]):
    with tempfile.TemporaryDirectory() as place:
        served = Served(place)
        served.start(*options)
        config = Path(place) / "schemathesis.toml"
        config.write_text(CONFIG)
        address = f"http://127.0.0.1:{served.port}/openapi.json"
        asked = ["--seed", "1", "-n", "25", "--exclude-path", "/v1/model/reload", "--continue-on-failure"]
        command = [sys.argv[1], "--config-file", str(config), "--no-color", "run", address, *asked, *sys.argv[2:]]
        try:
            failed += subprocess.run(command, cwd=place, env=os.environ | {"FUSEREC_KEY": served.key}).returncode
        finally:
            served.stop()
sys.exit(bool(failed))
