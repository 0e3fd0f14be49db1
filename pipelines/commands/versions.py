"""`scenes history`, `teach`, `compare`, `promote`, `rollback` and `discard`: what scenes learn after their fit."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.console import Console

from ..terminal.consoles import summary_console
from .options import SCENES, WATCHED, Device, ListForm, Scenes, StoreUrl, WatchedOut, events_store, scene_path

app = typer.Typer()
Name = Annotated[str, typer.Argument(help="Name of the scene.")]


@app.command("history")
def history(name: Name, scenes: Scenes = SCENES, form: ListForm = "table") -> None:
    """Shows the versions of a scene: how each came about, when, and by whom."""
    from ..teach import history as run

    run(scene_path(scenes, name), Console(), form)


@app.command(
    "teach",
    epilog="Examples:\n\n"
    "msflow-stream events label gate-20261123T232138 normal\n\n"
    "msflow-stream scenes teach gate\n\n"
    "msflow-stream scenes promote gate",
)
def teach(
    name: Name,
    scenes: Scenes = SCENES,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
    device: Device = "auto",
) -> None:
    """Fits a candidate now, from what was normal before and the events that are labelled normal.

    It is compared with the live scene on all that is known: violations must still alarm, normals must not. Ctrl-C keeps
    what is done; the same command goes on.
    """
    from ..teach import TeachJob
    from ..teach import teach as run

    job = TeachJob(scene=scene_path(scenes, name), store=events_store(store, out), out=out, device=device, by=_login())
    run(job, summary_console())


@app.command("compare")
def compare(
    name: Name,
    version: Annotated[
        int | None, typer.Argument(min=1, help="Version; the candidate or the last that was compared if not given.")
    ] = None,
    scenes: Scenes = SCENES,
) -> None:
    """Shows what a candidate and the live scene say to all labelled events, and to normal frames."""
    from ..teach import compare as run

    run(scene_path(scenes, name), version, Console())


@app.command("promote")
def promote(
    name: Name,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also if it was not tried on the newest violations.")
    ] = False,
    scenes: Scenes = SCENES,
) -> None:
    """Makes the candidate the scene that is watched; a running watch takes it up within half a minute."""
    from ..teach import promote as run

    run(scene_path(scenes, name), _login(), anyway, summary_console())


@app.command("rollback")
def rollback(
    name: Name,
    version: Annotated[
        int | None, typer.Option("--to", min=1, help="Version; the one that was live before if not given.")
    ] = None,
    scenes: Scenes = SCENES,
) -> None:
    """Makes an earlier version live again, with scores identical to what they were."""
    from ..teach import rollback as run

    run(scene_path(scenes, name), _login(), version, summary_console())


@app.command("discard")
def discard(name: Name, scenes: Scenes = SCENES) -> None:
    """Drops the candidate; what was taught stays, and teaches the next one."""
    from ..teach import discard as run

    run(scene_path(scenes, name), _login(), summary_console())


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in containers
        return "command line"
