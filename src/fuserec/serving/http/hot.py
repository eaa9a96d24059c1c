"""The hot path: recommendations that are kept, or quickly made, are answered before the framework looks at the request.

FastAPI takes several times as long to read a request as a kept list takes to find. The same is checked here: parameters
by the same model, key and rate by the same gate. What takes longer, or is not valid, goes on to the framework.
"""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from fuserec.errors import FuserecError
from fuserec.recommenders.cells import LEAST_ITEMS
from fuserec.serving.http.bodies import MOST_ID, Diversity, K
from fuserec.serving.http.problems import failure, refusal
from fuserec.serving.http.security import Gate
from fuserec.serving.service import Service

THREADS = 2  # where there are cells: they are searched without the lock of Python
TOGETHER = 0.002  # seconds; lists made within are handed over together: to hand over one may take as long as to make it
START, END = "/v1/users/", "/recommendations"
PATH = f"{START}{{user_id:path}}{END}"
ROUTE = SimpleNamespace(path=PATH)  # as the framework would set it, for the log and the metrics


class Asked(BaseModel):
    """The parameters of a request for recommendations."""

    k: K = 10
    explain: bool = False
    diversity: Diversity = None
    exclude: Annotated[list[str], Field(max_length=1000, description="item ids, one each time")] = []


@dataclass(eq=False)
class Wanted:
    """A list that somebody waits for; body: the answer, or error: why there is none, once it was made."""

    user: str
    asked: Asked
    body: bytes = b""
    error: Exception | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def make(self, service: Service) -> None:
        """Let the service make it."""
        asked = self.asked
        try:
            self.body = service.recommend(
                self.user, asked.k, explain=asked.explain, diversity=asked.diversity, exclude=asked.exclude
            ).json
        except Exception as error:  # for whoever waits for this one, not for the others
            self.error = error


class Hot:
    """ASGI middleware: answers with what `service.kept` knows or is quick to make, and passes everything else on."""

    def __init__(self, app: ASGIApp, service: Service, gate: Gate) -> None:
        self.app, self.service, self.gate = app, service, gate
        self._waiting: deque[Wanted] = deque()
        self._pool, self._working = ThreadPoolExecutor(THREADS, "lists"), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the app do so."""
        wanted = self._wanted(scope)
        if wanted is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = ROUTE
        try:
            await self.gate.read_kept(scope)
            body = wanted.body or await self._made(wanted)
        except HTTPException as error:
            await refusal(error)(scope, receive, send)
            return
        except FuserecError as error:
            await failure(error)(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _wanted(self, scope: Scope) -> Wanted | None:
        """What a request asks for, with the answer where it is kept; None for what the framework has to answer."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path: str = scope["path"]
        if not (path.startswith(START) and path.endswith(END)):
            return None
        asked = _asked(scope["query_string"])
        user = path[len(START) : -len(END)]
        if asked is None or not 0 < len(user) <= MOST_ID:
            return None
        answer = self.service.kept(user, asked.k, asked.explain, asked.diversity, asked.exclude)
        if answer is None and not self.service.is_quick(asked.explain, asked.diversity):
            return None
        return Wanted(user, asked, answer.json if answer else b"")

    async def _made(self, wanted: Wanted) -> bytes:
        """The answer, made in a thread, first come, first served."""
        self._waiting.append(wanted)
        self._go_on()
        await wanted.done.wait()
        if wanted.error:
            raise wanted.error
        return wanted.body

    def _go_on(self) -> None:
        """Let threads make what waits, as many as may work at the same time."""
        most = THREADS if self.service.loaded.model.catalog_.n_items > LEAST_ITEMS else 1
        for _ in range(min(most - self._working, len(self._waiting))):
            self._working += 1
            asyncio.get_running_loop().run_in_executor(self._pool, self._make).add_done_callback(self._hand_over)

    def _make(self) -> list[Wanted]:
        """Make lists that wait, for a little while → those."""
        made, end = [], time.perf_counter() + TOGETHER
        while self._waiting and time.perf_counter() < end:
            try:
                one = self._waiting.popleft()
            except IndexError:  # the other thread took the last
                break
            one.make(self.service)
            made.append(one)
        return made

    def _hand_over(self, made: asyncio.Future[list[Wanted]]) -> None:
        self._working -= 1
        self._go_on()
        for one in made.result():
            one.done.set()


@lru_cache(1000)
def _asked(query: bytes) -> Asked | None:
    """A query string → the parameters, or None where they are not valid: then the framework says what is wrong."""
    if len(query) > 1000:  # not worth a place
        return None
    given = QueryParams(query)
    told = dict(given) | ({"exclude": given.getlist("exclude")} if "exclude" in given else {})
    try:
        return Asked.model_validate(told)
    except ValidationError:
        return None
