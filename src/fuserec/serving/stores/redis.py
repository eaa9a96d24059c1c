"""The store in Redis: one stream of events, a list a user, hashes of items and keys; and lists that expire."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

from fuserec.errors import DataError, MissingExtraError, StoreError
from fuserec.serving.stores.records import event_of, item_dict, item_of, key_dict, key_of
from fuserec.serving.stores.store import Event, Key, Store, StoredItem, without_password

log = logging.getLogger("fuserec.serving")
PAGE = 1_000  # events read at a time
LISTS, SECONDS = 16, 3600  # recommended lists of a user that are cached, and for how long after the last one came
# KEYS: known ids, stream. ARGV: for each event its id, its user's history and lists, its JSON. A script is atomic.
ADD = """
local new = {}
for place = 1, #ARGV, 4 do
    local added = redis.call('SADD', KEYS[1], ARGV[place])
    if added == 1 then
        redis.call('XADD', KEYS[2], '*', 'event', ARGV[place + 3])
        redis.call('RPUSH', ARGV[place + 1], ARGV[place + 3])
        redis.call('DEL', ARGV[place + 2])
    end
    new[#new + 1] = added
end
return new
"""
# KEYS: a user's history and lists. ARGV: events that the list was made from, its name, its JSON, LISTS, SECONDS.
CACHE = """
if redis.call('LLEN', KEYS[1]) == tonumber(ARGV[1]) then
    if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then redis.call('DEL', KEYS[2]) end
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
end
"""


def connected(address: str) -> tuple[Any, Callable[[], AbstractContextManager[None]]]:
    """`redis://localhost:6379/0` → a client, and a context in which its errors are told in the user's words."""
    try:
        import redis
    except ImportError:
        raise MissingExtraError("redis is not installed; pip install 'fuserec[redis]'") from None
    told = without_password(address)

    @contextmanager
    def errors() -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StoreError(f"store {told}: {error}") from error
        except UnicodeEncodeError as error:
            raise DataError(f"a text that is not valid Unicode cannot be stored ({error.reason})") from error

    try:
        return redis.Redis.from_url(address, decode_responses=True, socket_timeout=30), errors
    except ValueError as error:
        raise StoreError(f"store {told}: {error}") from None


class RedisStore(Store):
    """Redis 6 or newer, which has to write to disk itself: `appendonly yes`, and `appendfsync always` to lose nothing.

    fuserec:events          stream, field `event`: JSON
    fuserec:event-ids       set of event ids
    fuserec:history:USER    list of the user's events as JSON
    fuserec:lists:USER      hash, name → recommended list as JSON: a cache, the only key that expires
    fuserec:items           hash, item id → JSON
    fuserec:keys            hash, key id → JSON
    """

    kind = "redis"

    def __init__(self, address: str) -> None:
        """`redis://localhost:6379/0` → the store."""
        self._redis, self._errors = connected(address)
        with self._errors():
            self._add, self._cache = map(self._redis.register_script, (ADD, CACHE))
            self.ping()
            if self._redis.info("persistence").get("aof_enabled") == 0:
                told = without_password(address)
                log.warning("store %s keeps events in memory only; start redis-server with --appendonly yes", told)

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Commit events in one script → for each, whether it is new."""
        told = [(e.event_id, *_of_user(e.user_id), json.dumps(asdict(e))) for e in events]
        with self._errors():
            new = self._add(["fuserec:event-ids", "fuserec:events"], [part for parts in told for part in parts])
        return [bool(added) for added in new]

    def history(self, user_id: str) -> list[Event]:
        """User id → the events of that user, the oldest first."""
        with self._errors():
            found = self._redis.lrange(_of_user(user_id)[0], 0, -1)
        return sorted((event_of(json.loads(event)) for event in found), key=lambda event: event.time)

    def cached(self, user_id: str, name: str) -> tuple[str | None, int]:
        """User id and name → the list, which an event would have removed, and how many events there are."""
        history, lists = _of_user(user_id)
        with self._errors(), self._redis.pipeline() as asked:
            found, n_events = asked.hget(lists, name).llen(history).execute()
        return found, n_events

    def cache(self, user_id: str, name: str, told: str, n_events: int) -> None:
        """Keep a list for `SECONDS`, at most `LISTS` a user; one that misses an event is not kept."""
        with self._errors():
            self._cache(_of_user(user_id), [n_events, name, told, LISTS, SECONDS])

    def events(self) -> Iterator[Event]:
        """Every event, as they came, read page by page."""
        last = "-"
        while True:
            with self._errors():
                page = self._redis.xrange("fuserec:events", last, "+", count=PAGE)
            yield from (event_of(json.loads(fields["event"])) for _, fields in page)
            if len(page) < PAGE:
                return
            last = f"({page[-1][0]}"

    def put_item(self, item: StoredItem) -> None:
        """Keep an item."""
        self._put("fuserec:items", item.item_id, item_dict(item))

    def items(self) -> list[StoredItem]:
        """Every item kept, as they were added."""
        return sorted(map(item_of, self._all("fuserec:items")), key=lambda item: (item.added, item.item_id))

    def put_key(self, key: Key) -> None:
        """Keep a key."""
        self._put("fuserec:keys", key.key_id, key_dict(key))

    def key(self, key_id: str) -> Key | None:
        """Key id → the key, or None."""
        with self._errors():
            found = self._redis.hget("fuserec:keys", key_id)
        return key_of(json.loads(found)) if found else None

    def keys(self) -> list[Key]:
        """Every key, by when it was made."""
        return sorted(map(key_of, self._all("fuserec:keys")), key=lambda key: (key.created, key.key_id))

    def remove_key(self, key_id: str) -> bool:
        """Forget a key → whether there was one."""
        with self._errors():
            return bool(self._redis.hdel("fuserec:keys", key_id))

    def _put(self, name: str, field: str, told: dict[str, Any]) -> None:
        with self._errors():
            self._redis.hset(name, field, json.dumps(told))

    def _all(self, name: str) -> list[Any]:
        with self._errors():
            return [json.loads(told) for told in self._redis.hvals(name)]

    def ping(self) -> None:
        """Raise `StoreError` where the server does not answer."""
        with self._errors():
            self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _of_user(user_id: str) -> tuple[str, str]:
    """User id → the keys of the history and of the cached lists."""
    return f"fuserec:history:{user_id}", f"fuserec:lists:{user_id}"
