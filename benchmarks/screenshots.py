"""Pictures of the pages for the README, by Debian's Chromium, from a server of the toy shop that runs.

python benchmarks/screenshots.py http://127.0.0.1:8000 docs/images     home, item, user and map
python benchmarks/screenshots.py http://127.0.0.1:8000 FOLDER --all    every page, also as on a phone, and dark
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PAGES = {"home": "/", "item": "/items/item-7", "user": "/users/user-7", "map": "/map"}
MORE = {"search": "/search?text=silver+lantern", "report": "/report", "add": "/add"}
CHROMIUM = "/usr/bin/chromium"


def shoot(address, folder, everything):
    looks = {"": (1280, 800, "light")}
    if everything:
        looks |= {"-dark": (1280, 800, "dark"), "-phone": (375, 740, "light")}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for end, (width, height, scheme) in looks.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            for name, path in (PAGES | (MORE if everything else {})).items():
                page.goto(address + path, wait_until="networkidle")
                page.wait_for_selector("[data-making]", state="detached", timeout=120_000)
                if name == "map":
                    page.wait_for_selector("#map[data-ready]", timeout=120_000)
                    page.locator("#map").focus()
                    for _ in range(12):
                        page.keyboard.press("n")
                    page.wait_for_timeout(6_000)
                place = folder / f"page-{name}{end}.png"
                page.screenshot(path=place, full_page=everything and name != "map")
                if not everything:  # few colors make a file that a README can hold
                    picture = Image.open(place).convert("RGB").quantize(128, dither=Image.Dither.NONE)
                    picture.save(place, optimize=True)
                    print(f"{place}: {place.stat().st_size // 1000} KB")
            page.close()
        browser.close()


if __name__ == "__main__":
    shoot(sys.argv[1].rstrip("/"), Path(sys.argv[2]), "--all" in sys.argv)
