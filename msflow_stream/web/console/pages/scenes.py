"""Scenes: their versions, the candidate beside the live one, what was taught, and what a person does about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.files import write_json
from msflow_stream.results.wording import every
from msflow_stream.results.wording import span as span_text
from msflow_stream.scenes.exchange import scene_lock
from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.teaching.layout import teach_folder, wanted_file
from msflow_stream.teaching.shadow import Shadow, shadow_folder
from msflow_stream.teaching.sync import untried_violations
from msflow_stream.teaching.taught import Taught
from msflow_stream.teaching.version_history import Version
from msflow_stream.teaching.versions import Versions
from msflow_stream.types import UserError
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import iso
from msflow_stream.web.console.normal_here import forget_other_labels, told
from msflow_stream.web.console.pages.event_files import A_DAY, small_jpeg
from msflow_stream.web.console.pages.thresholds import taken_up
from msflow_stream.web.console.routing import call, json_of, page
from msflow_stream.web.console.scene_facts import (
    SceneUse,
    may_change,
    progress_of,
    promise_of,
    scene_of,
    scene_to_change,
    scenes_of,
)

MOST_TAUGHT = 60  # shown; the newest
MOST_COMPARED = 24  # events of a comparison that are drawn; those that differ first
CHART = 3.0  # times the threshold that a bar reaches at most

Work = Callable[[Console, SceneUse, str, Mapping[str, object]], dict[str, Any]]


@page("/scenes", menu="Scenes", order=4)
def scenes(request: Request, console: Console) -> Response:
    """Shows the scenes of the cameras that the person may see."""
    shown = [_line(one) for one in scenes_of(console, request)]
    return console.render(request, "scenes.html.j2", scenes=shown, every=every, iso=iso)


@page("/scenes/{name}")
def scene(request: Request, console: Console) -> Response:
    """Shows a scene."""
    use, user = scene_of(console, request), console.user(request)
    versions = Versions(use.folder)
    entries, live, candidate = versions.entries, versions.live, versions.candidate
    taught = [one for one in Taught(use.folder).entries[::-1] if user.sees(one.source)]
    kept = [one.number for one in entries if one.state == "earlier" and versions.folder(one.number) is not None]
    last = next((one for one in reversed(entries) if one.state in ("candidate", "refused")), None)
    exceptions = [told(console, use.folder, one) for one in Exceptions(use.folder).entries if user.sees(one.camera)]
    return console.render(
        request,
        "scene.html.j2",
        scene=use,
        versions=entries[::-1],
        changes=versions.changes[:-31:-1],
        live=live,
        candidate=candidate,
        refused=last if last is not None and last.state == "refused" else None,
        kept=kept,
        untried=[] if candidate is None else [one for one in untried_violations(use.folder) if user.sees(one.source)],
        compared=None if candidate is None else compared(candidate, user.sees),
        text_of=lambda version: texts(version, use.is_whole),
        shadow=shadow_of(use, user.sees),
        taught=taught[:MOST_TAUGHT],
        more=max(0, len(taught) - MOST_TAUGHT),
        learnt=frozenset(() if live is None else live.taught),
        tried=frozenset(() if candidate is None else candidate.taught),
        exceptions=exceptions,
        progress=progress_of(use.folder),
        key=state_key(use),
        promise=promise_of(use.folder),
        may_change=may_change(console, request, use),
        every=every,
        span_text=span_text,
        iso=iso,
    )


@call("/scenes/{name}/state")
def state(request: Request, console: Console) -> Response:
    """Answers with how far the fit is, and what changes when the page is old."""
    use = scene_of(console, request)
    return JSONResponse({"progress": progress_of(use.folder), "key": state_key(use)})


@call("/scenes/{name}/taught/{id}/thumb.jpg")
def taught_thumb(request: Request, console: Console) -> Response:
    """Answers with a small image of a taught event."""
    use = scene_of(console, request)
    event = Taught(use.folder).read(request.path_params["id"])
    if event is None or not event.stills or not console.user(request).sees(event.source):
        raise HTTPException(404, "there is no such image")
    return _image(event.stills[-1])


@call("/scenes/{name}/shadow/{image}")
def shadow_image(request: Request, console: Console) -> Response:
    """Answers with the small image of a moment in which the candidate and the live scene differed."""
    use = scene_of(console, request)
    shadow = Shadow.read(use.folder)
    for moment in () if shadow is None else shadow.moments:
        if (
            moment.jpeg is not None
            and moment.jpeg == request.path_params["image"]
            and console.user(request).sees(moment.camera)
        ):
            return _image(shadow_folder(use.folder) / Path(moment.jpeg).name)
    raise HTTPException(404, "there is no such image")


@call("/scenes/{name}/promote", needs=Role.OPERATOR, methods=("POST",))
async def promote(request: Request, console: Console) -> Response:
    """Makes the candidate live."""
    return await _change(request, console, "promote", _promoted)


@call("/scenes/{name}/rollback", needs=Role.OPERATOR, methods=("POST",))
async def rollback(request: Request, console: Console) -> Response:
    """Makes an earlier version live again."""
    return await _change(request, console, "roll back", _rolled_back)


@call("/scenes/{name}/discard", needs=Role.OPERATOR, methods=("POST",))
async def discard(request: Request, console: Console) -> Response:
    """Drops the candidate."""
    return await _change(request, console, "discard", _discarded)


@call("/scenes/{name}/teach", needs=Role.OPERATOR, methods=("POST",))
async def teach(request: Request, console: Console) -> Response:
    """Asks for a candidate now."""
    return await _change(request, console, "teach", _wanted)


@call("/scenes/{name}/taught/{id}", needs=Role.OPERATOR, methods=("DELETE",))
async def forget(request: Request, console: Console) -> Response:
    """Takes the label of a taught event back, and removes what is kept of it."""
    return await _change(request, console, "forget", _forgotten, {"id": request.path_params["id"]})


async def _change(
    request: Request, console: Console, what: str, work: Work, given: Mapping[str, object] | None = None
) -> Response:
    """Does something to a scene while nobody else does, notes who did it, and has the watch take it up."""
    values, by = {**await json_of(request), **(given or {})}, console.user(request).name

    def done() -> dict[str, Any]:
        use = scene_to_change(console, request)
        with console.changing:
            details = work(console, use, by, values)
        console.accounts.audit(by, what, f"scene {use.name}", details)
        return details

    details = await run_in_threadpool(done)
    return JSONResponse({**details, "watch": await taken_up(console)})


def _expected(versions: Versions, values: Mapping[str, object]) -> None:
    """Checks that the candidate is the one that the person looked at.

    Raises:
        HTTPException: 409, it is another one by now.
    """
    candidate = versions.candidate
    if candidate is not None and values.get("candidate", candidate.number) != candidate.number:
        raise HTTPException(409, "there is another candidate by now: look at it first")


def _promoted(_: Console, use: SceneUse, by: str, values: Mapping[str, object]) -> dict[str, Any]:
    versions = Versions(use.folder)
    _expected(versions, values)
    untried = untried_violations(use.folder)
    if untried and values.get("anyway") is not True:
        ids = ", ".join(one.id for one in untried)
        raise HTTPException(
            409,
            f"the candidate was not tried on what was labelled a violation since ({ids}): have another one made by "
            "“Teach now”, or look at the page again and promote this one anyway",
        )
    version = versions.promote(by)
    return {"version": version.number, **({"untried": [one.id for one in untried]} if untried else {})}


def _rolled_back(_: Console, use: SceneUse, by: str, values: Mapping[str, object]) -> dict[str, Any]:
    number = values.get("number")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise UserError("number is that of a version")
    return {"version": Versions(use.folder).rollback(by, number).number}


def _discarded(_: Console, use: SceneUse, by: str, values: Mapping[str, object]) -> dict[str, Any]:
    versions = Versions(use.folder)
    _expected(versions, values)
    return {"version": versions.discard(by).number}


def _wanted(_: Console, use: SceneUse, by: str, __: Mapping[str, object]) -> dict[str, Any]:
    teach_folder(use.folder).mkdir(parents=True, exist_ok=True)
    write_json(wanted_file(use.folder), {"by": by, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    return {"wanted": True}


def _forgotten(console: Console, use: SceneUse, by: str, values: Mapping[str, object]) -> dict[str, Any]:
    taught, id = Taught(use.folder), str(values["id"])
    if taught.read(id) is None:
        raise HTTPException(404, "there is no such taught event")
    if console.store.exact(id) is not None:
        console.store.decide([id], by, label=None)
        forget_other_labels(console, console.store.find_exact([id]))
    with scene_lock(use.folder):
        taught.remove(id)
    return {"event": id}


def state_key(use: SceneUse) -> str:
    """Returns what changes when the page of a scene is old."""
    versions = Versions(use.folder).entries
    return ",".join(f"{one.number}{one.state[0]}" for one in versions)


def compared(version: Version, sees: Callable[[str], bool]) -> dict[str, Any] | None:
    """Returns what is drawn of a comparison; only events of cameras that the person sees."""
    found = version.comparison
    if not found:
        return None
    rows = []
    for label, key in (("violation", "violations"), ("normal", "normals")):
        for one in found.get(key) or ():
            if sees(str(one.get("source", ""))):
                rows.append({"event": one["event"], "label": label, **_bars(one)})
    counts = {key: (len(found.get(key) or ()), _alarms(found.get(key) or ())) for key in ("violations", "normals")}
    rows.sort(key=lambda row: (row["live"]["alarms"] == row["candidate"]["alarms"], row["label"] == "normal"))
    width = found.get("normal_scores") or {}
    shares = [(width.get(side) or {}).get("share") for side in ("live", "candidate")]
    known = [share for share in shares if isinstance(share, int | float)]
    normal = (
        {"live": known[0], "candidate": known[1], "most": known[0] * width.get("most", 1)} if len(known) == 2 else None
    )
    return {"rows": rows[:MOST_COMPARED], "more": max(0, len(rows) - MOST_COMPARED), "counts": counts, "normal": normal}


def texts(version: Version, is_whole: bool) -> list[str]:
    """Returns a comparison in sentences; they name events, so only for who may see all cameras of the scene."""
    if not is_whole:
        return []
    found = (version.comparison or {}).get("text") or [str(one.get("text", "")) for one in version.refusals]
    return [found] if isinstance(found, str) else [str(line) for line in found]


def shadow_of(use: SceneUse, sees: Callable[[str], bool]) -> dict[str, Any] | None:
    """Returns how the candidate did beside the live scene so far; None where it has not been."""
    shadow = Shadow.read(use.folder)
    if shadow is None:
        return None
    cameras = {name: one for name, one in shadow.cameras.items() if sees(name)}
    moments = [one for one in shadow.moments[::-1] if sees(one.camera)]
    return {"since": shadow.since, "cameras": cameras, "moments": moments, "seconds": shadow.seconds}


def _bars(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for side in ("live", "candidate"):
        said = one.get(side) or {}
        peak = said.get("peak")
        peak = float(peak) if isinstance(peak, int | float) else 0.0
        found[side] = {
            "alarms": bool(said.get("alarms")),
            "peak": peak,
            "bar": round(100 * min(max(peak, 0), CHART) / CHART, 1),
        }
    return found


def _alarms(events: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    live, candidate = (
        sum(bool((one.get(side) or {}).get("alarms")) for one in events) for side in ("live", "candidate")
    )
    return live, candidate


def _line(use: SceneUse) -> dict[str, Any]:
    try:
        versions, wrong = Versions(use.folder), None
        live, candidate = versions.live, versions.candidate
    except UserError as error:
        live, candidate, wrong = None, None, str(error)
    taught = len(Taught(use.folder).entries) if use.is_whole else None
    progress, promise = progress_of(use.folder), promise_of(use.folder)
    return {
        "name": use.name,
        "cameras": use.seen,
        "live": live,
        "candidate": candidate,
        "taught": taught,
        "progress": progress,
        "promise": promise,
        "wrong": wrong,
    }


def _image(path: Path) -> Response:
    try:
        content = small_jpeg(path, path.stat().st_mtime_ns, 320)
    except OSError:  # cut off, or gone since
        raise HTTPException(404, "there is no such image") from None
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": A_DAY})
