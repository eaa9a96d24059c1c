"""Recommendations: ranked items for one query, with what speaks for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)  # servers keep many
class Recommended:
    """One recommended item; `why` maps what spoke for it (a column, `community`, an item) to its share of the score."""

    item_id: str
    score: float
    title: str
    why: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Recommendations(Sequence[Recommended]):
    """Ranked items, best first, for a query such as `{"user": "7"}`."""

    query: Mapping[str, Any]
    items: tuple[Recommended, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rank: Any) -> Any:
        return self.items[rank]

    def __iter__(self) -> Iterator[Recommended]:
        return iter(self.items)

    @property
    def ids(self) -> list[str]:
        """The item ids, best first."""
        return [item.item_id for item in self.items]

    def explain(self) -> str:
        """One line an item: rank, title, score, and what spoke for it, the strongest first."""
        lines = []
        for rank, item in enumerate(self.items, start=1):
            parts = sorted(item.why.items(), key=lambda part: -part[1])[:4]
            why = ", ".join(f"{name} {share:.0%}" for name, share in parts)
            lines.append(f"{rank:3d}. {item.title}  [{item.score:.4g}]" + (f"  because of {why}" if why else ""))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: `{"query": ..., "items": [{"item_id", "score", "title", "why"}, ...]}`."""
        items = [
            {"item_id": one.item_id, "score": one.score, "title": one.title, "why": dict(one.why)} for one in self.items
        ]
        return {"query": dict(self.query), "items": items}

    def __repr__(self) -> str:
        return f"Recommendations({dict(self.query)}: {self.ids})"
