"""Where and how is computed: how many threads, a device that is there, a seed that stays local."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from fuserec.errors import OptionError


def n_threads() -> int:
    """How many blocks of users are ranked at the same time: `OMP_NUM_THREADS` where it is set, else all cores."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) else os.cpu_count() or 1


def check_device(device: str) -> None:
    """A device such as `cpu`, `cuda` or `cuda:1` → nothing; raises `OptionError` where torch cannot use it here."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        first_line = str(error).partition("\n")[0]
        raise OptionError(f"device = {device!r} cannot be used here ({first_line}); use 'cpu'") from error


class _OneThread:
    """As a context: torch computes with one thread, in this thread.

    Batches already run in parallel, and two OpenMP threads on a busy core are many times slower than one.
    The setting belongs to the calling thread, but torch also gives it to threads that start later; so the value
    from before the first of the overlapping uses is what every leaving thread sets back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = Lock(), 0, 1

    def __enter__(self) -> None:
        import torch

        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
            self._inside += 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        import torch

        with self._lock:
            self._inside -= 1
            torch.set_num_threads(self._before)


one_thread = _OneThread()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """As a context: torch's random numbers follow from `seed`; the state outside is left as it was."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
