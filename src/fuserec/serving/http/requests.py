"""Bodies of two kinds, JSON and multipart/form-data → what the service takes."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from fuserec.serving.http.bodies import MOST_QUERY, Id, ItemBody, K, NewItemBody, SearchBody
from fuserec.serving.service import Upload

MEDIA_FIELDS = ("image", "audio", "video")
MOST_FIELDS, MOST_FILES, MOST_BYTES = 64, 8, 1_000_000  # bytes of a field that is no file


class Item(NamedTuple):
    """An item as a client sends it."""

    item_id: str
    texts: Mapping[str, str]
    media: Mapping[str, Upload]
    vectors: Mapping[str, list[float]]


class Search(NamedTuple):
    """A question as a client sends it."""

    text: str | None
    media: Mapping[str, Upload]
    k: int
    by: str | None


async def item_of(request: Request, item_id: str | None) -> Item:
    """The body of POST or PUT → the item. Fields of a form: `item_id`, `vectors` (JSON), and each column."""
    if not _is_form(request):
        body: Any = await _json(request, ItemBody if item_id is not None else NewItemBody)
        return Item(item_id if item_id is not None else body.item_id, body.columns, {}, body.vectors)
    fields, files = await _form(request)
    given = {"vectors": _object(fields.pop("vectors", "{}"))}
    if item_id is None:
        given["item_id"] = fields.pop("item_id", None)
    body = _valid(ItemBody if item_id is not None else NewItemBody, {**given, "columns": fields})
    return Item(item_id if item_id is not None else body.item_id, body.columns, files, body.vectors)


class _SearchForm(BaseModel):
    k: K = 10
    by: str | None = None
    text: Annotated[str, Field(max_length=MOST_QUERY)] | None = None


async def search_of(request: Request) -> Search:
    """The body of a search: JSON with a text, or a form with a text, a picture, a sound or a video."""
    if not _is_form(request):
        body: Any = await _json(request, SearchBody)
        return Search(body.text, {}, body.k, body.by)
    fields, files = await _form(request)
    unknown = [name for name in (*fields, *files) if name not in (*MEDIA_FIELDS, "text", "k", "by")]
    misplaced = [name for name in fields if name in MEDIA_FIELDS] + [name for name in files if name not in MEDIA_FIELDS]
    if unknown or misplaced:
        raise _fault((unknown or misplaced)[0], "expected text, k and by as fields, image, audio and video as files")
    form: Any = _valid(_SearchForm, fields)
    return Search(form.text or None, files, form.k, form.by)


def checked_id(name: str) -> str:
    """An id from an address → the same, if it is one that a body could hold."""
    try:
        return TypeAdapter(Id).validate_python(name)
    except ValidationError as error:
        raise _fault("id", error.errors()[0]["msg"]) from None


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def _json(request: Request, body: type[BaseModel]) -> BaseModel:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise HTTPException(415, f"content type {kind or 'none'!r}: expected application/json or multipart/form-data")
    try:
        return body.model_validate_json(await request.body())
    except ValidationError as error:
        raise _faults(error) from None


async def _form(request: Request) -> tuple[dict[str, str], dict[str, Upload]]:
    form = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=MOST_BYTES)
    fields: dict[str, str] = {}
    files: dict[str, Upload] = {}
    for name, value in form.multi_items():
        if name in fields or name in files:
            raise _fault(name, "given more than once")
        if isinstance(value, UploadFile):
            files[name] = (value.file, value.filename or "")
        else:
            fields[name] = value
    return fields, files


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the latter of brackets within brackets
        raise _fault("vectors", "expected a JSON object of name → numbers") from None


def _valid(body: type[BaseModel], given: Mapping[str, Any]) -> Any:
    try:
        return body.model_validate(given)
    except ValidationError as error:
        raise _faults(error) from None


def _faults(error: ValidationError) -> RequestValidationError:
    return RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()])


def _fault(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])
