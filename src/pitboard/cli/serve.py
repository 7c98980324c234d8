"""The `pitboard serve` command."""

import contextlib
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    store: Annotated[
        Path | None, typer.Option(help="The store of results.", show_default="the default store")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="A host name that readers use; repeat for more.", show_default="this machine's own"
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="The address by which readers come, such as https://pitboard.example.org/, where a proxy"
            " stands before this server.",
            show_default="that of each request",
        ),
    ] = None,
) -> None:
    """Serve the pages and the JSON API until Ctrl-C; to this machine alone unless told otherwise."""
    import uvicorn

    from pitboard.web.addresses import at_root
    from pitboard.web.app import create_app
    from pitboard.web.checking import sweep
    from pitboard.web.connections import GuardedProtocol

    sweep()
    base = at_root(base_url)
    hosts = [*(name or []), *([] if host in ("0.0.0.0", "::") else [_bracketed(host)])]
    listening = _listen(host, port)
    address = f"http://{_bracketed(host)}:{listening.getsockname()[1]}/"
    app = create_app(store, hosts, base_address=base)
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=64 << 10,
    )
    Thread(target=_prepare, args=[app], daemon=True).start()
    typer.echo(f"Pitboard serves {address} (Ctrl-C ends it)")
    # uvicorn raises Ctrl-C again once it has ended all requests; there is nothing left to say.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _prepare(app: "FastAPI") -> None:
    """Do what the first readers would wait for, and spare the garbage collector what stays."""
    import gc

    from pitboard.errors import PitboardError
    from pitboard.web.asking import ask
    from pitboard.web.rendering import compile_templates

    compile_templates()
    # FastAPI completes its routes when they are first held against a path.
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []})
    with contextlib.suppress(PitboardError):  # of a damaged store: its pages say so
        ask(app.state.store_handle.store(), "entries", {})
    gc.collect()
    gc.freeze()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> "socket.socket":
    """Listen before anything is printed, so that a port in use is an error of one sentence."""
    import socket

    from pitboard.errors import PitboardError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches Nagle's delay off only where it sees that this is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
        return listening
    except OSError as error:
        listening.close()
        reason = (error.strerror or str(error)).lower()
        raise PitboardError(f"Cannot listen on {host}, port {port}: {reason}. Try another --port.") from error
