"""uvicorn's HTTP protocol, for clients that take their time or send too much before the body begins."""

import asyncio
from asyncio import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS, HEAD_BYTES = 10.0, 65_536  # of a request up to its body; uvicorn has no limit of its own
EACH = 32  # bytes that a header counts for beside its name and value, as in HTTP/2 (RFC 9113, 6.5.2)


class Careful(HttpToolsProtocol):
    """The same; a connection ends whose request does not come to its body in time, or is too long before it."""

    _in_head = False
    _n_bytes = 0
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: it has until the deadline to say what it wants."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request: most come whole, so that only for others a clock is set."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._n_bytes += len(data)
            if self._n_bytes > HEAD_BYTES:
                self.send_400_response("The headers are too large.")
            elif self._deadline is None:
                self._wait()

    def on_message_begin(self) -> None:
        """The first line of a request."""
        self._in_head, self._n_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """All of a request but its body."""
        self._in_head = False
        self._arrived()
        if len(self.url) + sum(len(name) + len(value) + EACH for name, value in self.headers) > HEAD_BYTES:
            raise ValueError("the headers are too large")  # the parser makes an error of its own of it: 400
        super().on_headers_complete()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._late)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:  # the request before this one is still being answered
            self._wait()
