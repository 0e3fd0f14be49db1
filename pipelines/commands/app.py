"""The console command: assembles the commands, and turns errors into exit codes."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from msflow_stream import __version__
from msflow_stream.cores import share_cores
from msflow_stream.types import UserError

from . import bench, console, demo, evaluate, events, fit, record, scenes, score, watch, weights, work

app = typer.Typer(
    help="Finds violations in fixed-camera video: fit a scene on normal footage, then score videos and cameras.",
    epilog="Start with: msflow-stream demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (record, fit, score, watch, console, events, scenes, evaluate, weights, bench, demo, work):
    app.add_typer(commands.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"msflow-stream {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Shows the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Logs what happens inside.")] = False,
) -> None:
    """Options that come before the verb."""
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("timm").setLevel(logging.ERROR)  # it warns of each key of the head, which features do not need
    if verbose:
        logging.getLogger("msflow_stream").setLevel(logging.DEBUG)


def main() -> None:
    """The console command: one line and exit code 2 for what a person can mend, 130 after Ctrl-C."""
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # frames are beside one another already
    share_cores()
    try:
        app()
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder without permission: the system's own words say it
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
