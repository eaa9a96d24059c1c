"""What every request goes through: an id, a limit on its size, headers, a line in the log, a count."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fuserec.serving.http.problems import problem

log = logging.getLogger("fuserec.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
JSON_BYTES = 2_000_000  # of a body without files
BODY_SECONDS = 60.0  # that a body may take to arrive
CLOSE = {"Connection": "close"}  # the rest of the body is not waited for


class Metrics:
    """Counts and times of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fuserec_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "fuserec_request_seconds",
            "Time to answer",
            ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.events = Counter("fuserec_events", "Events committed, those known before left out", registry=self.registry)
        self.items = Gauge("fuserec_items", "Items that may be recommended", registry=self.registry)
        self.loaded = Gauge("fuserec_model_loaded_seconds", "When the model was loaded", registry=self.registry)
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request answered."""
        key = (method, route, status)
        if key not in self._known:  # to look labels up takes longer than to count
            self._known[key] = (self.requests.labels(method, route, str(status)), self.seconds.labels(route))
        counter, histogram = self._known[key]
        counter.inc()
        histogram.observe(seconds)


class Traffic:
    """ASGI middleware around an app."""

    def __init__(self, app: ASGIApp, metrics: Metrics, upload_bytes: int) -> None:
        self.app, self.metrics, self.upload_bytes = app, metrics, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        given = dict(scope["headers"])
        told = given.get(b"x-request-id", b"").decode("latin-1")
        scope["request_id"] = request_id = told if REQUEST_ID.fullmatch(told) else uuid.uuid4().hex
        status = 500
        begun = False

        async def sent(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                own = {name for name, _ in message["headers"]}
                more = [header for header in HEADERS if header[0] not in own]
                message["headers"] = [*message["headers"], *more, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._within_limits(scope, given, receive, sent)
        except Exception as error:
            log.error("request %s failed", request_id, exc_info=error)
            if not begun:
                await problem(500, "internal", f"see the server's log for request {request_id}")(scope, receive, sent)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none").replace(":path", "")
            self.metrics.count(scope["method"], route, status, seconds)
            if log.isEnabledFor(logging.INFO):
                told_more = {"method": scope["method"], "route": route, "status": status, "ms": round(1e3 * seconds, 2)}
                who = {"key": scope.get("key_id", ""), "client": (scope.get("client") or ("",))[0]}
                told_all = {"told": {"request_id": request_id, **told_more, **who}}
                # `log.info` would look up the line of code that it is called from: a third of its time
                log.handle(log.makeRecord(log.name, logging.INFO, "", 0, "request", (), None, extra=told_all))

    async def _within_limits(
        self, scope: Scope, given: MutableMapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        is_form = given.get(b"content-type", b"").startswith(b"multipart/form-data")
        most = self.upload_bytes if is_form else JSON_BYTES
        length = given.get(b"content-length", b"0")
        detail = f"the body has more than {most:,} bytes"
        if not length.isdigit() or int(length) > most:
            await problem(413, "too-large", detail, headers=CLOSE)(scope, receive, send)
            return
        n_bytes, whole, until = 0, False, asyncio.get_running_loop().time() + BODY_SECONDS

        async def received() -> Message:
            nonlocal n_bytes, whole
            if whole:  # nothing can come but the end of the connection
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body was not there after {BODY_SECONDS:g} s", CLOSE) from None
            whole = not message.get("more_body", False)
            n_bytes += len(message.get("body", b""))
            if n_bytes > most:
                raise HTTPException(413, detail, CLOSE)
            return message

        await self.app(scope, received, send)


class JsonLines(logging.Formatter):
    """A log record → one JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, logger, message, and what `extra={"told": {...}}` adds."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
