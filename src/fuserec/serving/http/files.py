"""Files of pages: styles and scripts of the package, media of items, and small pictures of them."""

import hashlib
import io
import mimetypes
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from PIL import Image
from starlette.exceptions import HTTPException

from fuserec.data.media import Limits, read_image
from fuserec.serving.service import Service
from fuserec.serving.site.views import media_path

THUMBNAIL, THUMBNAILS_KEPT = 320, 2_000  # pixels of the longer side; about 20 MB
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEPT = "private, no-cache"  # asked again each time: an item may have been removed
# Types that a browser shows and that hold no scripts; all others are sent as bytes, to be saved.
SHOWN = frozenset(
    "image/png image/jpeg image/gif image/webp image/avif image/bmp audio/wav audio/x-wav audio/mpeg audio/ogg "
    "audio/flac audio/x-flac audio/mp4 audio/aac video/mp4 video/webm video/ogg video/quicktime".split()
)
MORE_TYPES = {
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".webp": "image/webp",
    ".avif": "image/avif",
}


@cache
def static_files() -> dict[str, tuple[bytes, str]]:
    """Name → content, and an entity tag of it."""
    folder = files("fuserec.serving.site") / "static"
    contents = {file.name: file.read_bytes() for file in folder.iterdir() if Path(file.name).suffix in TYPES}
    return {name: (content, _tag(content)) for name, content in contents.items()}


def static_addresses() -> dict[str, str]:
    """Name → its address, which changes with the content."""
    return {name: f"/static/{name}?v={tag}" for name, (_, tag) in static_files().items()}


def add_files(router: APIRouter, service: Service, reading: Sequence[Any], work: Callable[..., Any]) -> None:
    """Add the addresses of files to the routes of pages."""

    @router.get("/static/{name}")
    async def static(request: Request, name: str, v: str = "") -> Response:
        if name not in static_files():
            raise HTTPException(404, f"no file {name!r}")
        content, tag = static_files()[name]
        kept = "public, max-age=31536000, immutable" if v == tag else "public, no-cache"
        return _tagged(request, content, TYPES[Path(name).suffix], tag, kept)

    @router.get("/media/{item_id:path}", dependencies=reading)
    async def media(request: Request, item_id: str, column: str) -> Response:
        path: Path = await work(media_path, service, column, item_id)
        kind = MORE_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or ""
        headers = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": KEPT}
        if kind not in SHOWN:
            kind, headers["content-disposition"] = "application/octet-stream", "attachment"
        return FileResponse(path, headers=headers, media_type=kind)  # answers ranges, for players

    @router.get("/thumbs/{item_id:path}", dependencies=reading)
    async def thumb(request: Request, item_id: str, column: str) -> Response:
        def made() -> tuple[bytes, str]:
            path = media_path(service, column, item_id)
            return _small(path, path.stat().st_mtime_ns)

        content, tag = await work(made)
        return _tagged(request, content, "image/jpeg", tag, KEPT)


@lru_cache(THUMBNAILS_KEPT)
def _small(path: Path, changed: int) -> tuple[bytes, str]:
    """A picture file → a small JPEG, and its entity tag; `changed`: so that another file is another key."""
    picture = Image.fromarray(read_image(path, Limits()))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return buffer.getvalue(), _tag(buffer.getvalue())


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _tagged(request: Request, content: bytes, kind: str, tag: str, kept: str) -> Response:
    """The content, or 304 where the client has it (RFC 9110, 13.1.2)."""
    headers = {"etag": f'"{tag}"', "cache-control": kept}
    known = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if f'"{tag}"' in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)
