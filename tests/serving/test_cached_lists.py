"""Lists that take long to make are cached in Redis: there after a restart, gone with the next event."""

import io

import pytest

from fuserec import make, save_model
from fuserec.serving.media import MediaFolder
from fuserec.serving.service import Service
from fuserec.serving.stores.redis import LISTS, SECONDS
from fuserec.serving.stores.store import Event, open_store

LISTS_OF = "fuserec:lists:{}"


def event(number, item="item-4", user="user-1"):
    return Event(event_id=str(number), user_id=user, item_id=item, time=1_700_000_000 + number)


@pytest.fixture
def redis(redis_address):
    """A client of the server, which is empty."""
    import redis

    with redis.Redis.from_url(redis_address, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def start(redis, redis_address, shop_model, tmp_path):
    """Starts a service on that server; one that was started before is not told, as one that was killed."""

    def started(folder=shop_model):
        stores.append(open_store(redis_address))
        return Service(folder, stores[-1], MediaFolder(tmp_path / "media"))

    stores = []
    yield started
    for store in stores:
        store.close()


@pytest.fixture
def started_again(start, monkeypatch):
    """A service that can make no list, so that what it answers was cached."""

    def started(*folder):
        service = start(*folder)
        monkeypatch.setattr(service, "_recommend", None)
        return service

    return started


def test_a_store_keeps_a_list_until_its_user_does_something_or_nothing_at_all(store):
    if store.kind != "redis":
        store.cache("user-1", "name", "list", 0)
        assert store.cached("user-1", "name") == (None, 0)
        return
    store.add_events([event(1), event(2, user="ü:1\n")])
    assert store.cached("user-1", "name") == (None, 1)
    store.cache("user-1", "name", "list", 1)
    store.cache("ü:1\n", "name", "红色\x00", 1)
    assert store.cached("user-1", "name") == ("list", 1) and store.cached("ü:1\n", "name") == ("红色\x00", 1)
    assert store.add_events([event(1), event(3, user="other")]) == [False, True]  # known, and of somebody else
    assert store.cached("user-1", "name") == ("list", 1) and store.cached("user-1", "other") == (None, 1)
    store.add_events([event(4)])
    assert store.cached("user-1", "name") == (None, 2)
    store.cache("user-1", "name", "late", 1)  # made before that event
    assert store.cached("user-1", "name") == (None, 2)


def test_lists_expire_and_a_user_has_a_few_only(start, redis):
    store = start().store
    for place in range(3 * LISTS):
        store.cache("user-1", str(place), "list", 0)
        assert redis.hlen(LISTS_OF.format("user-1")) <= LISTS
    assert store.cached("user-1", str(3 * LISTS - 1))[0] == "list"
    assert 0 < redis.ttl(LISTS_OF.format("user-1")) <= SECONDS
    assert redis.ttl("fuserec:history:user-1") == -2  # nothing was kept there


@pytest.mark.parametrize("asked", [{"explain": True}, {"diversity": 0.5}, {"explain": True, "exclude": ["item-2"]}])
def test_what_took_long_is_there_after_a_restart(asked, start, started_again):
    service = start()
    service.add_events([event(1)])
    made = [service.recommend(user, 7, **asked) for user in ("user-1", "user-2")]
    again = started_again()
    found = [again.recommend(user, 7, **asked) for user in ("user-1", "user-2")]
    assert [answer.json for answer in found] == [answer.json for answer in made]
    assert found[0].items.items == made[0].items.items and found[0].basis == made[0].basis == "history"
    with pytest.raises(TypeError):  # of another k, it would have to be made
        again.recommend("user-1", 8, **asked)


def test_what_is_quick_to_make_and_what_nobody_is_known_for_takes_no_place(start, redis):
    service = start()
    service.recommend("user-1", 5)
    service.recommend("nobody", 5, explain=True)
    assert not redis.keys(LISTS_OF.format("*"))
    service.recommend("user-1", 5, explain=True)
    assert redis.keys(LISTS_OF.format("*")) == [LISTS_OF.format("user-1")]


@pytest.mark.parametrize(
    "moment", ["before the history is read", "after the history is read", "after the list is made"]
)
def test_a_list_that_misses_an_event_is_never_cached(moment, start, monkeypatch):
    service, other = start(), start().store
    best = service.recommend("user-1", 1, explain=True).items.ids[0]
    history, recommend = service.store.history, service._recommend

    def at(wanted):
        if moment == wanted:
            other.add_events([event(1, best)])  # acknowledged by another thread, which has not dropped the place yet

    def slow_history(user):
        at("before the history is read")
        events = history(user)
        at("after the history is read")
        return events

    def slow_recommend(*asked):
        answer = recommend(*asked)
        at("after the list is made")
        return answer

    monkeypatch.setattr(service.store, "history", slow_history)
    monkeypatch.setattr(service, "_recommend", slow_recommend)
    made = service.recommend("user-1", 5, explain=True).items.ids
    assert (best in made) == (moment != "before the history is read")  # so the moment was met
    assert best not in start().recommend("user-1", 5, explain=True).items.ids


def test_events_items_and_another_model_count_after_a_restart(start, started_again, shop, tmp_path):
    service = start()
    first, second = service.recommend("user-1", 2, explain=True).items.ids
    service.add_events([event(1, first)])
    found = start().recommend("user-1", 2, explain=True).items.ids
    assert first not in found and second in found
    path = service.loaded.base.catalog_.path("photo", 3)
    service.add_item("new", {"title": "A silver lantern"}, {"photo": (io.BytesIO(path.read_bytes()), path.name)})
    for serving in (service, started_again()):
        assert "new" in serving.recommend("user-1", 41, explain=True).items.ids
    service.remove_item(second)
    assert second not in start().recommend("user-1", 41, explain=True).items.ids
    other = tmp_path / "other"
    save_model(make("recommender", "ContentWalk", {"content": 0.9}).fit(shop), other)
    before, service = start(), start(other)
    found = service.recommend("user-1", 41, explain=True)
    assert found.json == service._recommend(service.loaded, "user-1", 41, True, None, ()).json
    assert found.json != before.recommend("user-1", 41, explain=True).json


def test_a_cache_that_fails_fails_no_list(start, redis, caplog):
    service = start()
    expected = service.recommend("user-1", 5, explain=True)
    redis.hset(LISTS_OF.format("user-1"), redis.hkeys(LISTS_OF.format("user-1"))[0], '{"items": 3}')
    assert start().recommend("user-1", 5, explain=True).json == expected.json
    redis.set(LISTS_OF.format("user-2"), "not a hash")
    assert start().recommend("user-2", 5, explain=True).items.ids
    assert "no list is read from the cache (KeyError" in caplog.text and "WRONGTYPE" in caplog.text
    assert service.add_events([event(1, user="user-2")]) == [True]


def test_where_memory_is_limited_lists_give_way_and_events_stay(start, redis):
    store = start().store
    events = [event(place, user=f"user-{place}") for place in range(200)]
    redis.config_set("maxmemory-policy", "volatile-lru")
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 2_000_000)
    try:
        for one in events:
            store.add_events([one])
            store.cache(one.user_id, "name", "list" * 10_000, 1)
        assert 0 < len(redis.keys(LISTS_OF.format("*"))) < 100
        assert list(store.events()) == events
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", "noeviction")
