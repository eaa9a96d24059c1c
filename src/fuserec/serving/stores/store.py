"""Store: the contract of everything that keeps events, items added online, and API keys."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from fuserec import registry
from fuserec.data.interactions import MILLISECONDS
from fuserec.errors import DataError, OptionError, did_you_mean

DISLIKED = frozenset({"dislike", "hide"})  # kinds of events that speak against an item
UNDO = "undo"  # the kind of an event that takes back the one before it, of the same user and item


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a user did with an item, once; an event with the same id is the same event.

    time: unix seconds UTC
    kind: `view`, `like`, `purchase`, ... as the owner calls it; those of `DISLIKED` speak against the item, and
        `UNDO` takes back the event before
    value: a rating or a duration, on the owner's scale
    """

    event_id: str
    user_id: str
    item_id: str
    time: int
    kind: str = ""
    value: float | None = None

    def __post_init__(self) -> None:
        for name in ("event_id", "user_id", "item_id"):
            if not getattr(self, name):
                raise DataError(f"event {self.event_id!r}: {name} is empty; expected an id")
        if not 0 <= self.time < MILLISECONDS:
            raise DataError(f"event {self.event_id!r}: time is {self.time}; expected unix seconds (divide by 1000?)")
        if self.value is not None and not isfinite(self.value):
            raise DataError(f"event {self.event_id!r}: value is {self.value}; expected a finite number")


def standing(events: Iterable[Event]) -> dict[str, Event]:
    """Events of one user, the oldest first → item id → the last event with it that was not taken back."""
    stacks: dict[str, list[Event]] = {}
    for event in events:
        if event.kind != UNDO:
            stacks.setdefault(event.item_id, []).append(event)
        elif stacks.get(event.item_id):
            stacks[event.item_id].pop()
    return {item: stack[-1] for item, stack in stacks.items() if stack}


@dataclass(frozen=True, kw_only=True)
class StoredItem:
    """An item that was added online, or one of any origin that was removed.

    columns: column → text, or the path of its media file inside the media folder
    vectors: name → the numbers that the owner gave
    added: unix seconds UTC
    """

    item_id: str
    columns: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    removed: bool = False
    added: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key as it is kept: never the secret, only its SHA-256 as hexadecimal digits.

    scopes: of `read` and `write`
    created: unix seconds UTC
    """

    key_id: str
    sha256: str
    scopes: frozenset[str]
    note: str = ""
    created: int = 0


class Store(ABC):
    """Keeps what a running service must not lose. What a method has returned from is committed.

    Methods are called from several threads at once. A store that cannot be reached, or is damaged, raises
    `StoreError`.
    """

    kind: str

    @abstractmethod
    def __init__(self, address: str) -> None:
        """An address → the store, made where it is not there."""

    @abstractmethod
    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Commit events, all or none → for each, whether it is new; one whose id is known changes nothing."""

    @abstractmethod
    def history(self, user_id: str) -> list[Event]:
        """User id → the events of that user, the oldest first, then as they came."""

    def cached(self, user_id: str, name: str) -> tuple[str | None, int]:
        """User id and name → what `cache` keeps, or None; and how many events the user has.

        Most stores have no cache.
        """
        return None, 0

    def cache(self, user_id: str, name: str, told: str, n_events: int) -> None:  # noqa: B027, nothing to do
        """Keep a user's list for a while, until an event of that user comes; not if more than `n_events` are there now.

        n_events: as `cached` said before the history was read, so that no list is kept that misses an event
        """

    @abstractmethod
    def events(self) -> Iterator[Event]:
        """Every event, as they came."""

    @abstractmethod
    def put_item(self, item: StoredItem) -> None:
        """Keep an item, in place of one with the same id."""

    @abstractmethod
    def items(self) -> list[StoredItem]:
        """Every item kept, removed ones included, as they were added, then by id."""

    @abstractmethod
    def put_key(self, key: Key) -> None:
        """Keep a key, in place of one with the same id."""

    @abstractmethod
    def key(self, key_id: str) -> Key | None:
        """Key id → the key, or None."""

    @abstractmethod
    def keys(self) -> list[Key]:
        """Every key, by when it was made, then by id."""

    @abstractmethod
    def remove_key(self, key_id: str) -> bool:
        """Forget a key → whether there was one."""

    @abstractmethod
    def ping(self) -> None:
        """Raise `StoreError` where the store does not answer."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""


def open_store(address: str) -> Store:
    """`sqlite:///shop.sqlite`, `redis://localhost:6379/0` or `mongodb://localhost:27017/shop` → that store."""
    scheme, found, _ = address.partition("://")
    known = registry.components("store")
    if not found or scheme not in known:
        raise OptionError(
            f"store {without_password(address)!r}: expected sqlite:///FILE, redis://HOST:PORT/NUMBER or "
            f"mongodb://HOST:PORT/DATABASE{did_you_mean(scheme, known)}"
        )
    store: Store = registry.load("store", scheme)(address)
    return store


def without_password(address: str) -> str:
    """A store's address as it may be shown and logged."""
    scheme, found, rest = address.partition("://")
    secret, at, place = rest.rpartition("@")
    return f"{scheme}://{secret.partition(':')[0]}:***@{place}" if at and scheme != "sqlite" else address
