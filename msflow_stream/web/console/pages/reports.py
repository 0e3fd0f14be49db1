"""Reports: a shift, a week or any span of the cameras that a person may see, to look at, to print, and as evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from msflow_stream.events.store import parse_moment
from msflow_stream.types import UserError
from msflow_stream.watch.reporting.bundle import safe_name, stream
from msflow_stream.watch.reporting.page import policy, report_page, wording
from msflow_stream.watch.reporting.spans import Span, day_of, day_span, shift_span, span_of, week_span
from msflow_stream.watch.reporting.summary import Summary, summarize
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import iso
from msflow_stream.web.console.routing import call, page

GIVEN = ("what", "day", "shift", "week", "from", "to", "camera")
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A report as an address has it.

    Attributes:
        given: the parts of the address that say something.
        span: its span; None where none is given.
        camera: the one that it is about; None: all that the person may see.
    """

    given: dict[str, str]
    span: Span | None
    camera: str | None

    @property
    def address(self) -> str:
        """The same as the end of an address."""
        return f"?{urlencode(self.given)}" if self.given else ""


@page("/report", menu="Reports", order=4, is_slow=True)
def report(request: Request, console: Console) -> Response:
    """Shows the choice of a span, and the figures of the one that is chosen."""
    now, wrong = datetime.now(UTC), None
    try:
        asked = asked_of(console, request, now)
    except UserError as error:
        given = {name: request.query_params.get(name, "") for name in GIVEN}
        asked, wrong = Asked({name: value for name, value in given.items() if value}, None, None), str(error)
    summary = None if asked.span is None else summary_of(console, request, asked)
    return console.render(
        request,
        "report.html.j2",
        asked=asked,
        wrong=wrong,
        summary=summary,
        cameras=console.cameras(request),
        choices=choices(now),
        today=now.astimezone().date(),
        zone=span_of(now - DAY, now).zone,
        iso=iso,
        **wording(),
    )


@call("/report/page", is_slow=True)
def printed(request: Request, console: Console) -> Response:
    """Answers with the page to print."""
    asked = asked_of(console, request, datetime.now(UTC))
    text = report_page(summary_of(console, request, asked))
    return HTMLResponse(text, headers={"Content-Security-Policy": policy()})


@call("/report/evidence.zip", is_slow=True)
def evidence(request: Request, console: Console) -> Response:
    """Answers with the evidence, made while it is sent."""
    asked = asked_of(console, request, datetime.now(UTC))
    summary = summary_of(console, request, asked)
    names = [camera.name for camera in summary.cameras]
    details = {"since": iso(summary.span.since), "until": iso(summary.span.until), "cameras": names}
    console.accounts.audit(console.user(request).name, "evidence", summary.span.name or "span", details)
    name = safe_name(f"evidence-{asked.camera or 'all'}-{summary.span.name or asked.given.get('from', 'span')}")
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_")
    headers = {"Content-Disposition": f'attachment; filename="{ascii_name}.zip"'}
    return StreamingResponse(stream(summary, console.out), media_type="application/zip", headers=headers)


def asked_of(console: Console, request: Request, now: datetime) -> Asked:
    """Returns the report in a request's address.

    Raises:
        HTTPException: 404, a camera that there is not for this person.
        UserError: a span that is none.
    """
    asked = request.query_params
    given = {name: asked[name].strip() for name in GIVEN if asked.get(name, "").strip()}
    camera = given.get("camera")
    if camera is not None:
        console.check_camera(request, camera)
    what = given.get("what")
    makers: dict[str, Callable[[], Span]] = {
        "day": lambda: day_span(day_of(given.get("day", ""))),
        "shift": lambda: shift_span(given.get("shift", ""), day_of(given["day"]) if "day" in given else None, now),
        "week": lambda: week_span(given.get("week", "")),
        "span": lambda: span_of(parse_moment(given.get("from", ""), now), parse_moment(given.get("to", ""), now)),
    }
    return Asked(given, makers[what]() if what in makers else None, camera)


def summary_of(console: Console, request: Request, asked: Asked) -> Summary:
    """Returns what the report says, of cameras only that the person may see.

    Raises:
        UserError: no span is given.
    """
    if asked.span is None:
        raise UserError("say which span the report is about")
    seen = console.user(request).cameras
    cameras = console.cameras(request) if asked.camera is None else [asked.camera]
    only = seen if asked.camera is None else frozenset(cameras)
    try:
        settings = console.camera_settings()
    except UserError:  # a cameras file that somebody is editing
        settings = None
    named = {} if settings is None else {name: one.scenes for name, one in settings.cameras.items()}
    scenes = console.scenes
    return summarize(console.store, console.out, scenes, asked.span, cameras=cameras, only=only, of_camera=named)


def choices(now: datetime) -> list[tuple[str, str]]:
    """Returns spans that are asked for often, with the ends of their addresses."""
    today = now.astimezone().date()
    this, last = (day.isocalendar() for day in (today, today - 7 * DAY))
    asked = (
        ("Today", {"what": "day", "day": str(today)}),
        ("Yesterday", {"what": "day", "day": str(today - DAY)}),
        ("Last night", {"what": "shift", "shift": "22:00-06:00"}),
        ("This week", {"what": "week", "week": f"{this.year}-W{this.week:02d}"}),
        ("Last week", {"what": "week", "week": f"{last.year}-W{last.week:02d}"}),
    )
    return [(name, f"?{urlencode(values)}") for name, values in asked]
