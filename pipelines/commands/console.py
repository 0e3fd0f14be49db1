"""`console`: the pages in a browser, and the people who may see them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console_users
from .options import CONSOLE, WATCHED, WatchedOut, for_linux, host_and_port, store_address

app = typer.Typer()
console = typer.Typer(invoke_without_command=True)
app.add_typer(console, name="console")
console.add_typer(console_users.group, name="user")


@console.callback(
    epilog="Examples:\n\n"
    "msflow-stream console --out watched\n\n"
    "msflow-stream console --out watched --http 0.0.0.0:9841\n\n"
    "msflow-stream console --out watched --prefix /cameras",
)
def serve(
    context: typer.Context,
    out: WatchedOut = WATCHED,
    http: Annotated[str, typer.Option(help="HOST:PORT of the pages.")] = CONSOLE,
    prefix: Annotated[
        str,
        typer.Option(
            help="Path below which a reverse proxy shows the pages, such as /cameras; auto: as it says itself."
        ),
    ] = "",
    cameras: Annotated[Path | None, typer.Option(help="Cameras file.", show_default="that of the watch")] = None,
    scenes: Annotated[
        Path | None, typer.Option(help="Folder that holds the scenes.", show_default="that of the watch")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="MSFLOW_STORE", help="Database of the events and people.", show_default="that of the watch"
        ),
    ] = None,
    attached: Annotated[bool, typer.Option("--attached", hidden=True)] = False,
) -> None:
    """Serves the console: live cameras, events and their labels, thresholds and areas, in a browser.

    It is a process of its own: whatever becomes of it, the watch goes on. `watch --console` begins it, too.
    """
    if context.invoked_subcommand is not None:
        return
    for_linux("the console of a watch")
    address = host_and_port(http, "--http")
    from ..console_process import check_installed

    check_installed()
    from ..console import ConsoleJob
    from ..console import serve as run

    run(
        ConsoleJob(
            out=out,
            address=address,
            prefix=prefix,
            cameras=cameras,
            scenes=scenes,
            store=None if store is None else store_address(store),
            attached=attached,
        )
    )
