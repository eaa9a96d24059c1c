"""Signing in, where reading needs a key: a form → the key in a cookie that no script and no other site can use."""

from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from fuserec.serving.http.security import COOKIE, Gate

MOST_BYTES = 4_000  # of a field of the form


def add_signing(router: APIRouter, gate: Gate, shown: Callable[..., Response]) -> None:
    """Add `/sign-in` and `/sign-out` to the routes of pages."""

    @router.get("/sign-in")
    async def form(request: Request, next: str = "/") -> Response:
        if not gate.rules.read_keys:
            return RedirectResponse("/", 303)
        return shown(request, "sign-in", {"next": inside(next), "status": 200})

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=2, max_part_size=MOST_BYTES) as fields:
            place, secret = inside(str(fields.get("next", "/"))), str(fields.get("key", "")).strip()
        try:
            check_own(request)
            await gate.sign_in(request, secret)
        except HTTPException as error:
            data = {"next": place, "status": error.status_code}
            return shown(request, "sign-in", data, status=error.status_code)
        response = RedirectResponse(place, 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, secret, httponly=True, samesite="strict", secure=secure)  # until the browser ends
        return response

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        check_own(request)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response


def check_own(request: Request) -> None:
    """Raise 403 where another site's page sent the form, so that nobody is signed in or out without knowing.

    Browsers tell by `Sec-Fetch-Site` (over TLS and on this machine) or `Origin`; a client that tells neither is none.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = site == "same-origin" if site else origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not own:
        raise HTTPException(403, "the form was sent by a page of another site")


def inside(place: str) -> str:
    """Where to go on → the same, if it is an address of this server, else its first page."""
    plain = place.startswith("/") and not place.startswith("//") and "\\" not in place and place.isprintable()
    return place if plain else "/"
