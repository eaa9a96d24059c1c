"""Seconds from `POST /v1/items`, a title and a photo, until the item is found by search and is in a user's list.

python benchmarks/new_item_http.py      a served toy shop of 300 items, one item after another
"""

import json
import tempfile
import time
from http.client import HTTPConnection

from served import Served
from uploads import form

ITEMS = 10


def ask(served, method, path, body=b"", kind="application/json"):
    connection = HTTPConnection("127.0.0.1", served.port)
    connection.request(method, path, body, {"Authorization": f"Bearer {served.key}", "Content-Type": kind})
    told = json.loads(connection.getresponse().read())
    connection.close()
    return [item["item_id"] for item in told["items"]] if "items" in told else told["item_id"]


def main():
    with tempfile.TemporaryDirectory() as place:
        served = Served(place)
        served.start()
        try:
            photos = [path for row in range(40) if (path := served.shop.catalog.path("photo", row))]
            for n in range(ITEMS):
                item, title = f"new-{n}", served.shop.catalog.title(n)  # words that TfidfText knows
                fields = {"item_id": item, "title": title}
                start = time.perf_counter()
                body = form(fields, "photo", photos[n].name, photos[n].read_bytes())
                assert ask(served, "POST", "/v1/items", body, "multipart/form-data; boundary=x") == item
                posted = time.perf_counter()
                found = ask(served, "POST", "/v1/search", json.dumps({"text": title, "k": 300}).encode())
                searched = time.perf_counter()
                listed = ask(served, "GET", "/v1/users/user-7/recommendations?k=400")
                end = time.perf_counter()
                print(
                    f"{item}: posted {posted - start:.2f} s, found {searched - start:.2f} s, listed {end - start:.2f} s"
                    f"; place {found.index(item) + 1} of the search, {listed.index(item) + 1} of the list"
                )
        finally:
            served.stop()


if __name__ == "__main__":
    main()
