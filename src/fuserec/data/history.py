"""Histories: what each user chose, in the order in which he did."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

NOTHING = -1  # what a history is padded with on the left


@dataclass(frozen=True, eq=False)
class History:
    """What users chose, each user's oldest item first; of an item that was chosen several times, only the last one.

    starts: integers (n_users + 1,); a user's items are `items[starts[user] : starts[user + 1]]`
    items: item rows, integers (n,)
    times: unix seconds int64 (n,); empty where none are known: the order is then that of the rows
    """

    starts: NDArray[np.integer]
    items: NDArray[np.integer]
    times: NDArray[np.int64]

    @classmethod
    def of(
        cls, users: NDArray[np.int64], items: NDArray[np.int64], times: NDArray[np.int64] | None, n_users: int
    ) -> "History":
        """Interactions as parallel arrays (n,) → histories, by time, and by the order of the rows where times tie."""
        n, timed = len(users), times is not None and len(times) > 0
        known = times if times is not None and timed else np.zeros(n, np.int64)
        # Without times one sort of integers, user above and row below, takes half as long as a stable one of users.
        order = np.lexsort((known, users)) if timed else np.sort(users * n + np.arange(n)) % max(1, n)
        pairs = users * (int(items.max(initial=0)) + 1) + items
        ascending = np.sort(pairs)
        if (ascending[1:] == ascending[:-1]).any():  # to look whether takes half as long as to find which
            _, last = np.unique(pairs[order[::-1]], return_index=True)
            kept = np.zeros(n, bool)
            kept[n - 1 - last] = True
            order = order[kept]
        starts = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(users[order], minlength=n_users), out=starts[1:])
        return cls(starts, items[order], known[order] if timed else np.zeros(0, np.int64))

    @property
    def users(self) -> NDArray[np.int64]:
        """The user's row of each item, int64 (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def of_user(self, row: int) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
        """A user's row → item rows and times, the oldest first."""
        here = slice(self.starts[row], self.starts[row + 1])
        return self.items[here], self.times[here]

    def followed_by(
        self, users: NDArray[np.int64], items: NDArray[np.int64], times: NDArray[np.int64] | None, n_users: int
    ) -> "History":
        """The same with what happened after it; without times, it happened at the last time that is known."""
        if not len(self.times):
            told = None
        else:
            new = np.full(len(users), self.times.max()) if times is None else times
            told = np.concatenate([self.times, new])
        both = np.concatenate([self.users, users]), np.concatenate([self.items, items]).astype(np.int64)
        return History.of(*both, told, n_users)

    def seen(self, n_items: int) -> csr_matrix:
        """Who chose what: float32 CSR (n_users, n_items) of ones."""
        seen = csr_matrix(
            (np.ones(len(self.items), np.float32), self.items.copy(), self.starts),
            shape=(len(self.starts) - 1, n_items),
        )
        seen.sort_indices()
        return seen

    def windows(
        self, users: NDArray[np.int64], ends: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """User rows (b,), and how many of their items are past (b,) → the last `length` of those, padded on the left.

        Item rows int64 (b, length), `NOTHING` where the history is shorter, and the times of those, 0 where unknown.
        """
        first = self.starts[users][:, None]
        places = first + ends[:, None] - length + np.arange(length)  # (b, length)
        real = places >= first
        items = np.full(places.shape, NOTHING, np.int64)
        items[real] = self.items[places[real]]
        times = np.zeros(places.shape, np.int64)
        if len(self.times):
            times[real] = self.times[places[real]]
        return items, times
