"""What goes over the wire, with examples. Field names stay as they are."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_ID, MOST_QUERY, MOST_TEXT = 256, 10_000, 100_000  # characters of an id, of words to search by, of a column


def _number(value: Any) -> Any:
    """What JSON calls a number, or null; `true` and `"1"` are none, though Python would make numbers of them."""
    if isinstance(value, bool | str):
        raise ValueError("expected a number")
    return value


Id = Annotated[str, Field(min_length=1, max_length=MOST_ID)]
K = Annotated[int, Field(ge=1, le=1000, description="how many items")]  # also of a query, where all is text
Diversity = Annotated[float | None, Field(ge=0.0, lt=1.0, description="how much it counts that items are unlike")]
Number = BeforeValidator(_number)  # of JSON; the last of the marks of a type, or the document loses the others
KINDS = "view, like, purchase, ...; dislike and hide speak against it; undo takes back the one before with this item"
ITEM: Any = {
    "item_id": "item-7",
    "score": 0.031,
    "title": "Silver birch lantern",
    "why": {"photo": 0.7, "community": 0.3},
}
INTEREST: Any = {
    "column": "title",
    "kind": "word",
    "name": "lantern",
    "share": 0.4,
    "base": 0.05,
    "lift": 6.2,
    "recommended": 0.3,
    "because": [{"item_id": "item-3", "title": "Silver lantern"}],
    "typical": [],
}


class Body(BaseModel):
    """A body: fields that are not known are an error."""

    model_config = ConfigDict(extra="forbid")


class EventBody(Body):
    """What a user did with an item."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"event_id": "e-1", "user_id": "user-7", "item_id": "item-3", "kind": "like"}},
    )
    user_id: Id
    item_id: Id
    event_id: Id | None = Field(None, description="sent again with the same id, it counts once; default: a new id")
    time: Annotated[int, Field(ge=0, lt=100_000_000_000), Number] | None = Field(
        None, description="unix seconds; default: now"
    )
    kind: str = Field("", max_length=64, description=KINDS)
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = Field(
        None, description="a rating or a duration, on your scale"
    )


class EventsBody(Body):
    """Several events, committed all or none."""

    events: list[EventBody] = Field(min_length=1, max_length=1000)


class SessionBody(Body):
    """What somebody without an account did."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"items": ["item-3", "item-9"], "k": 5}})
    items: list[Id] = Field(max_length=1000, description="the oldest first")
    k: Annotated[K, Number] = 10
    explain: Annotated[bool, Field(strict=True)] = False
    diversity: Annotated[Diversity, Number] = None
    exclude: list[Id] = Field([], max_length=1000)


class SearchBody(Body):
    """Words to search by; a picture, a sound or a video is uploaded as multipart/form-data."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"text": "a blue wooden kite", "k": 5, "by": "photo"}}
    )
    text: str = Field(min_length=1, max_length=MOST_QUERY)
    k: Annotated[K, Number] = 10
    by: str | None = Field(None, description="look at this column only")


class ItemBody(Body):
    """An item of texts and vectors; media are uploaded as multipart/form-data."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"columns": {"title": "A red paper kite"}, "vectors": {}}}
    )
    columns: dict[str, Annotated[str, Field(max_length=MOST_TEXT)]] = Field({}, description="text column → text")
    vectors: dict[str, list[Annotated[float, Field(strict=True, allow_inf_nan=False)]]] = Field(
        {}, description="name → numbers, where training was given vectors"
    )


class NewItemBody(ItemBody):
    """The same with the id of a new item."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"item_id": "kite-9", "columns": {"title": "A red paper kite"}, "vectors": {}}},
    )
    item_id: Id


class Listed(BaseModel):
    """One item of a list. score: only the order within a list means something. why: what spoke for it → its share."""

    model_config = ConfigDict(json_schema_extra={"example": ITEM})
    item_id: str
    score: float
    title: str
    why: dict[str, float]


class FoundItems(BaseModel):
    """A list for a question, best first."""

    query: dict[str, Any]
    items: list[Listed]


class RecommendedItems(FoundItems):
    """The same, with what it follows from.

    basis: `history` (what the user did, up to now), `training` (what was known in training) or `popularity`
    """

    basis: str
    unknown_items: list[str]


class Titled(BaseModel):
    """An item as it is named."""

    item_id: str
    title: str


class Shown(Titled):
    """An item with the columns of pictures, sounds and videos that it has."""

    media: list[str]


class Interest(BaseModel):
    """One thing that a user likes more than the catalog has of it."""

    model_config = ConfigDict(json_schema_extra={"example": INTEREST})
    column: str
    kind: str = Field(description="word, topic, look, sound or kind; interest: a vector of a MultiInterest")
    name: str
    share: float = Field(description="of what the user did, 0 to 1; what is recent counts more")
    base: float = Field(description="of the catalog, 0 to 1")
    lift: float = Field(description="how many times the base, drawn towards 1 for a short history")
    recommended: float = Field(description="of the 50 items that the model would recommend, 0 to 1")
    because: list[Titled] = Field(description="items of the history that say so, the strongest first")
    typical: list[Shown] = Field(description="items nearest to the center of a look, a sound, a topic or an interest")


class Interests(BaseModel):
    """What stands out in what a user did, the surest first in each column. n_items: items of that history."""

    query: dict[str, Any]
    n_items: int
    interests: list[Interest]


class Accepted(BaseModel):
    """What became of events, in their order, once all are committed."""

    event_ids: list[str]
    new: list[bool] = Field(description="false: an event with this id was there already")
    unknown_items: list[str] = Field(description="kept, but of no effect until a model knows them")


class ItemAnswer(BaseModel):
    """An item as it was stored. columns: column → text, or the name of the stored file."""

    item_id: str
    columns: dict[str, str]


class Health(BaseModel):
    """Whether the server is alive, or ready."""

    status: str


class Problem(BaseModel):
    """An error (RFC 9457). type: stays the same for the same cause."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:fuserec:unknown-id",
                "title": "There is no such user, item or key",
                "status": 404,
                "detail": "unknown item 'item-77' among 300 items; did you mean 'item-7'?",
            }
        }
    )
    type: str
    title: str
    status: int
    detail: str
