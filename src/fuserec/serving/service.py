"""Service: a fitted model and a store → recommendations, similar items, search; events and items in. No HTTP here."""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np

from fuserec.data.catalog import MEDIA
from fuserec.data.recommendations import Recommendations
from fuserec.errors import ConflictError, FuserecError, OptionError, UnknownIdError, did_you_mean
from fuserec.interest import Aspect, InterestProfile, aspects_of, interest_profile
from fuserec.query import search
from fuserec.recommenders.recommender import Recommender, Rows
from fuserec.retrieval import top_k
from fuserec.serving.kept import FOLDER, kept, pack_aspects, unpack_aspects
from fuserec.serving.lists import Answer, by_popularity, candidates, ranked, reached, shortened, without_removed
from fuserec.serving.loaded import Loaded, check_item, followed_by, given_vectors, load, with_items
from fuserec.serving.media import MediaFolder
from fuserec.serving.stores.store import DISLIKED, Event, Store, StoredItem, standing

log = logging.getLogger("fuserec.serving")
USERS_KEPT, LISTS_KEPT = 10_000, 16  # users whose lists are kept, and lists of each

Upload = tuple[IO[bytes], str]  # a media file, and the name that the client gave it


class Service:
    """Serves one model folder from one store. Methods may be called from several threads at once."""

    def __init__(self, folder: Path, store: Store, media: MediaFolder) -> None:
        self.folder, self.store, self.media = folder, store, media
        self._changing, self._keeping, self._grouping = Lock(), Lock(), Lock()
        self._grouped: tuple[Recommender, tuple[Aspect, ...]] | None = None
        self._lists: OrderedDict[str, dict[Any, Answer]] = OrderedDict()
        self._loaded = self._load()

    @property
    def loaded(self) -> Loaded:
        """The model that serves now."""
        return self._loaded

    def _load(self) -> Loaded:
        loaded = load(self.folder, self.store.items(), self.media.root)
        for item, why in loaded.skipped.items():
            log.warning("item %s was added online and is left out: %s", item, why)
        return loaded

    def _serve(self, loaded: Loaded) -> None:
        with self._keeping:
            self._loaded, self._lists = loaded, OrderedDict()

    def reload(self) -> Loaded:
        """Read the model folder again, and serve what it holds now; raises, and goes on with the old, if it cannot."""
        with self._changing:
            self._serve(self._load())
            return self._loaded

    # What is asked

    def kept(self, user: str, k: int, explain: bool, diversity: float | None, exclude: Sequence[str]) -> Answer | None:
        """The answer of `recommend`, where it was made before and nothing has changed since."""
        return self._lists.get(user, {}).get((k, explain, diversity, tuple(exclude)))

    def is_quick(self, explain: bool, diversity: float | None) -> bool:
        """Whether such a list takes `recommend` a millisecond or two, and not more."""
        return self._loaded.is_quick(explain, diversity)

    def recommend(
        self,
        user: str,
        k: int = 10,
        *,
        explain: bool = False,
        diversity: float | None = None,
        exclude: Sequence[str] = (),
    ) -> Answer:
        """User id → the k best items that the user has not seen. A user whom nobody knows gets what is popular."""
        with self._keeping:  # the place is taken before the history is read: an event that comes later drops the place
            loaded, lists = self._loaded, self._lists
            place = lists.setdefault(user, {})
            lists.move_to_end(user)
            if len(lists) > USERS_KEPT:
                lists.popitem(last=False)
        asked = (k, explain, diversity, tuple(exclude))
        if asked not in place:
            if len(place) >= LISTS_KEPT:
                place.clear()
            make = self._recommend if loaded.is_quick(explain, diversity) else self._cached
            place[asked] = answer = make(loaded, user, k, explain, diversity, exclude)
            return answer
        return place[asked]

    def _cached(
        self, loaded: Loaded, user: str, k: int, explain: bool, diversity: float | None, exclude: Sequence[str]
    ) -> Answer:
        """As `_recommend`, where that takes longer than to ask the store whether it was made before a restart."""
        name = sha256(json.dumps([loaded.fingerprint, k, explain, diversity, *exclude]).encode()).hexdigest()
        n_events = -1
        try:
            found, n_events = self.store.cached(user, name)
            if found:
                return Answer.of_json(found)
        except (FuserecError, ValueError, KeyError, TypeError) as error:
            log.warning("no list is read from the cache (%s: %s)", type(error).__name__, error)
        answer = self._recommend(loaded, user, k, explain, diversity, exclude)
        if answer.basis != "popularity":  # anybody may ask for users that there are not, without end
            try:
                self.store.cache(user, name, answer.json.decode(), n_events)
            except FuserecError as error:
                log.warning("a list is not kept in the cache: %s", error)
        return answer

    def _recommend(
        self, loaded: Loaded, user: str, k: int, explain: bool, diversity: float | None, exclude: Sequence[str]
    ) -> Answer:
        model, query = loaded.diverse(diversity), {"user": user, "k": k}
        liked, disliked = self._history(loaded.model, user)
        left_out = np.concatenate([disliked, loaded.model.catalog_.ids.rows(exclude)])
        row = int(model.users_.rows([user])[0])
        if loaded.folds_events:
            history = _history_of(model, row, liked, disliked)
            basis = "history" if len(history) else "popularity"
            if not explain and (found := reached(loaded, model, -1, history, query, left_out)):
                return Answer(model.listed(query, *found), basis)
            view = model.for_session(map(model.catalog_.ids.__getitem__, history))
            return Answer(ranked(loaded, view, 0, query, left_out, explain), basis)
        left_out = np.concatenate([left_out, liked])
        if row >= 0:
            seen = model.history.of_user(row)[0].astype(np.int64)
            if found := reached(loaded, model, row, seen, query, left_out):
                why = model.explain(row, found[0]) if explain else None
                return Answer(model.listed(query, *found, why), "training")
            return Answer(ranked(loaded, model, row, query, left_out, explain), "training")
        scores = np.where(candidates(loaded, left_out), model.popularity_, -np.inf).astype(np.float32)
        best = top_k(scores[None], k)[0]
        best = best[np.isfinite(scores[best])]
        return Answer(by_popularity(model, query, best, scores[best], explain), "popularity")

    def _history(self, model: Recommender, user: str) -> tuple[Rows, Rows]:
        """User id → rows of the items that events speak for, the oldest first, and of those they speak against."""
        last = {item: event.kind in DISLIKED for item, event in standing(self.store.history(user)).items()}
        rows = model.catalog_.ids.rows(last)
        against = np.array(list(last.values()), bool)
        return rows[(rows >= 0) & ~against], rows[(rows >= 0) & against]

    def recommend_session(
        self,
        items: Sequence[str],
        k: int = 10,
        *,
        explain: bool = False,
        diversity: float | None = None,
        exclude: Sequence[str] = (),
    ) -> Answer:
        """What somebody without an account did, item ids, the oldest first → the k best other items."""
        loaded = self._loaded
        ids = loaded.model.catalog_.ids
        view = loaded.diverse(diversity).for_session(item for item in items if item in ids)
        found = ranked(loaded, view, 0, {"items": list(items), "k": k}, ids.rows(exclude), explain)
        unknown = tuple(item for item in items if item not in ids)
        return Answer(found, "history" if len(unknown) < len(items) else "popularity", unknown)

    def interests(self, user: str, n: int = 3) -> InterestProfile:
        """User id → what stands out in what he did, up to now: n of each kind; nothing where he did nothing.

        Items added online are in no group yet: they count after the next training. See `interest_profile`.
        """
        base = self._loaded.base
        liked, disliked = self._history(base, user)
        row = int(base.users_.rows([user])[0])
        aspects = self.aspects(base)
        if row >= 0 and not len(liked) + len(disliked):
            return interest_profile(base, user, aspects=aspects, n=n)
        history = [base.catalog_.ids[item] for item in _history_of(base, row, liked, disliked)]
        return replace(interest_profile(base, items=history, aspects=aspects, n=n), query={"user": user})

    def aspects(self, base: Recommender) -> tuple[Aspect, ...]:
        """The trained model → the groups of its items, made when first asked for, once a model, and kept in a file."""
        with self._grouping:
            if not self.has_aspects(base):
                loaded = self._loaded
                if loaded.base is base:
                    place, make = self.media.root / FOLDER, partial(aspects_of, base)
                    found = kept(place, "aspects", loaded.manifest, make, pack_aspects, unpack_aspects)
                else:  # reloaded in between
                    found = aspects_of(base)
                self._grouped = base, found
            return self._grouped[1] if self._grouped else ()

    def has_aspects(self, base: Recommender) -> bool:
        """Whether the groups of a trained model's items are there, so that nobody has to wait for them."""
        grouped = self._grouped
        return grouped is not None and grouped[0] is base

    def similar(self, item: str, k: int = 10, *, by: str | None = None) -> Recommendations:
        """Item id → the k most similar other items, by the vectors named `by` or as the model sees it."""
        loaded = self._loaded
        self._check_there(loaded, item)
        more = int((~loaded.allowed).sum())
        return without_removed(loaded, loaded.model.similar_items(item, k + more, by=by), k)

    def search(self, query: Mapping[str, str | Path], k: int = 10, *, by: str | None = None) -> Recommendations:
        """Modality → text or path of a file → the k best items, as `fuserec.search`; paths are not told."""
        loaded = self._loaded
        more = int((~loaded.allowed).sum())
        try:
            found = search(loaded.model, query, k + more, by=by)
        except FuserecError as error:
            paths = [str(value) for value in query.values() if isinstance(value, Path)]
            raise type(error)(shortened(str(error), paths)) from None
        told = {name: value if name == "text" else "uploaded" for name, value in query.items()}
        return without_removed(loaded, replace(found, query=told | ({"by": by} if by else {})), k)

    # What is told

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Events → for each, whether it is new, once all are committed. They count from the next recommendation on."""
        new = self.store.add_events(events)
        with self._keeping:
            for event in events:
                self._lists.pop(event.user_id, None)
        return new

    def unknown_items(self, events: Iterable[Event]) -> list[str]:
        """The items of events that the model does not know; their events are kept all the same."""
        ids = self._loaded.model.catalog_.ids
        return [item for item in dict.fromkeys(event.item_id for event in events) if item not in ids]

    def add_item(
        self,
        item_id: str,
        texts: Mapping[str, str],
        media: Mapping[str, Upload] | None = None,
        vectors: Mapping[str, Sequence[float]] | None = None,
        *,
        replacing: bool = False,
    ) -> StoredItem:
        """A new item → the same as stored, once it is committed and can be recommended; nothing is trained.

        texts: text column → text; media: column → file; vectors: name → numbers, where training was given vectors.
        Raises `ConflictError` for an id that is there (with `replacing`, for one of the training catalog), `MediaError`
        for a file beyond the limits, `OptionError` for a column that the model does not have.
        """
        with self._changing:
            loaded = self._loaded
            there = item_id in loaded.model.catalog_.ids
            if item_id in loaded.base.catalog_.ids:
                raise ConflictError(
                    f"item {item_id!r} is of the training catalog; what it is can only be changed by training again"
                )
            if there and not replacing and loaded.allowed[loaded.model.catalog_.ids.row(item_id)]:
                raise ConflictError(f"item {item_id!r} exists; to replace it, use PUT")
            self._check_modalities(loaded.model, texts, media or {})
            columns = {name: text for name, text in texts.items() if text.strip()}
            for name, (file, filename) in (media or {}).items():
                columns[name] = self.media.keep(file, filename, loaded.model.catalog_.columns[name].modality)
            given = {name: tuple(map(float, vector)) for name, vector in (vectors or {}).items()}
            item = StoredItem(item_id=item_id, columns=columns, vectors=given, added=time.time())
            check_item(loaded.model, item)
            if there:  # vectors and edges of the old one have to go: from the trained model on
                others = [other for other in self.store.items() if other.item_id != item_id]
                followed_by(loaded.base, [item], self.media.root)  # raises where it cannot be used
                changed = with_items(loaded.base, loaded.manifest, [*others, item], self.media.root)
            else:
                model = followed_by(loaded.model, [item], self.media.root)
                allowed = np.append(loaded.allowed, True)
                changed = replace(loaded, model=model, allowed=allowed, reranked={})
            self.store.put_item(item)
            self._serve(changed)
            return item

    def remove_item(self, item_id: str) -> None:
        """Item id → it is not shown any more, whether it was trained or added. Raises `UnknownIdError`."""
        with self._changing:
            loaded = self._loaded
            row = self._check_there(loaded, item_id)
            known = next((item for item in self.store.items() if item.item_id == item_id), StoredItem(item_id=item_id))
            self.store.put_item(replace(known, removed=True))
            allowed = loaded.allowed.copy()
            allowed[row] = False
            self._serve(replace(loaded, allowed=allowed, reranked={}))

    def _check_there(self, loaded: Loaded, item: str) -> int:
        row = loaded.model.catalog_.ids.row(item)
        if not loaded.allowed[row]:
            raise UnknownIdError(f"item {item!r} was removed")
        return row

    def _check_modalities(self, model: Recommender, texts: Mapping[str, str], media: Mapping[str, Upload]) -> None:
        columns = model.catalog_.columns
        for name in (*texts, *media):
            if name not in columns:
                raise OptionError(
                    f"no column {name!r}{did_you_mean(name, columns)} The model has: {', '.join(columns) or 'none'}."
                )
            is_file = columns[name].modality in MEDIA
            if is_file != (name in media):
                expected = f"a file of {columns[name].modality}" if is_file else "a text, not a file"
                raise OptionError(f"column {name!r}: expected {expected}")

    def about(self) -> dict[str, Any]:
        """What serves, as JSON: the model, its columns and vectors, what it can do with new events and items."""
        loaded = self._loaded
        model, manifest = loaded.model, loaded.manifest
        n_base = loaded.base.catalog_.n_items
        return {
            "name": type(model).__name__,
            "options": manifest["model"]["options"],
            "made_with": manifest.get("made_with", ""),
            "about": manifest.get("about", {}),
            "loaded": loaded.since,
            "n_users": len(model.users_),
            "n_items": int(loaded.allowed.sum()),
            "n_items_added": int(loaded.allowed[n_base:].sum()),
            "n_items_removed": int((~loaded.allowed).sum()),
            "items_skipped": dict(loaded.skipped),
            "columns": {name: column.modality for name, column in model.catalog_.columns.items()},
            "vectors": {
                name: {"modality": e.modality, "dim": e.dim, "n_items": int(e.present.sum())}
                for name, e in model.embeddings_.items()
            },
            "vectors_to_give": given_vectors(model),
            "folds_events": loaded.folds_events,
            "takes_items": loaded.takes_items,
            "store": self.store.kind,
        }

    def close(self) -> None:
        """Wait for changes under way, and let go of the store."""
        with self._changing:
            self.store.close()


def _history_of(model: Recommender, row: int, liked: Rows, disliked: Rows) -> Rows:
    """A user's row, or -1, and item rows of events → item rows of what he went for, the oldest first."""
    if row >= 0:
        liked = np.concatenate([model.history.of_user(row)[0], liked])
    return liked[~np.isin(liked, disliked)] if len(disliked) else liked
