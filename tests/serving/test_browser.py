"""Pages in Chromium: no error, no foreign request, search, feedback, new items, keyboard, themes, phones, Chinese."""

import importlib.util
import re
import shutil
import socket
import threading
import time

import pytest

from fuserec.serving.http.app import make_app
from fuserec.serving.http.security import Rules
from fuserec.serving.keys import add_key

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(
        not CHROMIUM or not importlib.util.find_spec("playwright"),
        reason="needs Chromium (apt-get install chromium) and pip install playwright pyee",
    ),
    pytest.mark.filterwarnings("default"),
]
PAGES = ("/", "/items/item-7", "/users/user-7", "/search?text=silver+lantern", "/map", "/report", "/add")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def address(service, request):
    import uvicorn

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    app = make_app(service, Rules(heavy_rate="1000/second", read_keys=getattr(request, "param", False)))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def opened(browser, address):
    """A way to open a tab that fails the test on an error in the console or a request to another host."""
    told, contexts = [], []

    def new(**options):
        context = browser.new_context(viewport=options.pop("viewport", {"width": 1280, "height": 800}), **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: line.type == "error" and told.append(f"{page.url}: {line.text}"))
        page.on("pageerror", lambda error: told.append(f"{page.url}: {error}"))
        page.on("request", lambda asked: asked.url.startswith((address, "blob:", "data:")) or told.append(asked.url))
        return page

    yield new
    for context in contexts:
        context.close()
    assert not told


def until(page, expression, given=None):
    """`wait_for_function` without eval, which the pages' policy forbids."""
    for _ in range(200):
        if page.evaluate(expression, given):
            return
        time.sleep(0.05)
    raise AssertionError(expression)


GONE = "one => !document.querySelector(`#list [data-item='${one}']`)"


def shown(page):
    return page.eval_on_selector_all("#list [data-item]", "all => all.map(one => one.dataset.item)")


def test_every_page_loads_light_and_dark_and_fits_a_phone(opened, address):
    phone = {"width": 375, "height": 740}
    for options in ({"color_scheme": "light"}, {"color_scheme": "dark", "viewport": phone}):
        page = opened(**options)
        grounds = set()
        for path in PAGES:
            page.goto(address + path, wait_until="networkidle")
            wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1], (path, wide)
            unnamed = page.eval_on_selector_all(
                "button, a, input, select, textarea",
                """all => all.filter(one => one.offsetParent && !(one.textContent.trim() || one.ariaLabel || one.title
                    || one.labels?.length)).map(one => one.outerHTML)""",
            )
            assert not unnamed, (path, unnamed)
            assert page.locator("main h1").count() == 1 and page.locator("header nav").count() == 1
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            loaded = "all => all.filter(i => i.complete && !i.naturalWidth).length"
            assert page.eval_on_selector_all("img", loaded) == 0, path
        assert len(grounds) == 1
        page.click("#theme")
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") not in grounds


def test_words_and_a_picture_find_items_and_a_sound_plays(opened, address, service):
    page = opened()
    catalog = service.loaded.base.catalog_
    row = next(row for row in range(40) if catalog.path("photo", row) and catalog.path("jingle", row))
    page.goto(address)
    page.fill("#search-text", catalog.title(row))
    page.press("#search-text", "Enter")
    page.wait_for_url("**/search?text=*")
    assert catalog.title(row) in page.locator("#found .name").all_text_contents()[:3]
    page.goto(address)
    page.select_option("select[name=by]", "photo")
    page.set_input_files("#search-file", str(catalog.path("photo", row)))
    assert page.inner_text("#search-name") == catalog.path("photo", row).name
    page.click("#search button")
    page.wait_for_selector("#found")
    assert catalog.title(row) in page.locator("#found .name").all_text_contents()[:3]
    page.goto(f"{address}/items/{catalog.ids[row]}", wait_until="networkidle")
    assert page.eval_on_selector("audio", "sound => sound.play().then(() => sound.duration)") > 0.5


def test_feedback_and_diversity_change_the_list_with_the_keyboard_alone(opened, address, service):
    page = opened()
    secret, _ = add_key(service.store, ["write"])
    page.goto(f"{address}/users/user-7", wait_until="networkidle")
    before = shown(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "diversity"
    for _ in range(18):
        page.keyboard.press("ArrowRight")
    page.wait_for_url("**diversity=0.9*")
    until(page, "!document.querySelector('#list[aria-busy]')")
    assert shown(page) != before and page.get_attribute("#diversity", "aria-valuetext") == "90\u00a0%"
    page.keyboard.press("Home")
    until(
        page,
        "first => document.querySelector('#list [data-item]').dataset.item === first && !location.search",
        before[0],
    )
    until(page, "!document.querySelector('#list[aria-busy]')")  # else a list that comes later takes the focus away
    page.focus("#list [data-item] [data-kind=like]")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.type(secret)
    page.keyboard.press("Enter")
    until(page, GONE, before[0])
    assert [event.kind for event in service.store.history("user-7")] == ["like"]
    until(page, "document.activeElement.dataset.kind === 'like'")
    hidden = shown(page)[0]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the button beside it: hide
    until(page, GONE, hidden)
    assert [event.kind for event in service.store.history("user-7")] == ["like", "hide"]
    undo = page.locator(f"#past [data-item='{hidden}'] [data-kind=undo]")
    undo.focus()
    page.keyboard.press("Enter")
    until(page, "one => document.querySelector(`#list [data-item='${one}']`)", hidden)
    assert undo.count() == 0 and page.locator("#past [data-kind=undo]").count() == 1  # the like
    assert [event.kind for event in service.store.history("user-7")] == ["like", "hide", "undo"]
    assert page.context.cookies() == []


def test_a_new_item_is_added_and_shown_among_its_neighbours(opened, address, service):
    page = opened()
    secret, _ = add_key(service.store, ["write"])
    catalog = service.loaded.base.catalog_
    row = next(row for row in range(40) if catalog.path("photo", row))
    page.goto(f"{address}/add")
    page.fill("#item_id", "new/one")
    page.get_by_label("title").fill("<script>document.title = 'broken'</script> lantern")
    page.get_by_label("photo").set_input_files(str(catalog.path("photo", row)))
    page.click("#add button")
    page.fill("#key-field", secret)
    page.press("#key-field", "Enter")
    page.wait_for_url("**/items/new%2Fone")
    assert "<script>" in page.inner_text("h1") and page.title() != "broken"
    similar = page.locator("section[aria-label='by photo'] .name").all_text_contents()
    assert catalog.title(row) in similar[:2]
    assert page.eval_on_selector("img.hero", "image => image.naturalWidth") > 0


def test_the_map_zooms_pans_and_opens_items(opened, address):
    page = opened()
    page.goto(f"{address}/map")
    page.wait_for_selector("#map[data-ready]")
    page.focus("#map")
    page.keyboard.press("n")
    assert page.is_visible("#tip") and page.get_attribute("#tip", "href").startswith("/items/item-")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    view = page.evaluate("({...fuserecMap.view})")
    assert view["zoom"] == pytest.approx(1.4) and view["x"] < 0
    page.hover("#map", position={"x": 300, "y": 200})
    page.mouse.wheel(0, -400)
    until(page, "fuserecMap.view.zoom > 1.5")
    page.click("#zoom-all")
    assert page.evaluate("fuserecMap.view.zoom") == 1
    page.focus("#map")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/item-*")


def test_chinese_by_preference_and_by_the_switch(opened, address):
    page = opened(locale="zh-CN")
    page.goto(address)
    assert page.inner_text("header nav a[aria-current]") == "目录"
    page.click("header a[hreflang=en]")
    assert page.inner_text("header nav a[aria-current]") == "Catalog"
    page.goto(f"{address}/map")
    assert page.inner_text("header nav a[aria-current]") == "Map"
    assert [(one["name"], one["httpOnly"]) for one in page.context.cookies()] == [("lang", True)]


@pytest.mark.parametrize("address", [True], indirect=True)
def test_where_reading_needs_a_key_one_signs_in_goes_on_and_signs_out(opened, address, service):
    page = opened()
    secret, _ = add_key(service.store, ["read", "write"])
    page.goto(f"{address}/users/user-7?diversity=0.5")
    assert page.url.startswith(f"{address}/sign-in") and page.is_hidden("#key-open")
    page.keyboard.type(secret)  # the field has the focus
    page.keyboard.press("Enter")
    page.wait_for_url("**/users/user-7?diversity=0.5")
    assert shown(page) and page.evaluate("document.cookie") == ""
    assert [(one["name"], one["httpOnly"], one["sameSite"]) for one in page.context.cookies()] == [
        ("fuserec_key", True, "Strict")
    ]
    for path in PAGES:
        page.goto(address + path, wait_until="networkidle")
        assert page.is_visible("#sign-out"), path
    page.wait_for_selector("form#add")
    page.click("#sign-out button")
    page.wait_for_url("**/sign-in")
    assert page.context.cookies() == []
    page.goto(f"{address}/map")
    assert "/sign-in" in page.url
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]


def test_ten_thousand_items_stay_smooth(opened, address):
    """Frames are drawn one after another: what is measured is the script and the canvas, not the screen's rate."""
    import numpy as np

    draws = np.random.default_rng(0)
    n = 10_000
    made = {
        "by": "fused", "method": "PCA", "n_left_out": 0, "item_ids": [f"i{row}" for row in range(n)],
        "titles": [f"item {row}" for row in range(n)], "pictures": [None] * n,
        "clusters": [{"name": f"c{label}", "n_items": 1, "typical": []} for label in range(12)],
        "x": draws.uniform(-1, 1, n).tolist(), "y": draws.uniform(-1, 1, n).tolist(),
        "cluster": draws.integers(0, 12, n).tolist(),
    }  # fmt: skip
    page = opened()
    page.route("**/map.json", lambda route: route.fulfill(json=made))
    page.goto(f"{address}/map")
    page.wait_for_selector("#map[data-ready='10000']")
    rate = page.evaluate(
        """async () => {
            let n = 0, best = 0, begun = performance.now(), before = 0;
            for (const end = begun + 4000; performance.now() < end; ) {
                fuserecMap.pan(n % 2 ? 4 : -4, 1);
                fuserecMap.zoomBy(n % 2 ? 1.02 : 1 / 1.02);
                await new Promise(requestAnimationFrame);
                n++;
                const passed = performance.now() - begun;
                if (passed > 500) { // the best half second: others work on the same cores
                    best = Math.max(best, (1000 * (n - before)) / passed);
                    [begun, before] = [performance.now(), n];
                }
            }
            return best;
        }"""
    )
    assert rate > 15, rate  # without a graphics card
    assert re.match(r"PCA", page.inner_text("#map-method"))


def test_what_is_still_being_computed_is_said_and_then_shown(opened, address, service, monkeypatch):
    from fuserec.serving import service as module

    go, really = threading.Event(), module.aspects_of
    monkeypatch.setattr(module, "aspects_of", lambda model: go.wait(30) and really(model))
    page = opened()
    for path, part in (("/items/item-7", "#grouped"), ("/users/user-7", "#interest")):
        page.goto(address + path)
        assert "being computed" in page.inner_text(part)
    go.set()
    until(page, "!document.querySelector('[data-making]')")
    assert "being computed" not in page.inner_text("#interest")
    assert page.locator("#interest .panel, #interest p").count() > 0
    page.goto(f"{address}/map")
    page.wait_for_selector("#map[data-ready]")
    assert page.locator("#making").count() == 0
