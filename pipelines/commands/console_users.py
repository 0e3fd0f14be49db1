"""`console user`: people who may sign in to the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ..terminal.consoles import summary_console
from .options import WATCHED, ListForm, StoreUrl, WatchedOut, store_address

group = typer.Typer(
    help="Adds, lists, changes and removes people who may sign in to the console. Passwords are asked for, or read as "
    "one line from standard input.",
    no_args_is_help=True,
)

UserName = Annotated[str, typer.Argument(help="Name of the user.")]
RoleName = Literal["viewer", "operator", "admin"]
ROLES = "A viewer looks, an operator also labels, tunes and draws, an admin also manages people and alerts."


@group.command("add", epilog="Example: msflow-stream console user add ann --role operator --cameras gate,yard")
def add_user(
    name: UserName,
    role: Annotated[RoleName, typer.Option(help=ROLES)] = "viewer",
    cameras: Annotated[str, typer.Option(help="Names of the cameras that they may see, joined by commas.")] = "all",
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Adds a user; from then on everybody has to sign in."""
    from msflow_stream.web.access.roles import Role

    from ..console_users import add, camera_names

    add(_store(store, out), name, Role(role), camera_names(cameras), summary_console())


@group.command("list")
def list_users(out: WatchedOut = WATCHED, store: StoreUrl = None, form: ListForm = "table") -> None:
    """Lists the users, with their roles and cameras."""
    from ..console_users import list_users as run

    run(_store(store, out), Console(), form)


@group.command("remove")
def remove_user(name: UserName, out: WatchedOut = WATCHED, store: StoreUrl = None) -> None:
    """Removes a user and ends their sessions."""
    from ..console_users import remove

    remove(_store(store, out), name, summary_console())


@group.command("role", epilog="Example: msflow-stream console user role ann admin")
def set_role(
    name: UserName,
    role: Annotated[RoleName, typer.Argument(help=ROLES)],
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Changes what a user may do; they have to sign in again."""
    from msflow_stream.web.access.roles import Role

    from ..console_users import set_role as run

    run(_store(store, out), name, Role(role), summary_console())


@group.command("cameras", epilog="Example: msflow-stream console user cameras ann gate,yard")
def set_cameras(
    name: UserName,
    cameras: Annotated[str, typer.Argument(help="Names of cameras joined by commas, or all.")],
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Changes which cameras a user may see."""
    from ..console_users import camera_names
    from ..console_users import set_cameras as run

    run(_store(store, out), name, camera_names(cameras), summary_console())


@group.command("password")
def set_password(name: UserName, out: WatchedOut = WATCHED, store: StoreUrl = None) -> None:
    """Changes a user's password, and signs them out everywhere."""
    from ..console_users import set_password as run

    run(_store(store, out), name, summary_console())


@group.command("sign-out")
def sign_out(name: UserName, out: WatchedOut = WATCHED, store: StoreUrl = None) -> None:
    """Signs a user out in all browsers."""
    from ..console_users import sign_out as run

    run(_store(store, out), name, summary_console())


def _store(store: str | None, out: Path) -> str:
    """Returns the address of the database that the console uses."""
    from ..console_users import store_of

    return store_of(None if store is None else store_address(store), out)
