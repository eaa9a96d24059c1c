"""API keys: made once, shown once, kept as a hash, checked in constant time."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable

from fuserec.errors import OptionError, UnknownIdError
from fuserec.serving.stores.store import Key, Store

SCOPES = frozenset({"read", "write"})
PREFIX = "fuserec"  # so that scanners of leaked secrets can know one


def add_key(store: Store, scopes: Iterable[str], note: str = "") -> tuple[str, Key]:
    """Scopes of `read` and `write` → the secret, which is not kept and cannot be shown again, and the key as kept.

    A secret has 256 random bits, so that a plain SHA-256 of it cannot be searched through, unlike one of a password.
    """
    asked = frozenset(scopes)
    if not asked or not asked <= SCOPES:
        raise OptionError(f"scopes {', '.join(sorted(asked)) or 'none'}: expected read, write, or both")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = Key(key_id=key_id, sha256=_sha256(secret), scopes=asked, note=note, created=int(time.time()))
    store.put_key(key)
    return f"{PREFIX}_{key_id}_{secret}", key


def revoke_key(store: Store, key_id: str) -> None:
    """Forget a key; raises `UnknownIdError` for one that is not there."""
    if not store.remove_key(key_id):
        raise UnknownIdError(f"no key {key_id!r}; see: fuserec keys list")


def checked_key(store: Store, secret: str) -> Key | None:
    """What a client sent → the key that it is, or None."""
    prefix, _, rest = secret.partition("_")
    key_id, _, own = rest.partition("_")
    key = store.key(key_id) if prefix == PREFIX and key_id.isascii() and own else None
    return key if key and hmac.compare_digest(key.sha256, _sha256(own)) else None


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
