"""The jobs of `scenes history`, `teach`, `compare`, `promote`, `rollback` and `discard`: versions of a scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from msflow_stream.events.store import EventStore
from msflow_stream.files import make_folder
from msflow_stream.locks import take_lock
from msflow_stream.scenes.exchange import scene_identity
from msflow_stream.scenes.folder import read_record
from msflow_stream.teaching.layout import begun_file, teach_folder, wanted_file
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.sync import sync, untried_violations
from msflow_stream.teaching.taught import Taught
from msflow_stream.teaching.version_history import Version
from msflow_stream.teaching.versions import Versions
from msflow_stream.types import UserError

from .terminal.consoles import trouble_console
from .terminal.listing import Form, Row, print_rows
from .terminal.progress import number, progress, table

BY_RULE = "the rule teaching.fit"  # who asks for a candidate where no person does
LOCK = ".making.lock"
MOST_CHANGES = 20  # that are shown
VERSION_NAMES = (
    *("version", "state", "kept", "reason", "made", "by", "promoted", "promoted_by"),
    *("taught", "untried", "changes"),
)
PEAKS = "peak: the highest score in the event, where 0 is usual and 1 is the threshold"
NORMAL = {
    "frames": "held-out frames",
    "alarms": "alarms on them",
    "high": "their 0.99 quantile",
    "threshold": "threshold",
    "share": "  of the way from usual to the threshold",
}
Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachJob:
    """The request to fit a candidate now.

    Attributes:
        scene: the scene's folder.
        store: address of the events, whose labels are looked at first.
        out: folder that `watch` or `score` writes to.
        device: such as auto, cpu or cuda.
        by: who asks.
    """

    scene: Path
    store: str
    out: Path
    device: str
    by: str


def history(scene: Path, console: Console, form: Form = "table") -> None:
    """Prints the versions of a scene, and what was done with them."""
    read_record(scene)
    versions = Versions(scene)
    if form != "table":
        print_rows(console, form, VERSION_NAMES, [_version_values(versions, one, scene) for one in versions.entries])
        return
    rows = [_version_row(versions, one) for one in versions.entries]
    columns = ["version", "state", "how it came about", "made", "by", "live since", "put there by", "taught"]
    console.print(table(f"versions of {escape(scene.name)}", columns, rows))
    changes = versions.changes
    lines = [[_when(one.at), one.what, str(one.number), escape(one.by) or "–"] for one in changes[-MOST_CHANGES:]]
    console.print(table("what was done", ["when", "what", "version", "by"], lines))
    for event in untried_violations(scene):
        console.print(f"the candidate was not tried on the violation {escape(event.id)}: `scenes teach` makes another")


def teach(job: TeachJob, console: Console) -> None:
    """Fits a candidate of everything that is labelled, with a progress bar; Ctrl-C keeps what is done.

    Raises:
        UserError: no such scene, nothing to learn, or another program is at it.
    """
    read_record(job.scene)
    take_in_labels(job)
    _say_what_there_is(job.scene, console)
    with _bar() as tell:
        made = make(job.scene, device=job.device, tell=tell, by=job.by)
    _print_comparison(job.scene, made, console if made.state == "candidate" else trouble_console(console))
    if made.state == "candidate":
        name = escape(job.scene.name)
        console.print(f"make it live: msflow-stream scenes promote {name}", highlight=False, soft_wrap=True)


class BusyError(UserError):
    """Another program makes a candidate of the same scene."""


def make(scene: Path, *, device: str, tell: Tell, by: str | None = None) -> Version:
    """Fits a candidate of a scene, and proposes it; killed anywhere, the same call goes on.

    Args:
        scene: the scene's folder.
        device: such as auto, cpu or cuda.
        tell: told how far it is.
        by: who asked for it; None: who left the file that asks, else the rule.

    Raises:
        BusyError: another program is at it.
        UserError: there is nothing to learn.
    """
    from msflow_stream.teaching.fitting.candidate import clear, make_candidate

    with _alone(scene):
        with suppress(FileNotFoundError):  # who asks from now on asks for another one
            wanted_file(scene).rename(begun_file(scene))
        tell(Progress(stage="waiting"))
        asked = by or _who_asked(scene)
        live = None
        while live is None or live != scene_identity(scene):  # it was promoted, rolled back or calibrated meanwhile
            live = scene_identity(scene)
            made = make_candidate(scene, device=device, progress=tell, by=asked)
        version = Versions(scene).propose(made.staged, by=asked, taught=made.taught, comparison=made.comparison)
        begun_file(scene).unlink(missing_ok=True)
        clear(scene)
        tell(Progress(stage="done", done=1, of=1, text=_outcome(version)))
        return version


def take_in_labels(job: TeachJob) -> None:
    """Takes in what was labelled since, if there is a store."""
    with EventStore(job.store) as store:
        if store.file is None or store.file.is_file():
            sync(store, job.out, job.scene.parent, None)


def compare(scene: Path, chosen: int | None, console: Console) -> None:
    """Prints what the comparison of a version with the one that was live found: of the candidate if None, or the last.

    Raises:
        UserError: no such scene, or nothing was compared.
    """
    read_record(scene)
    versions = Versions(scene)
    compared = [one for one in versions.entries if one.comparison is not None and chosen in (None, one.number)]
    if not compared:
        which = "no version" if chosen is None else f"no version {chosen}"
        raise UserError(
            f"{scene.name} has {which} that was compared: `msflow-stream scenes teach {scene.name}` makes one"
        )
    _print_comparison(scene, versions.candidate if chosen is None and versions.candidate else compared[-1], console)


def promote(scene: Path, by: str, anyway: bool, console: Console) -> None:
    """Makes the candidate live.

    Raises:
        UserError: there is none, or it was not tried on a violation, and `anyway` is False.
    """
    read_record(scene)
    untried = untried_violations(scene)
    if untried and not anyway:
        ids = ", ".join(one.id for one in untried)
        raise UserError(
            f"the candidate was not tried on what was labelled a violation since ({ids}): "
            f"`msflow-stream scenes teach {scene.name}` makes another, or give --anyway"
        )
    version = Versions(scene).promote(by)
    back = f"back: msflow-stream scenes rollback {scene.name}"
    _say(console, f"version {version.number} of {scene.name} is live; {back}")


def rollback(scene: Path, by: str, to: int | None, console: Console) -> None:
    """Makes an earlier version live again.

    Raises:
        UserError: there is none.
    """
    versions = Versions(scene)
    if not versions.entries:
        read_record(scene)  # which says what there is
    version = versions.rollback(by, to)
    _say(console, f"version {version.number} of {scene.name} is live again")


def discard(scene: Path, by: str, console: Console) -> None:
    """Drops the candidate.

    Raises:
        UserError: there is none.
    """
    read_record(scene)
    version = Versions(scene).discard(by)
    _say(console, f"version {version.number} of {scene.name} is discarded; labels stay, and teach the next one")


def _version_row(versions: Versions, one: Version) -> list[str]:
    gone = one.state == "earlier" and versions.folder(one.number) is None
    since = "–" if one.promoted is None else _when(one.promoted)
    who = escape(one.promoted_by or "") or "–"
    state = f"{one.state}, not kept" if gone else one.state
    return [
        str(one.number),
        state,
        one.reason,
        _when(one.made),
        escape(one.by) or "–",
        since,
        who,
        str(len(one.taught)),
    ]


def _version_values(versions: Versions, one: Version, scene: Path) -> Row:
    changes = [
        {"at": done.at, "what": done.what, "by": done.by} for done in versions.changes if done.number == one.number
    ]
    untried = [event.id for event in untried_violations(scene)] if one.state == "candidate" else []
    return {
        "version": one.number,
        "state": one.state,
        "kept": versions.folder(one.number) is not None,
        "reason": one.reason,
        "made": one.made,
        "by": one.by,
        "promoted": one.promoted,
        "promoted_by": one.promoted_by,
        "taught": one.taught,
        "untried": untried,
        "changes": changes,
    }


def _print_comparison(scene: Path, version: Version, console: Console) -> None:
    comparison = version.comparison or {}
    base = "" if version.base is None else f" beside version {version.base}"
    console.print(
        f"version {version.number} of {escape(scene.name)}{base}: {version.state}", highlight=False, soft_wrap=True
    )
    for label, title in (("violations", "labelled a violation: must alarm"), ("normals", "labelled normal: must not")):
        if comparison.get(label):
            rows = [_event_row(one) for one in comparison[label]]
            console.print(table(title, ["event", "camera", "live", "peak", "candidate", "peak"], rows, PEAKS))
    if comparison.get("normal_scores"):
        console.print(table("scores of normal frames", ["", "live", "candidate"], _normal_rows(comparison)))
    for sentence in comparison.get("text", ()):
        console.print(escape(str(sentence)), highlight=False, soft_wrap=True)
    _warn(scene, version, console)


def _event_row(one: Mapping[str, Any]) -> list[str]:
    cells = [escape(str(one["event"])), escape(str(one.get("source", "")))]
    for which in ("live", "candidate"):
        heard = one.get(which) or {}
        cells += ["alarms" if heard.get("alarms") else "silent", number(heard.get("peak"), 2)]
    return cells


def _normal_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    found = comparison["normal_scores"]
    live, candidate = found.get("live") or {}, found.get("candidate") or {}
    rows = [[name, _value(live.get(key)), _value(candidate.get(key))] for key, name in NORMAL.items() if key in live]
    return [*rows, ["  times as before", "", f"{found['times']:g} of {found['most']:g}"]] if "times" in found else rows


def _value(value: float | None) -> str:
    return str(value) if isinstance(value, int) else number(value)


def _warn(scene: Path, version: Version, console: Console) -> None:
    live = Versions(scene).live
    if version.state != "candidate":
        return
    if live is not None and version.base not in (None, live.number):
        _say(trouble_console(console), f"the live scene is version {live.number} by now: it was not compared with that")
    for event in untried_violations(scene):
        _say(trouble_console(console), f"it was not tried on {event.id}, which was labelled a violation since")


def _say_what_there_is(scene: Path, console: Console) -> None:
    entries = Taught(scene).entries
    normal, violation = (sum(one.label == label for one in entries) for label in ("normal", "violation"))
    _say(console, f"{scene.name}: labelled normal: {normal}, labelled a violation: {violation}")
    for one in entries:
        if one.obstacle is not None:
            _say(trouble_console(console), f"{one.id}: {one.obstacle}")


def _outcome(version: Version) -> str:
    if version.state == "refused":
        return "; ".join(str(one.get("text")) for one in version.refusals)
    return f"version {version.number} waits as a candidate"


def is_being_made(scene: Path) -> bool:
    """Returns whether a program makes a candidate of a scene now."""
    if not (teach_folder(scene) / LOCK).exists():
        return False
    try:
        with _alone(scene):
            return False
    except BusyError:
        return True


@contextmanager
def _alone(scene: Path) -> Iterator[None]:
    """Keeps two programs from fitting candidates of one scene at once.

    Raises:
        BusyError: another one does.
    """
    make_folder(teach_folder(scene))
    with (teach_folder(scene) / LOCK).open("ab") as lock:
        if not take_lock(lock, wait=False):
            raise BusyError(
                f"a candidate of {scene.name} is being fitted already; "
                f"`msflow-stream scenes history {scene.name}` shows when it is there"
            )
        yield


def _who_asked(scene: Path) -> str:
    try:
        return str(json.loads(begun_file(scene).read_text(encoding="utf-8"))["by"])
    except (OSError, ValueError, TypeError, KeyError):
        return BY_RULE


@contextmanager
def _bar() -> Iterator[Tell]:
    """Yields what shows progress on stderr, a bar per stage."""
    with progress() as bars:
        tasks: dict[str, Any] = {}

        def tell(now: Progress) -> None:
            if now.stage == "waiting":
                return
            if now.stage not in tasks:
                tasks[now.stage] = bars.add_task(now.stage, total=now.of or None)
            bars.update(tasks[now.stage], completed=now.done, total=now.of or None)

        yield tell


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _say(console: Console, text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
