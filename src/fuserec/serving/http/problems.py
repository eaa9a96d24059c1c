"""Errors → `application/problem+json` (RFC 9457), with a type that stays the same."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from fuserec.errors import (
    ArtifactError,
    ConflictError,
    DataError,
    FuserecError,
    MediaError,
    MissingExtraError,
    OptionError,
    StoreError,
    TooLargeError,
    UnknownIdError,
)

# The first that fits counts.
PROBLEMS: tuple[tuple[type[FuserecError], int, str, str], ...] = (
    (UnknownIdError, 404, "unknown-id", "There is no such user, item or key"),
    (ConflictError, 409, "conflict", "The item cannot be added or changed"),
    (ArtifactError, 409, "model", "The model cannot be loaded; the one before goes on"),
    (MediaError, 422, "media", "The file cannot be used"),
    (DataError, 422, "data", "The data cannot be used"),
    (OptionError, 422, "option", "The model or its options do not allow that"),
    (TooLargeError, 422, "too-large", "That would take too much memory"),
    (StoreError, 503, "store", "The store does not answer"),
    (MissingExtraError, 501, "missing-extra", "A package is not installed"),
)
TITLES = {
    400: "The request cannot be read",
    401: "An API key is needed",
    403: "The API key does not allow that",
    404: "There is nothing here",
    405: "This method is not for this address",
    408: "The request did not come in time",
    413: "The request is too large",
    415: "The body is of a type that is not understood",
    429: "Too many requests",
    503: "Not ready",
}


def problem(
    status: int, kind: str, detail: str, *, title: str = "", headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Status, type and sentence → the response."""
    body = {"type": f"urn:fuserec:{kind}", "title": title or TITLES.get(status, "Error"), "status": status}
    return JSONResponse(
        {**body, "detail": detail, **more}, status, headers=headers, media_type="application/problem+json"
    )


def refusal(error: HTTPException) -> JSONResponse:
    """A request that is refused, and why → the response."""
    kind = {401: "key", 403: "key", 413: "too-large", 429: "rate"}.get(error.status_code, "request")
    return problem(error.status_code, kind, str(error.detail), headers=dict(error.headers or {}))


def failure(error: FuserecError) -> JSONResponse:
    """What could not be done, and why → the response."""
    for kind, status, name, title in PROBLEMS:
        if isinstance(error, kind):
            return problem(status, name, str(error), title=title)
    return problem(500, "internal", str(error), title="The server failed")


def add_handlers(app: FastAPI, more: Sequence[BaseRoute] = ()) -> None:
    """Make every error of an app a problem. more: routes of routers that it includes."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FuserecError)
        return failure(error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        faults = error.errors() if isinstance(error, RequestValidationError) else []
        told = [{"field": ".".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in faults[:20]]
        detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in told)
        return problem(422, "request", detail, title="The request is not as documented", errors=told)

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:  # the framework tells only of the first route of an address
            path = getattr(request.scope.get("route"), "path", None)
            same = [route for route in (*app.routes, *more) if getattr(route, "path", "") == path]
            allowed = {method for route in same for method in getattr(route, "methods", None) or ()}
            error.headers = {"Allow": ", ".join(sorted(allowed))} if allowed else error.headers
        return refusal(error)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        told = request.scope.get("request_id", "")
        return problem(500, "internal", f"see the server's log for request {told}", title="The server failed")

    app.add_exception_handler(FuserecError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, failed)
