"""A measurement in a process of its own, so that its memory is its own and its end does not end the benchmark."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def measured(script, *arguments, python=sys.executable, gigabytes=None):
    """A script and its arguments → what it printed as JSON in the last line, or {"failed": why}.

    gigabytes: of address space that it may take; more is a MemoryError there, and not the machine's end
    """

    def limit():
        if gigabytes:
            size = int(gigabytes * 2**30)
            resource.setrlimit(resource.RLIMIT_AS, (size, size))

    command = [python, str(script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=limit)  # its errors are shown
    if done.returncode:
        return {"failed": f"status {done.returncode}; see its errors"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak_mb():
    """The largest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts what the parent had, too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6


def cpu_seconds():
    """Processor time of this process and its threads so far, seconds: on a shared machine the steadier clock."""
    return time.process_time()
