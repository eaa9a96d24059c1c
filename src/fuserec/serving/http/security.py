"""Who may ask, and how often."""

import time
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from fuserec.errors import OptionError
from fuserec.serving.keys import checked_key
from fuserec.serving.stores.store import Key, Store

BELIEVED = 5.0  # seconds for which a key that was checked is not looked up again
MOST_BELIEVED = 10_000
COOKIE = "fuserec_key"  # of somebody who has signed in; it opens pages, and nothing is ever written with it
bearer = HTTPBearer(auto_error=False, description="An API key: fuserec keys add --scope write")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """read_keys: whether reading needs a key too. rate, heavy_rate: `"1000/second"`, of all requests of a key (or of an
    address without one), and of those that decode media or change items; also of wrong keys from an address.
    """

    read_keys: bool = False
    rate: str = "1000/second"
    heavy_rate: str = "20/second"


class Gate:
    """Lets a request in, or raises 401, 403 or 429."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self.store, self.rules = store, rules
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        try:
            heavy = parse(rules.heavy_rate)
            self._rates = {"all": parse(rules.rate), "heavy": heavy, "guesses": heavy}
        except ValueError as error:
            raise OptionError(f"rate: {error}; expected COUNT/second, COUNT/minute or COUNT/hour") from None
        self._believed: dict[str, tuple[float, Key | None]] = {}

    async def read_kept(self, scope: Scope) -> None:
        """As `read`, for what is answered before the framework."""
        given = Headers(scope=scope).get("authorization")
        scheme, secret = get_authorization_scheme_param(given)
        bearer = scheme.lower() == "bearer" and secret
        await self._check(scope, secret if bearer else None, "read", needed=self.rules.read_keys)

    async def read(self, request: Request, given: Bearer) -> None:
        """Reading needs a key where the rules say so."""
        await self._check(request.scope, given.credentials if given else None, "read", needed=self.rules.read_keys)

    async def search(self, request: Request, given: Bearer) -> None:
        """Reading that may decode media."""
        await self._check(
            request.scope, given.credentials if given else None, "read", needed=self.rules.read_keys, heavy=True
        )

    async def page(self, request: Request, given: Bearer) -> None:
        """Reading a page, its twin or its files: the key may come from the cookie, too."""
        await self._page(request, given, heavy=False)

    async def page_search(self, request: Request, given: Bearer) -> None:
        """The same for a search, which may decode media."""
        await self._page(request, given, heavy=True)

    async def _page(self, request: Request, given: Bearer, *, heavy: bool) -> None:
        secret = given.credentials if given else self.cookie(request)
        try:
            await self._check(request.scope, secret, "read", needed=self.rules.read_keys, heavy=heavy)
        except HTTPException as error:
            if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):  # a person, not a script
                path = request.scope["raw_path"].partition(b"?")[0].decode("latin-1")  # ids may hold slashes
                here = path + (f"?{request.url.query}" if request.url.query else "")
                raise HTTPException(
                    303, "sign in first", {"Location": f"/sign-in?next={quote(here, safe='')}"}
                ) from None
            raise

    def cookie(self, request: Request) -> str | None:
        """The key of somebody who has signed in, where reading needs one."""
        return request.cookies.get(COOKIE) if self.rules.read_keys else None

    async def sign_in(self, request: Request, secret: str) -> None:
        """Whether a key opens pages; who guesses is slowed down as one who uploads."""
        await self._check(request.scope, secret, "read", heavy=True)

    async def write(self, request: Request, given: Bearer) -> None:
        """Writing always needs a key."""
        await self._check(request.scope, given.credentials if given else None, "write")

    async def change(self, request: Request, given: Bearer) -> None:
        """Writing that may decode media or load a model."""
        await self._check(request.scope, given.credentials if given else None, "write", heavy=True)

    async def _check(
        self,
        asked: Scope,
        secret: str | None,
        scope: str,
        *,
        needed: bool = True,
        heavy: bool = False,
    ) -> None:
        client = (asked.get("client") or ("",))[0]
        key = await self._key(secret, client) if secret else None
        self._limit(key.key_id if key else client, "heavy" if heavy else "all")
        if secret and not key or needed and not key:
            told = "the API key is not known" if secret else "send an API key: Authorization: Bearer fuserec_..."
            raise HTTPException(401, told, {"WWW-Authenticate": "Bearer"})
        if key:
            asked["key_id"] = key.key_id
            if scope not in key.scopes:
                raise HTTPException(403, f"the key {key.key_id} has no scope {scope!r}")

    async def _key(self, secret: str, client: str) -> Key | None:
        now = time.monotonic()
        checked, key = self._believed.get(secret, (-BELIEVED, None))
        if now - checked >= BELIEVED:
            self._limit(client, "guesses", hit=False)  # before the store is asked: it has other things to do
            key = await run_in_threadpool(checked_key, self.store, secret)
            if len(self._believed) >= MOST_BELIEVED:
                self._believed.clear()
            if key:  # a wrong one is checked again each time: it must not fill the memory
                self._believed[secret] = now, key
            else:
                self._believed.pop(secret, None)
                self._limit(client, "guesses")
        return key

    def _limit(self, who: str, what: str, *, hit: bool = True) -> None:
        """Raise 429 where somebody has done something too often; with `hit` he has done it now."""
        rate = self._rates[what]
        if not (self._limiter.hit if hit else self._limiter.test)(rate, what, who):
            reset = self._limiter.get_window_stats(rate, what, who).reset_time
            wait = max(1, round(reset - time.time()))
            raise HTTPException(429, f"more than {rate}", {"Retry-After": str(wait)})
