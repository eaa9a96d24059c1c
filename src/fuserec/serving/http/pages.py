"""The pages over HTTP: addresses → views → templates. Nothing is decided here."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, unquote

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from fuserec import __version__
from fuserec.errors import FuserecError
from fuserec.intervals import SURE
from fuserec.serving.http.files import add_files, static_addresses
from fuserec.serving.http.problems import PROBLEMS
from fuserec.serving.http.requests import MOST_BYTES, checked_id
from fuserec.serving.http.security import Gate
from fuserec.serving.http.signing import add_signing
from fuserec.serving.media import uploaded
from fuserec.serving.site.views import Site
from fuserec.serving.site.words import LANGUAGES, NAMES, preferred, words_of

T = TypeVar("T")
POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
WORKERS = 2  # threads of pages, so that they never take those of recommendations
COLORS = 6  # of columns, in the style sheet; the first is of the community
WORDS_OF = {language: words_of(language) for language in LANGUAGES}
K = Annotated[int, Query(ge=1, le=100)]
Diversity = Annotated[float, Query(ge=0.0, lt=1.0)]
Text = Annotated[str, Query(max_length=10_000)]
View = Callable[..., dict[str, Any]]


def pages(site: Site, gate: Gate) -> APIRouter:
    """What pages show, and who may ask → their routes, each with a twin in JSON, and those of their files."""
    router = APIRouter(include_in_schema=False)
    service, environment = site.service, _environment()
    limiter, patient = CapacityLimiter(WORKERS), CapacityLimiter(WORKERS)
    reading, searching = [Depends(gate.page)], [Depends(gate.page_search)]

    async def work(done: Callable[..., T], *arguments: Any) -> T:
        return await to_thread.run_sync(partial(done, *arguments), limiter=limiter)

    def shown(request: Request, name: str, data: dict[str, Any], twin: str = "", status: int = 200) -> Response:
        columns, signed_in = [*service.loaded.model.catalog_.columns], bool(gate.cookie(request))
        return _rendered(environment, request, name, data, columns, twin, status, signed_in)

    async def page(request: Request, name: str, twin: str, view: View, *arguments: Any) -> Response:
        status = 200
        try:
            data = await work(view, *arguments)
        except FuserecError as error:
            name, twin, data = "error", "", {"detail": str(error)}
            status = next((status for kind, status, _, _ in PROBLEMS if isinstance(error, kind)), 500)
        return shown(request, name, data, twin, status)

    async def twin(view: View, *arguments: Any) -> Response:
        # Twins wait for what is still being made: in other threads than those of pages.
        return JSONResponse(await to_thread.run_sync(partial(view, *arguments), limiter=patient))

    def add_plain(name: str, address: str, twin_address: str, view: View, shown: View) -> None:
        async def html(request: Request) -> Response:
            return await page(request, name, twin_address, shown)

        async def json() -> Response:
            return await twin(view)

        router.add_api_route(address, html, dependencies=reading)
        router.add_api_route(twin_address, json, dependencies=reading)

    add_plain("home", "/", "/home.json", site.home, site.home)
    add_plain("map", "/map", "/map.json", site.map, site.map_frame)  # the script asks for the twin
    add_plain("report", "/report", "/report.json", site.report, site.report)
    add_plain("add", "/add", "/add.json", site.form, site.form)

    @router.get("/items/{item_id:path}", dependencies=reading)
    async def item(request: Request, item_id: str) -> Response:
        return await page(
            request, "item", f"/items.json/{quote(item_id, safe='')}", partial(site.item, wait=False), item_id
        )

    @router.get("/items.json/{item_id:path}", dependencies=reading)
    async def item_json(item_id: str) -> Response:
        return await twin(site.item, item_id)

    @router.get("/users", dependencies=reading)
    async def find_user(id: str) -> Response:
        return RedirectResponse(f"/users/{quote(checked_id(id.strip()), safe='')}", 303)

    @router.get("/users/{user_id:path}", dependencies=reading)
    async def user(request: Request, user_id: str, diversity: Diversity = 0.0) -> Response:
        there = f"/users.json/{quote(user_id, safe='')}?diversity={diversity:g}"
        return await page(request, "user", there, partial(site.user, wait=False), checked_id(user_id), 12, diversity)

    @router.get("/users.json/{user_id:path}", dependencies=reading)
    async def user_json(user_id: str, k: K = 12, diversity: Diversity = 0.0) -> Response:
        return await twin(site.user, checked_id(user_id), k, diversity)

    @router.get("/search", dependencies=searching)
    async def search(request: Request, text: Text = "", by: str = "") -> Response:
        there = f"/search.json?text={quote(text)}" + (f"&by={quote(by)}" if by else "")
        return await page(request, "search", there, site.search, {"text": text} if text.strip() else {}, 24, by or None)

    @router.get("/search.json", dependencies=searching)
    async def search_json(text: Text = "", by: str = "", k: K = 24) -> Response:
        return await twin(site.search, {"text": text} if text.strip() else {}, k, by or None)

    @router.post("/search", dependencies=searching)
    async def search_file(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=4, max_part_size=MOST_BYTES) as form:
            asked = partial(_searched, site, dict(form))
            return await page(request, "search", "", asked)

    @router.post("/search.json", dependencies=searching)
    async def search_file_json(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=4, max_part_size=MOST_BYTES) as form:
            return await twin(partial(_searched, site, dict(form)))

    add_files(router, service, reading, work)
    add_signing(router, gate, shown)
    return router


def _searched(site: Site, form: dict[str, Any]) -> dict[str, Any]:
    """The fields `text`, `by` and `file` of a form → what was found; the file's content type tells its modality."""
    text, by, file = str(form.get("text") or ""), str(form.get("by") or "") or None, form.get("file")
    with ExitStack() as stack:
        query: dict[str, str | Path] = {"text": text} if text.strip() else {}
        if isinstance(file, UploadFile) and file.filename:
            modality = (file.content_type or "").partition("/")[0]
            if modality not in ("image", "audio", "video"):
                raise HTTPException(415, f"a file of type {file.content_type!r}: expected image/, audio/ or video/")
            limits = site.service.media.limits
            query[modality] = stack.enter_context(uploaded(file.file, file.filename, modality, limits))
        return site.search(query, 24, by)


def _language(request: Request) -> str:
    """What was chosen, else what the browser prefers."""
    for asked in (request.query_params.get("lang"), request.cookies.get("lang")):
        if asked in LANGUAGES:
            return asked
    return preferred(request.headers.get("accept-language", ""))


def _rendered(
    environment: Environment,
    request: Request,
    name: str,
    data: dict[str, Any],
    columns: list[str],
    twin: str,
    status: int,
    signed_in: bool,
) -> Response:
    language = _language(request)
    words = WORDS_OF[language]
    series = {"community": "c0"} | {column: f"c{1 + place % COLORS}" for place, column in enumerate(columns)}
    body = environment.get_template(f"{name}.html").render(
        page=name,
        data=data,
        t=words,
        language=language,
        languages=NAMES,
        script_words={key: text for key, text in words.items() if key.startswith("js.")},
        switch=lambda other: f"{quote(request.url.path)}?{request.url.include_query_params(lang=other).query}",
        twin=twin,
        signed_in=signed_in,
        colors=lambda reason: series.get(reason, "other"),
    )
    headers = {"content-security-policy": POLICY, "vary": "Accept-Language, Cookie", "content-language": language}
    headers["referrer-policy"] = "same-origin"  # without a referrer, browsers do not tell the origin of a form either
    response = HTMLResponse(body, status, headers)
    if request.query_params.get("lang") in LANGUAGES:  # how somebody likes to read
        response.set_cookie("lang", language, max_age=31_536_000, httponly=True, samesite="strict")
    return response


def _environment() -> Environment:
    loader = PackageLoader("fuserec.serving.site", "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    addresses = static_addresses()
    made.globals |= {
        "static": addresses.__getitem__,
        "version": __version__,
        "sure": SURE,
        "number": lambda n: f"{n:,}",
        "percent": lambda share: f"{100 * share:.0f}\N{NO-BREAK SPACE}%",
    }
    made.filters |= {
        "quoted": lambda text: quote(text, safe=""),
        "unquoted": unquote,
        "iso": lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat(),
        "day": lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d"),
    }
    return made
