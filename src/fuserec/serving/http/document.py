"""The OpenAPI document: what FastAPI tells of the addresses, and what only the model and the rules know."""

from collections.abc import Mapping
from typing import Any

from fuserec.data.catalog import MEDIA
from fuserec.serving.http import bodies

FILE = {"type": "string", "format": "binary"}
TEXT = {"type": "string", "maxLength": bodies.MOST_TEXT}
ID = {"type": "string", "minLength": 1, "maxLength": bodies.MOST_ID}
SEARCH_FORM = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "maxLength": bodies.MOST_QUERY},
        "by": {"type": "string"},
        "k": {"type": "integer", "minimum": 1, "maximum": 1000},
        **{name: FILE for name in ("image", "audio", "video")},
    },
    "additionalProperties": False,
    "anyOf": [
        {"required": ["text"], "properties": {"text": {"minLength": 1}}},
        *({"required": [name]} for name in ("image", "audio", "video")),
    ],
}


def search() -> dict[str, Any]:
    """The body of a search."""
    return {"application/json": {"schema": _schema(bodies.SearchBody)}, "multipart/form-data": {"schema": SEARCH_FORM}}


def item(columns: Mapping[str, str], *, new: bool) -> dict[str, Any]:
    """Column → its modality, and whether the id is in the body → the body of an item: JSON, or a form with files."""
    plain = _schema(bodies.NewItemBody if new else bodies.ItemBody)
    given, vectors = plain["properties"]["columns"], plain["properties"]["vectors"]
    texts = {name: TEXT for name, modality in columns.items() if modality not in MEDIA}
    given |= {"properties": texts, "additionalProperties": False}
    plain["anyOf"] = [
        {"required": [name], "properties": {name: {"minProperties": 1}}} for name in ("columns", "vectors")
    ]
    files = {name: FILE for name, modality in columns.items() if modality in MEDIA}
    form = {
        "type": "object",
        "description": "A field for each text column, a file for each media column; vectors as a JSON object.",
        "properties": {**texts, **files, "vectors": vectors, **({"item_id": ID} if new else {})},
        "required": ["item_id"] if new else [],
        "minProperties": 2 if new else 1,
        "additionalProperties": False,
    }
    encoding = {"vectors": {"contentType": "application/json"}}
    return {"application/json": {"schema": plain}, "multipart/form-data": {"schema": form, "encoding": encoding}}


def body(content: dict[str, Any]) -> dict[str, Any]:
    """Content type → its schema, as FastAPI takes what it cannot see in a function."""
    return {"requestBody": {"required": True, "content": content}}


def completed(document: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The document of an app, with the columns of the model that serves now."""
    for path, method, new in (("/v1/items", "post", True), ("/v1/items/{item_id}", "put", False)):
        document["paths"][path][method]["requestBody"]["content"] = item(columns, new=new)
    return document


def _schema(body: type[bodies.Body]) -> dict[str, Any]:
    return body.model_json_schema(ref_template="#/components/schemas/{model}")
