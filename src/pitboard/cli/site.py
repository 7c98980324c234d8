"""The `pitboard site` commands."""

from pathlib import Path
from typing import Annotated

import typer

from pitboard.text import printable


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    site = typer.Typer(help="Write the pages as a static site.", no_args_is_help=True)
    site.callback()(_site)
    site.command()(build)
    app.add_typer(site, name="site")


def _site() -> None:
    """Write the pages as a static site."""


def build(
    folder: Annotated[Path, typer.Argument(help="The site's folder: a new one, or an earlier site's.")],
    store: Annotated[
        Path | None, typer.Option(help="The store of results.", show_default="the default store")
    ] = None,
    rounds: Annotated[
        list[str] | None,
        typer.Option(
            "--round", help="Only this round, such as 5.1; repeat for more.", show_default="all of the store"
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Where readers will find the site, such as https://example.org/pitboard/: for link previews,"
            " the map of the site, embedded charts and the page of a missing page.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write every page into a folder that any web server can serve, and a browser can open from disk."""
    from pitboard.suite.rounds import find_round
    from pitboard.web import site
    from pitboard.web.addresses import base_address
    from pitboard.web.app import create_app

    known = [find_round(each).version for each in rounds or ()]
    app = create_app(store, frozen=True, base_address=base_address(base_url), rounds=known)
    count = site.build(app, folder)
    typer.echo(printable(f"Wrote {count:,} files to {folder}; open {folder / 'index.html'}"))
