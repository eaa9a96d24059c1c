"""Views: the service → what each page shows, as plain dicts; the `.json` twin of a page is exactly that."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from fuserec.data.catalog import MEDIA
from fuserec.data.recommendations import Recommendations
from fuserec.errors import ArtifactError, UnknownIdError
from fuserec.pages.evaluation import EVALUATION
from fuserec.recommenders.recommender import Recommender
from fuserec.serving.kept import FOLDER, kept
from fuserec.serving.loaded import Loaded
from fuserec.serving.preparing import Background, warm_up
from fuserec.serving.service import Service
from fuserec.serving.site.atlas import Atlas, atlas_of, pack, unpack
from fuserec.serving.site.cards import Card, card_of, cell_of, picture_of, reasons_of
from fuserec.serving.stores.store import standing

N_SIMILAR, N_POPULAR, N_USERS, N_LIKED_BY, N_HISTORY, N_TYPICAL = 6, 12, 12, 24, 24, 5
MOST_PREPARED = 20_000  # items of a catalog whose groups and places are made before anybody asks


class Site:
    """What the pages of one service show. Methods may be called from several threads at once."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._making = Lock()
        self._atlas: tuple[Recommender, Atlas] | None = None
        self._warming, self._background = Background(), Background(nice=10)

    def prepare(self, *, asked: bool = False) -> None:
        """Do in the background what the first requests would wait for; of a large catalog only once it is asked for."""
        if not asked:
            self._warming.do(lambda: warm_up(self.service.loaded.base))
        if asked or self.service.loaded.base.catalog_.n_items <= MOST_PREPARED:
            self._background.do(lambda: self.service.aspects(self.service.loaded.base), self.atlas)

    def close(self) -> None:
        """Prepare nothing any more."""
        self._warming.close()
        self._background.close()

    def atlas(self) -> Atlas:
        """Where the items of the trained model lie: made when first asked for, once a model, and kept in a file."""
        with self._making:
            loaded = self.service.loaded
            if self._atlas is None or self._atlas[0] is not loaded.base:
                place, make = self.service.media.root / FOLDER, partial(atlas_of, loaded.base)
                self._atlas = loaded.base, kept(place, "atlas", loaded.manifest, make, pack, unpack)
            return self._atlas[1]

    def _grouped(self, wait: bool) -> bool:
        """Whether the groups of items are there or are waited for; else they are made in the background."""
        if wait or self.service.has_aspects(self.service.loaded.base):
            return True
        self.prepare(asked=True)
        return False

    def home(self) -> dict[str, Any]:
        """The catalog at a glance, the model, what it was measured to be worth, and where to begin."""
        loaded, about = self.service.loaded, self.service.about()
        model = loaded.model
        n_all = len(loaded.allowed)
        columns = [
            {"name": column.name, "modality": column.modality, "n_items": int((column.present & loaded.allowed).sum())}
            for column in model.catalog_.columns.values()
        ]
        given = [
            {"name": name, "modality": "vector", "n_items": int((e.present & loaded.allowed).sum())}
            for name, e in model.embeddings_.items()
            if name in about["vectors_to_give"] and name not in model.catalog_.columns
        ]
        popular = np.argsort(-np.where(loaded.allowed, model.popularity_, -1), kind="stable")[: min(N_POPULAR, n_all)]
        eager = np.argsort(-loaded.base.seen_.getnnz(axis=1), kind="stable")[:N_USERS]
        return {
            "dataset": about["about"].get("dataset", ""),
            "n_items": about["n_items"],
            "n_items_added": about["n_items_added"],
            "n_users": about["n_users"],
            "n_interactions": int(loaded.base.seen_.nnz),
            "columns": [*columns, *given],
            "model": {key: about[key] for key in ("name", "options", "made_with", "folds_events", "takes_items")},
            "quality": self._quality(),
            "popular": [card_of(model, int(row)) for row in popular if loaded.allowed[row]],
            "users": [loaded.base.users_[int(row)] for row in eager],
        }

    def item(self, item: str, *, wait: bool = True) -> dict[str, Any]:
        """An item, what is similar to it by each of its columns, its groups, and who chose it.

        Groups are None where they are still being made and nobody wants to wait.
        """
        loaded = self.service.loaded
        model, base = loaded.model, loaded.base
        row = model.catalog_.ids.row(item)
        if not loaded.allowed[row]:
            raise UnknownIdError(f"item {item!r} was removed")
        columns = [cell_of(model, column.name, row) for column in model.catalog_.columns.values()]
        shown = [name for name, e in model.embeddings_.items() if e.present[row] and name in model.catalog_.columns]
        shown += [name for name, e in model.embeddings_.items() if e.present[row] and e.parts]
        similar = [{"by": "", "items": self._cards(self.service.similar(item, N_SIMILAR))}]
        similar += [
            {"by": name, "items": self._cards(self.service.similar(item, N_SIMILAR, by=name))} for name in shown
        ]
        known = row < base.catalog_.n_items
        liked_by = np.searchsorted(base.seen_.indptr, np.flatnonzero(base.seen_.indices == row), side="right") - 1
        return {
            **card_of(model, row),
            "columns": [cell for cell in columns if cell],
            "added_online": not known,
            "similar": [one for one in similar if one["items"]],
            "groups": [] if not known else self._groups(row) if self._grouped(wait) else None,
            "n_liked_by": len(liked_by),
            "liked_by": [base.users_[int(user)] for user in liked_by[:N_LIKED_BY]],
        }

    def user(self, user: str, k: int = 12, diversity: float = 0.0, *, wait: bool = True) -> dict[str, Any]:
        """A user: what he did, what he likes, and what is recommended, with what each modality contributed.

        Interests are None where the groups of items are still being made and nobody wants to wait.
        """
        loaded = self.service.loaded
        answer = self.service.recommend(user, k, explain=True, diversity=diversity or None)
        history = self._history(loaded, user)
        return {
            "user": user,
            "known": user in loaded.model.users_ or bool(history),
            "n_history": len(history),
            "history": history[:N_HISTORY],
            "interests": self._interests(user) if self._grouped(wait) else None,
            "basis": answer.basis,
            "folds_events": loaded.folds_events,
            "diversity": diversity,
            "recommended": [
                {**card, "why": reasons_of(item.why)}
                for card, item in zip(self._cards(answer.items), answer.items, strict=True)
            ],
        }

    def search(self, query: Mapping[str, str | Path], k: int = 24, by: str | None = None) -> dict[str, Any]:
        """Modality → text or path of a file → what was found, with the columns that spoke for each."""
        columns = list(self.service.loaded.model.catalog_.columns)
        if not query:
            return {"query": {}, "columns": columns, "items": []}
        found = self.service.search(query, k, by=by)
        whole = {"query": dict(found.query), "columns": columns}
        cards = zip(self._cards(found), found, strict=True)
        return {**whole, "items": [{**card, "why": reasons_of(item.why)} for card, item in cards]}

    def map_frame(self) -> dict[str, Any]:
        """The page around the map, and whether its places are there; a script asks for them."""
        made = self._atlas is not None and self._atlas[0] is self.service.loaded.base
        return {"made": made}

    def map(self) -> dict[str, Any]:
        """All items in two dimensions, as parallel lists, and the clusters that color them."""
        atlas = self.atlas()
        loaded = self.service.loaded
        model = loaded.model
        if len(atlas.labels) != loaded.base.catalog_.n_items:  # reloaded in between
            return self.map()
        atlas = atlas.followed_by_items_of(model)
        rows = np.flatnonzero(loaded.allowed & np.isfinite(atlas.positions).all(axis=1))
        return {
            "by": atlas.by,
            "method": atlas.method,
            "n_left_out": int(loaded.allowed.sum()) - len(rows),
            "clusters": self._clusters(atlas, loaded, rows),
            "item_ids": [model.catalog_.ids[row] for row in rows],
            "titles": [model.catalog_.title(int(row)) for row in rows],
            "pictures": [picture_of(model, int(row)) for row in rows],
            "x": np.round(atlas.positions[rows, 0].astype(float), 4).tolist(),
            "y": np.round(atlas.positions[rows, 1].astype(float), 4).tolist(),
            "cluster": atlas.labels[rows].tolist(),
        }

    def report(self) -> dict[str, Any]:
        """The evaluation that is kept in the model folder, as `fuserec evaluate --json` prints it."""
        evaluation = self._evaluation()
        own = self._own(evaluation) if evaluation else None
        return {"serves": own["label"] if own else None, "evaluation": evaluation}

    def form(self) -> dict[str, Any]:
        """What a new item may have: the model's columns, and the vectors that have to be given."""
        about = self.service.about()
        columns = [{"name": name, "modality": modality} for name, modality in about["columns"].items()]
        return {
            "takes_items": about["takes_items"],
            "model": about["name"],
            "columns": columns,
            "vectors": [{"name": name, "dim": about["vectors"][name]["dim"]} for name in about["vectors_to_give"]],
        }

    # Parts of pages

    def _cards(self, found: Recommendations) -> list[Card]:
        model = self.service.loaded.model
        return [card_of(model, model.catalog_.ids.row(item.item_id)) for item in found]

    def _groups(self, row: int) -> list[dict[str, Any]]:
        """The groups of its columns that an item of the trained model is in; words with the items that share them."""
        base = self.service.loaded.base
        found = []
        for aspect in self.service.aspects(base):
            for group in aspect.members.tocsc()[:, [row]].indices.tolist():
                told = {"kind": aspect.kind, "column": aspect.column, "name": aspect.names[group]}
                typical = [card_of(base, other) for other in aspect.typical[group][:N_TYPICAL]]
                found.append({**told, "n_items": aspect.members[[group]].nnz, "typical": typical})
        return found

    def _history(self, loaded: Loaded, user: str) -> list[Card]:
        """What a user did, the latest first, each item once; `kind` and `time` (unix seconds UTC) where known.

        online: whether an event says so, which can be taken back.
        """
        model = loaded.model
        did: dict[int, dict[str, Any]] = {}
        place = int(loaded.base.users_.rows([user])[0])
        if place >= 0:
            rows, times = loaded.base.history.of_user(place)
            for position, row in enumerate(rows.tolist()):
                did[row] = {"kind": "", "time": int(times[position]) if len(times) else None, "online": False}
        events = self.service.store.history(user)
        stand = {event.event_id for event in standing(events).values()}
        for event in events:
            if event.event_id not in stand:
                continue
            row = int(model.catalog_.ids.rows([event.item_id])[0])
            if row >= 0:
                did.pop(row, None)  # done again: it comes last
                did[row] = {"kind": event.kind, "time": event.time, "online": True}
        return [{**card_of(model, row), **told} for row, told in reversed(did.items())]

    def _interests(self, user: str) -> list[dict[str, Any]]:
        """What stands out in what a user did, with cards of the items that say so and of those that are typical."""
        base = self.service.loaded.base

        def cards(items: tuple[str, ...]) -> list[Card]:
            rows = base.catalog_.ids.rows(items)  # -1 for an item that a reload in between left out
            return [card_of(base, int(row)) for row in rows if row >= 0]

        return [
            {**vars(one), "because": cards(one.because), "typical": cards(one.typical)}
            for one in self.service.interests(user).likings
        ]

    def _clusters(self, atlas: Atlas, loaded: Loaded, rows: Any) -> list[dict[str, Any]]:
        sizes = np.bincount(atlas.labels[rows][atlas.labels[rows] >= 0], minlength=len(atlas.names))
        typical = [[row for row in group if loaded.allowed[row]] for group in atlas.typical]
        return [
            {"name": name, "n_items": int(size), "typical": [card_of(loaded.model, row) for row in group]}
            for name, size, group in zip(atlas.names, sizes, typical, strict=True)
        ]

    def _evaluation(self) -> dict[str, Any] | None:
        path = self.service.folder / EVALUATION
        if not path.is_file():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            assert isinstance(found["models"], list) and found["selected_by"]
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            raise ArtifactError(f"{path.name} is damaged; write it again with: fuserec evaluate --keep") from None
        return found

    def _quality(self) -> dict[str, Any] | None:
        """What the model that serves was measured to be worth, and popularity beside it; None where nobody measured."""
        try:
            evaluation = self._evaluation()
        except ArtifactError:
            return None
        if evaluation is None:
            return None
        metric = evaluation["selected_by"]
        floor = next((one for one in evaluation["models"] if one["name"] == "Popular"), None)

        def told(found: dict[str, Any] | None) -> dict[str, Any] | None:
            return {"label": found["label"], **found["metrics"][metric]} if found else None

        own = self._own(evaluation)
        return {"metric": metric, "split": evaluation["split"], "own": told(own), "floor": told(floor)}

    def _own(self, evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row of the model that serves: the same with the same options."""
        packed = self.service.loaded.manifest["model"]
        same = (
            one for one in evaluation["models"] if [one["name"], one["options"]] == [packed["name"], packed["options"]]
        )
        return next(same, None)


def media_path(service: Service, column: str, item: str) -> Path:
    """A column and an item id → its media file, if it is in the catalog's media folder or in that of new items.

    Raises `UnknownIdError` where there is none, or where the catalog's own path leads out of both folders.
    """
    loaded = service.loaded
    catalog = loaded.model.catalog_
    row = int(catalog.ids.rows([item])[0])
    known = catalog.columns.get(column)
    path = catalog.path(column, row) if known and known.modality in MEDIA and row >= 0 and loaded.allowed[row] else None
    if path is None:
        raise UnknownIdError(f"item {item!r} has no file in a column {column!r}")
    found = path.resolve()
    roots = [service.media.root, *([catalog.root.resolve()] if catalog.root else [])]
    if not any(found.is_relative_to(root) for root in roots) or not found.is_file():
        raise UnknownIdError(f"the file of item {item!r} in column {column!r} is not in the media folder")
    return found
