"""The hot path: recommendations that are kept are answered before the framework looks at the request.

FastAPI takes several times as long to read a request as a kept list takes to find. The same is checked here: parameters
by the same model, key and rate by the same gate. What is not kept, or not valid, goes on to the framework.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from fuserec.serving.http.bodies import Diversity, K
from fuserec.serving.http.problems import refusal
from fuserec.serving.http.security import Gate
from fuserec.serving.service import Service

START, END = "/v1/users/", "/recommendations"
PATH = f"{START}{{user_id:path}}{END}"
ROUTE = SimpleNamespace(path=PATH)  # as the framework would set it, for the log and the metrics


class Asked(BaseModel):
    """The parameters of a request for recommendations."""

    k: K = 10
    explain: bool = False
    diversity: Diversity = None
    exclude: Annotated[list[str], Field(max_length=1000, description="item ids, one each time")] = []


class Hot:
    """ASGI middleware: answers with what `service.kept` knows, and passes everything else on."""

    def __init__(self, app: ASGIApp, service: Service, gate: Gate) -> None:
        self.app, self.service, self.gate = app, service, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the app do so."""
        body = self._kept(scope)
        if body is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = ROUTE
        try:
            await self.gate.read_kept(scope)
        except HTTPException as error:
            await refusal(error)(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _kept(self, scope: Scope) -> bytes | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path: str = scope["path"]
        if not (path.startswith(START) and path.endswith(END)):
            return None
        asked = _asked(scope["query_string"])
        if asked is None:
            return None
        user = path[len(START) : -len(END)]
        answer = self.service.kept(user, asked.k, asked.explain, asked.diversity, asked.exclude)
        return None if answer is None else answer.json


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
