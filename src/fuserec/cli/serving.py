"""Commands that serve a model: the server, its keys, and a new model for it."""

from pathlib import Path
from typing import Annotated

import typer

from fuserec.cli.options import Json, K, Model, app
from fuserec.errors import ArtifactError, MissingExtraError

Address = Annotated[
    str | None,
    typer.Option("--store", help="sqlite:///FILE, redis://HOST:PORT/NUMBER or mongodb://HOST:PORT/DATABASE"),
]
keys = typer.Typer(no_args_is_help=True, help="API keys: add, list, revoke. Example: fuserec keys add shop-model")
app.add_typer(keys, name="keys")


def _place(model: Path) -> Path:
    """The folder beside a model folder, which outlives it, for what its service keeps."""
    return model.absolute().parent / f"{model.absolute().name}-service"


def _store_of(model: Path, address: str | None) -> str:
    return address or f"sqlite:///{_place(model) / 'store.sqlite'}"


@app.command()
def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="where to listen; the default is this machine alone")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    store: Address = None,
    media: Annotated[
        Path | None, typer.Option(help="folder for media of new items; default: MODEL-service/media")
    ] = None,
    read_keys: Annotated[bool, typer.Option("--read-keys", help="reading needs an API key, too")] = False,
    rate: Annotated[str, typer.Option(help="requests of a key, or of an address without one")] = "1000/second",
    heavy_rate: Annotated[str, typer.Option(help="the same for searches, uploads and changes")] = "20/second",
    megabytes: Annotated[float, typer.Option(help="of an uploaded file", min=0.001)] = 20.0,
    pixels: Annotated[int, typer.Option(help="of an uploaded picture", min=1)] = 24_000_000,
    seconds: Annotated[float, typer.Option(help="of an uploaded sound or video", min=0.1)] = 120.0,
) -> None:
    """Answer over HTTP: recommendations, similar items, search; take events and new items.

    Example: fuserec serve shop-model --port 8000 --store sqlite:///shop.sqlite
    """
    from fuserec.cli import console
    from fuserec.data.media import Limits
    from fuserec.serving.media import MediaFolder
    from fuserec.serving.service import Service
    from fuserec.serving.stores.store import open_store, without_password

    try:
        from fuserec.serving.http.app import make_app
        from fuserec.serving.http.security import Rules
        from fuserec.serving.http.server import few_arenas
        from fuserec.serving.http.server import serve as run
    except ImportError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fuserec[serve]'") from None

    few_arenas()
    address = _store_of(model, store)
    folder = MediaFolder(media or _place(model) / "media", Limits(megabytes=megabytes, pixels=pixels, seconds=seconds))
    opened = open_store(address)
    rules = Rules(read_keys=read_keys, rate=rate, heavy_rate=heavy_rate)
    application = make_app(Service(model, opened, folder), rules)
    console.note(f"serving {model} on http://{host}:{port}, store {without_password(address)}")
    if not opened.keys():
        option = "" if store is None else f" --store {without_password(address)}"
        console.note(f"nothing can be written yet: make a key with: fuserec keys add {model}{option}")
    run(application, host, port)


@app.command()
def reload(
    url: Annotated[str, typer.Argument(help="where the server is")] = "http://127.0.0.1:8000", json: Json = False
) -> None:
    """Let a running server read its model folder again; the key comes from the variable FUSEREC_KEY.

    Example: FUSEREC_KEY=fuserec_... fuserec reload http://127.0.0.1:8000
    """
    from fuserec.cli import console

    try:
        from fuserec.serving.http.server import ask_to_reload
    except ImportError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fuserec[serve]'") from None

    told = ask_to_reload(url)
    if json:
        console.print_json(told)
    else:
        console.say(
            f"{url} serves {told['name']} with {told['n_items']:,} items, {told['n_items_added']:,} added online"
        )


@app.command()
def export(
    model: Model,
    to: Annotated[str, typer.Argument(metavar="TO", help="FILE.parquet, redis://HOST:PORT/NUMBER or mongodb://...")],
    k: K = 10,
    json: Json = False,
) -> None:
    """Write the lists of all users, as trained; broken off, the same command goes on where it was.

    Example: fuserec export shop-model lists.parquet -k 20
    """
    from fuserec.cli import console
    from fuserec.serving.export import export as write
    from fuserec.serving.stores.store import without_password

    with console.working("exporting") as tell:
        n_users = write(model, to, k, on_progress=lambda done, total: tell("lists of users", done, total))
    told = without_password(to)
    if json:
        console.print_json({"to": told, "n_users": n_users, "k": k})
    else:
        console.say(f"{told}: lists of {n_users:,} users")


@keys.command("add")
def add(
    model: Model,
    scope: Annotated[list[str] | None, typer.Option(help="read, write; may be repeated; default: both")] = None,
    note: Annotated[str, typer.Option(help="what it is for")] = "",
    store: Address = None,
) -> None:
    """Make an API key and print it, once: only its hash is kept.

    Example: fuserec keys add shop-model --scope write --note "the shop's backend"
    """
    from fuserec.cli import console
    from fuserec.serving.keys import add_key
    from fuserec.serving.stores.store import open_store

    if not model.is_dir():
        raise ArtifactError(f"{model} is not a folder; expected the model whose server takes the key")
    opened = open_store(_store_of(model, store))
    secret, key = add_key(opened, scope or ["read", "write"], note)
    opened.close()
    console.say(secret)
    console.note(f"key {key.key_id} with {', '.join(sorted(key.scopes))}; it cannot be shown again")


@keys.command("list")
def list_keys(model: Model, store: Address = None, json: Json = False) -> None:
    """The API keys there are, without their secrets.

    Example: fuserec keys list shop-model
    """
    import time

    from fuserec.cli import console
    from fuserec.serving.stores.store import open_store

    opened = open_store(_store_of(model, store))
    found = [(key.key_id, sorted(key.scopes), key.note, key.created) for key in opened.keys()]
    opened.close()
    if json:
        names = ("key_id", "scopes", "note", "created")
        console.print_json({"keys": [dict(zip(names, row, strict=True)) for row in found]})
        return
    rows = [[i, ", ".join(s), n, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(c))] for i, s, n, c in found]
    console.print_table(["key", "scopes", "note", "created"], rows)


@keys.command("revoke")
def revoke(
    model: Model, key: Annotated[str, typer.Argument(help="a key id, as `list` shows it")], store: Address = None
) -> None:
    """Let an API key count no more, within five seconds.

    Example: fuserec keys revoke shop-model 1a2b3c4d5e6f
    """
    from fuserec.cli import console
    from fuserec.serving.keys import revoke_key
    from fuserec.serving.stores.store import open_store

    opened = open_store(_store_of(model, store))
    revoke_key(opened, key)
    opened.close()
    console.note(f"key {key} is revoked")
