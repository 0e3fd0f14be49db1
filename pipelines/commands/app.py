"""The console command: assembles the commands, and turns errors into exit codes."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from typer.core import TyperGroup

from msflow_stream import __version__
from msflow_stream.cores import share_cores
from msflow_stream.types import UserError

from ..terminal.consoles import be_quiet, plain_if_asked
from . import bench, console, demo, evaluate, events, fit, record, scenes, score, watch, weights, work

EXIT_CODES = {
    0: "done; a watch or a console that was asked to end",
    1: "`doctor` found that something is missing; or an internal error, with its traceback; or nobody reads the output",
    2: "what a person can mend: a wrong option, a file that is not there, a full disk, a cluster that is lost, a "
    "source, class or scene that failed beside others, a camera that `watch --check` cannot open, weights that "
    "`weights check` finds damaged",
    130: "Ctrl-C: what is complete is kept",
}
BOTH = ("quiet",)  # options that may stand before the verb and after it


class Verbs(TyperGroup):
    """The verbs at the top, all of which also take those options of the top that may stand after a verb."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        shared = [option for option in self.params if option.name in BOTH]
        for command in _below(self):
            command.params += shared


def _below(group: TyperGroup) -> Iterator[Any]:
    """Yields the commands and groups of a group, and theirs."""
    for command in group.commands.values():
        yield command
        if isinstance(command, TyperGroup):
            yield from _below(command)


def _codes(codes: Mapping[int, str]) -> str:
    return "\n\n".join(f"{code}: {meaning}." for code, meaning in codes.items())


app = typer.Typer(
    cls=Verbs,
    help="Finds violations in fixed-camera video: fit a scene on normal footage, then score videos and cameras.",
    epilog=f"Start with: msflow-stream demo\n\nExit codes:\n\n{_codes(EXIT_CODES)}",
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


def _quiet(wanted: bool) -> None:
    if wanted:
        be_quiet()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Shows the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Logs what happens inside.")] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_quiet,
            expose_value=False,
            help="Shows no progress bars and no summaries, but listings, warnings and errors.",
        ),
    ] = False,
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
    _print_what_can_be()
    with plain_if_asked():
        try:
            copy_context().run(app)  # a copy: what one command silences, the next in this process does not
        except (UserError, OSError) as error:  # of a full disk, and the like, the system's own words say it
            Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)


def _print_what_can_be() -> None:
    """Has question marks stand for characters that the output lacks, such as arrows in a file on Windows."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        sys.stdout.reconfigure(errors="replace")


if __name__ == "__main__":
    main()
