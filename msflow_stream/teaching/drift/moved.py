"""A camera that was moved: its views of the last hours beside the view that was learnt.

An hour's view is still, moved or unknown (video.view_signature); unknown ones, as in fog, say nothing. AGREEING decided
hours in a row that are moved in the same way raise a card, and one that is still ends it: what passes, parks
or shines does not move most of the view alike, let alone twice in the same way. A view in which nothing of what was
learnt is found, though there is as much to see, must last for FOREIGN hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from math import hypot

from msflow_stream.teaching.drift.days import Day
from msflow_stream.teaching.drift.finding import Finding
from msflow_stream.video.view_signature import Movement, View, movement

AGREEING, FOREIGN = 2, 3  # hours with a view
ALIKE = 0.02  # of the view's width, between the shifts of two hours
MOST_VIEWS = 24 * 30  # that are looked at, from the newest one back to the last still one
FIRST_VIEWS = 3  # that stand for the learnt one where there is none

Seen = tuple[date, int, Movement]


def moved_camera(days: Sequence[Day], learnt: View | None) -> Finding | None:
    """Returns a finding where the newest views are moved from the learnt one; days of one fit, oldest first."""
    views = [(day.date, hour.hour, str(hour.view["jpeg"])) for day in days for hour in day.hours if hour.view]
    if learnt is not None:
        references = [str(learnt.to_json()["jpeg"])]
    else:
        references, views = [view for _, _, view in views[:FIRST_VIEWS]], views[FIRST_VIEWS:]
    run: list[Seen] = []  # of moved or foreign views, newest first
    for when, hour, view in views[: -MOST_VIEWS - 1 : -1]:
        found = _nearest(references, view)
        if found.verdict == "still" or (run and not _alike(run[-1][2], found) and _is_moved(found)):
            break
        if _is_moved(found):
            run.append((when, hour, found))
    if not run or len(run) < (FOREIGN if run[0][2].foreign else AGREEING):
        return None
    return _finding(run)


def _finding(run: Sequence[Seen]) -> Finding:
    (since, hour, _), (_, _, newest) = run[-1], run[0]
    if newest.foreign:
        what = "The camera looks at something else: nothing of the view that was learnt is found"
    else:
        what = f"The camera was moved: {_told(newest)}"
    return Finding(
        "moved",
        since,
        f"{what}, since about {hour:02d}:00.",
        "Point it back as it was; or check its areas and learn the scene anew.",
        f"{len(run)} hours agree"
        + ("" if newest.foreign else f", {newest.agree:.0%} of {newest.blocks} places in the view"),
        {"amount": newest.amount, "turn": newest.turn, "zoom": newest.zoom, "views": len(run)},
    )


def _told(one: Movement) -> str:
    parts = []
    if abs(one.right) >= 0.008:
        parts.append(
            f"what it sees is {abs(one.right):.0%} of the width further {'right' if one.right > 0 else 'left'}"
        )
    if abs(one.down) >= 0.008:
        parts.append(f"{abs(one.down):.0%} further {'down' if one.down > 0 else 'up'}")
    if abs(one.turn) >= 0.7:
        parts.append(f"turned by {abs(one.turn):.0f}°")
    if abs(one.zoom - 1) >= 0.015:
        parts.append(f"{abs(one.zoom - 1):.0%} {'larger' if one.zoom > 1 else 'smaller'}")
    return ", ".join(parts) or f"by {one.amount:.1%} of the view's width"


def _is_moved(found: Movement) -> bool:
    return found.verdict == "moved" or found.foreign


def _alike(first: Movement, second: Movement) -> bool:
    if first.foreign or second.foreign:
        return first.foreign == second.foreign
    return hypot(first.right - second.right, first.down - second.down) <= ALIKE


def _nearest(references: Sequence[str], view: str) -> Movement:
    """How a view is moved from the reference that it is most like; still if it is from any."""
    found = [_movement(one, view) for one in references]
    return min(found, key=lambda one: (("still", "moved", "unknown").index(one.verdict), one.amount))


@lru_cache(maxsize=4096)
def _movement(before: str, now: str) -> Movement:
    first, second = View.from_json({"jpeg": before}), View.from_json({"jpeg": now})
    return Movement("unknown") if first is None or second is None else movement(first, second)
