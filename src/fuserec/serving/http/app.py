"""The HTTP application: addresses → the service. Nothing is decided here."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Body, Depends, FastAPI, Path, Query, Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Discriminator, Tag
from starlette.routing import Match
from starlette.types import Scope

from fuserec import __version__
from fuserec.data.recommendations import Recommendations
from fuserec.errors import OptionError
from fuserec.serving.http import bodies, document, hot
from fuserec.serving.http.pages import pages
from fuserec.serving.http.problems import add_handlers
from fuserec.serving.http.requests import item_of, search_of
from fuserec.serving.http.security import Gate, Rules
from fuserec.serving.http.traffic import Metrics, Traffic
from fuserec.serving.media import uploaded
from fuserec.serving.service import Service
from fuserec.serving.site.views import Site
from fuserec.serving.stores.store import Event

T = TypeVar("T")
WORKERS = 4  # threads that score, encode and commit; more would wait for the same cores
PROBLEM = {"model": bodies.Problem, "content": {"application/problem+json": {}}, "description": "A problem (RFC 9457)"}
EITHER = Annotated[
    Annotated[bodies.EventBody, Tag("one")] | Annotated[bodies.EventsBody, Tag("many")],
    Discriminator(lambda body: "many" if isinstance(body, dict) and "events" in body else "one"),
]
ONE = {"event_id": "e-1", "user_id": "user-7", "item_id": "item-3", "kind": "like"}
EVENTS = Body(
    openapi_examples={
        "one": {"summary": "one event", "value": ONE},
        "many": {"summary": "several, all or none", "value": {"events": [ONE, {**ONE, "event_id": "e-2"}]}},
    }
)
K = Annotated[int, Query(ge=1, le=1000, description="how many items")]
UserId = Annotated[bodies.Id, Path(description="any user id; nobody is unknown", examples=["user-7"])]
ItemId = Annotated[str, Path(description="an item id", examples=["item-7"])]
NewId = Annotated[bodies.Id, Path(description="the id of an added or new item", examples=["kite-9"])]
ITEM, SIMILAR = "/v1/items/{item_id:path}", "/similar"


class ItemRoute(APIRoute):
    """The address of an item, whose id may have slashes: the one of what is similar to an item is none of these.

    An item `x/similar` is at `x%2Fsimilar`.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route, but for addresses that are of another."""
        if scope.get("raw_path", b"").partition(b"?")[0].endswith(SIMILAR.encode()):
            return Match.NONE, {}
        return super().matches(scope)


class Documented(FastAPI):
    """An app whose document names the columns of the model that serves."""

    service: Service

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        columns = self.service.loaded.model.catalog_.columns
        return document.completed(super().openapi(), {name: column.modality for name, column in columns.items()})


def make_app(service: Service, rules: Rules | None = None) -> FastAPI:
    """A service, and rules of who may ask → the application. Its end closes the service's store."""
    gate, metrics = Gate(service.store, rules or Rules()), Metrics()
    workers, one, patient = CapacityLimiter(WORKERS), CapacityLimiter(1), CapacityLimiter(2)
    site = Site(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tell()
        site.prepare()
        yield
        site.close()
        await to_thread.run_sync(service.close)

    def tell() -> None:
        metrics.items.set(int(service.loaded.allowed.sum()))
        metrics.loaded.set(service.loaded.since)

    async def work(done: Callable[..., T], *arguments: Any, **options: Any) -> T:
        return await to_thread.run_sync(partial(done, *arguments, **options), limiter=workers)

    async def change(done: Callable[..., T], *arguments: Any, **options: Any) -> T:
        # One after another, as the service makes them: those that wait keep no thread from those who only ask.
        return await to_thread.run_sync(partial(done, *arguments, **options), limiter=one)

    async def closing(request: Request) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await request.close()  # files of a form

    app = Documented(
        title="fuserec",
        version=__version__,
        description="Recommendations, similar items and search across text, pictures, sound and video.",
        docs_url=None,  # these pages load scripts of another host
        redoc_url=None,
        lifespan=lifespan,
        responses={status: PROBLEM for status in (400, 401, 403, 404, 413, 415, 422, 429, 503)},
    )
    app.service, shown = service, pages(site, gate)
    add_handlers(app, shown.routes)
    app.add_middleware(hot.Hot, service=service, gate=gate)
    app.add_middleware(Traffic, metrics=metrics, upload_bytes=int(4e6 + 2e6 * service.media.limits.megabytes))
    reading, searching = [Depends(gate.read)], [Depends(gate.search), Depends(closing)]
    open_to_all: dict[str, Any] = {} if gate.rules.read_keys else {"security": [{}]}  # beside the one with a key
    writing, changing = [Depends(gate.write)], [Depends(gate.change), Depends(closing)]

    @app.get(hot.PATH, dependencies=reading, openapi_extra=open_to_all, response_model=bodies.RecommendedItems)
    async def recommendations(user_id: UserId, asked: Annotated[hot.Asked, Query()]) -> Response:
        """The items that a user has not seen and will like; somebody nobody knows gets what is popular."""
        options = {"explain": asked.explain, "diversity": asked.diversity, "exclude": asked.exclude}
        answer = await work(service.recommend, user_id, asked.k, **options)
        return Response(answer.json, media_type="application/json")

    @app.get("/v1/users/{user_id:path}/interests", dependencies=reading, openapi_extra=open_to_all)
    async def interests(
        user_id: UserId, n: Annotated[int, Query(ge=1, le=20, description="how many of each kind")] = 3
    ) -> bodies.Interests:
        """What a user likes more than the catalog has of it, by words, look and sound, with the items that say so."""
        # The first waits until the groups of items are made: that must not keep threads from those who want lists.
        found = await to_thread.run_sync(service.interests, user_id, n, limiter=patient)
        return bodies.Interests(**found.to_dict())

    @app.post(
        "/v1/recommendations", dependencies=reading, openapi_extra=open_to_all, response_model=bodies.RecommendedItems
    )
    async def session(body: bodies.SessionBody) -> Response:
        """The items for somebody without an account, from what he did up to now."""
        options = {"explain": body.explain, "diversity": body.diversity, "exclude": body.exclude}
        answer = await work(service.recommend_session, body.items, body.k, **options)
        return Response(answer.json, media_type="application/json")

    @app.get(ITEM + SIMILAR, dependencies=reading, openapi_extra=open_to_all)
    async def similar(
        item_id: ItemId,
        k: K = 10,
        by: Annotated[
            str | None, Query(description="the vectors of this column; default: as the model sees it")
        ] = None,
    ) -> bodies.FoundItems:
        """The items most similar to one."""
        return bodies.FoundItems(**(await work(service.similar, item_id, k, by=by)).to_dict())

    @app.post("/v1/search", dependencies=searching, openapi_extra=open_to_all | document.body(document.search()))
    async def search(request: Request) -> bodies.FoundItems:
        """The items that fit a text, a picture, a sound or a video, across modalities."""
        asked = await search_of(request)

        def found() -> Recommendations:
            with ExitStack() as stack:
                query: dict[str, str | FilePath] = {} if asked.text is None else {"text": asked.text}
                for modality, (file, name) in asked.media.items():
                    query[modality] = stack.enter_context(uploaded(file, name, modality, service.media.limits))
                if not query:
                    raise OptionError("nothing to search for; give text, image, audio or video")
                return service.search(query, asked.k, by=asked.by)

        return bodies.FoundItems(**(await work(found)).to_dict())

    @app.post("/v1/interactions", dependencies=writing)
    async def interactions(body: Annotated[EITHER, EVENTS]) -> bodies.Accepted:
        """One event or many. The answer comes once all are committed; they count from the next recommendation on."""
        given = body.events if isinstance(body, bodies.EventsBody) else [body]
        now = int(time.time())
        events = [
            Event(
                event_id=one.event_id or uuid.uuid4().hex,
                user_id=one.user_id,
                item_id=one.item_id,
                time=now if one.time is None else one.time,
                kind=one.kind,
                value=one.value,
            )
            for one in given
        ]
        new = await work(service.add_events, events)
        metrics.events.inc(sum(new))
        ids = [event.event_id for event in events]
        return bodies.Accepted(event_ids=ids, new=new, unknown_items=service.unknown_items(events))

    async def put(request: Request, item_id: str | None) -> bodies.ItemAnswer:
        item = await item_of(request, item_id)
        replacing = item_id is not None
        stored = await change(service.add_item, item.item_id, item.texts, item.media, item.vectors, replacing=replacing)
        tell()
        return bodies.ItemAnswer(item_id=stored.item_id, columns=dict(stored.columns))

    @app.post(
        "/v1/items",
        status_code=201,
        dependencies=changing,
        openapi_extra=document.body({}),
        responses={409: PROBLEM},
    )
    async def add_item(request: Request) -> bodies.ItemAnswer:
        """A new item with its media: recommended, similar and found from the answer on, without training."""
        return await put(request, None)

    async def put_item(item_id: NewId, request: Request) -> bodies.ItemAnswer:
        """An item in place of one that was added before, or a new one."""
        return await put(request, item_id)

    async def delete_item(item_id: ItemId) -> None:
        """An item is not shown any more, whether it was trained or added."""
        await change(service.remove_item, item_id)
        tell()

    at_item = partial(app.router.add_api_route, ITEM, dependencies=changing, route_class_override=ItemRoute)
    at_item(put_item, methods=["PUT"], openapi_extra=document.body({}), responses={409: PROBLEM})
    at_item(delete_item, methods=["DELETE"], status_code=204, response_class=Response)

    @app.get("/v1/model", dependencies=reading, openapi_extra=open_to_all)
    async def model() -> dict[str, Any]:
        """What serves, and what it can do with new events (`folds_events`) and new items (`takes_items`)."""
        return service.about()

    @app.post("/v1/model/reload", dependencies=changing, responses={409: PROBLEM})
    async def reload() -> dict[str, Any]:
        """Read the model folder again. What cannot be read leaves the old model serving."""
        await change(service.reload)
        tell()
        site.prepare()
        return service.about()

    @app.get("/healthz")
    async def healthz() -> bodies.Health:
        """The server is alive."""
        return bodies.Health(status="alive")

    @app.get("/readyz")
    async def readyz() -> bodies.Health:
        """The model is loaded and the store answers."""
        await work(service.store.ping)
        return bodies.Health(status="ready")

    @app.get("/metrics", dependencies=reading, openapi_extra=open_to_all, response_class=Response)
    async def metrics_page() -> Response:
        """Counts and times for Prometheus."""
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    app.include_router(shown)
    return app
