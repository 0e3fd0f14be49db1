"""The history of a scene's versions as values: what each is, and what was done, when and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from msflow_stream.scenes.exchange import scene_identity
from msflow_stream.scenes.folder import RECORD, fit_identity, read_record
from msflow_stream.types import UserError

MOST_VERSIONS, MOST_CHANGES = 200, 500  # of the history; the oldest that are not kept are forgotten

State = Literal["live", "earlier", "candidate", "refused", "discarded"]
Done = Literal["found", "proposed", "refused", "promoted", "rolled back", "discarded", "replaced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a scene.

    Attributes:
        number: counts from 1.
        identity: hash of its record, which holds the hash of its weights.
        fit: hash of what its scores come from; two with the same one differ in thresholds only.
        made, by: when, and who asked for it; "" where nobody is known.
        reason: how it came about, in words.
        taught: ids of the events that it knows.
        comparison: what was found when it was compared with the live version of then; None where it was not.
        base: number of the version that was live when it was proposed.
        promoted, promoted_by: when it became live last, and who decided so.
        before: number of the version that was live before it.
    """

    number: int
    identity: str
    fit: str
    made: datetime
    by: str
    reason: str
    taught: tuple[str, ...] = ()
    comparison: dict[str, Any] | None = None
    state: State
    base: int | None = None
    promoted: datetime | None = None
    promoted_by: str | None = None
    before: int | None = None

    @property
    def refusals(self) -> tuple[Mapping[str, Any], ...]:
        """What speaks against it: each with its "text", and the id of its "event" where it is about one."""
        return tuple((self.comparison or {}).get("refusals") or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change: what was done with a version, when and by whom."""

    at: datetime
    by: str
    what: Done
    number: int


@dataclass(frozen=True, slots=True)
class FoundScene:
    """What a scene's folder says of itself; `calibrated` and `by` are those of its last calibration.

    `fitted_by` is who had it learnt; "" where that is not known.
    """

    identity: str
    fit: str
    fitted: datetime
    calibrated: datetime
    by: str
    fitted_by: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """All versions and all changes, the oldest first."""

    versions: tuple[Version, ...] = ()
    changes: tuple[Change, ...] = ()

    def get(self, number: int) -> Version | None:
        """Returns the version with this number."""
        return next((one for one in self.versions if one.number == number), None)

    def only(self, state: Literal["live", "candidate"]) -> Version | None:
        """Returns the version in a state that one at most is in."""
        return next((one for one in self.versions if one.state == state), None)

    @property
    def next_number(self) -> int:
        """The number of the next version."""
        return max((one.number for one in self.versions), default=0) + 1

    def with_new(self, version: Version, by: str, now: datetime) -> History:
        """Returns the history with another version, which was proposed or refused."""
        what: Done = "refused" if version.state == "refused" else "proposed"
        return self._with((*self.versions, version), Change(at=now, by=by, what=what, number=version.number))

    def with_dropped(self, number: int, what: Done, by: str, now: datetime) -> History:
        """Returns the history in which a candidate is none any more."""
        versions = tuple(replace(one, state="discarded") if one.number == number else one for one in self.versions)
        return self._with(versions, Change(at=now, by=by, what=what, number=number))

    def with_live(self, number: int, what: Done, by: str, now: datetime) -> History:
        """Returns the history in which a version is live. Where it comes back, what was before it stays as it was."""
        live = self.only("live")
        versions = []
        for one in self.versions:
            if one.number == number:
                before = one.before if one.promoted is not None or live is None else live.number
                one = replace(one, state="live", promoted=now, promoted_by=by, before=before)
            elif one.state == "live":
                one = replace(one, state="earlier")
            versions.append(one)
        return self._with(tuple(versions), Change(at=now, by=by, what=what, number=number))

    def with_found(self, found: FoundScene) -> History:
        """Returns the history in which the scene that is there is the live version, whoever put it there."""
        live = self.only("live")
        if live is not None and live.identity == found.identity:
            return self
        known = next((one for one in self.versions if one.identity == found.identity and one.promoted), None)
        if known is not None:  # a calibration that was taken back
            return self.with_live(known.number, "found", found.by, found.calibrated)
        same = live is not None and live.fit == found.fit
        new = Version(
            number=self.next_number,
            identity=found.identity,
            fit=found.fit,
            made=found.calibrated if same else found.fitted,
            by=found.by if same else found.fitted_by,
            reason="calibrated again" if same else "fitted",
            taught=live.taught if same and live is not None else (),
            state="candidate",
        )
        history = replace(self, versions=(*self.versions, new))
        return history.with_live(new.number, "found", new.by, new.made)

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON."""
        return {
            "versions": [_VERSION.dump_python(one, mode="json") for one in self.versions],
            "changes": [_CHANGE.dump_python(one, mode="json") for one in self.changes],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> History:
        """Returns the history that `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        return cls(
            tuple(_VERSION.validate_python(one) for one in values["versions"]),
            tuple(_CHANGE.validate_python(one) for one in values["changes"]),
        )

    def _with(self, versions: tuple[Version, ...], change: Change) -> History:
        excess = len(versions) - MOST_VERSIONS
        gone = [one.number for one in versions if one.state in ("refused", "discarded", "earlier")][: max(0, excess)]
        left = tuple(one for one in versions if one.number not in gone)
        return History(left, (*self.changes, change)[-MOST_CHANGES:])


_VERSION, _CHANGE = TypeAdapter(Version), TypeAdapter(Change)


def first_history(found: FoundScene) -> History:
    """Returns the history of a scene that has none: one version, which is live."""
    first = Version(
        number=1,
        identity=found.identity,
        fit=found.fit,
        made=found.fitted,
        by=found.fitted_by,
        reason="fitted",
        state="live",
        promoted=found.fitted,
        promoted_by=found.fitted_by,
    )
    return History((first,), (Change(at=first.made, by=first.by, what="found", number=1),))


def describe(folder: Path) -> FoundScene | None:
    """Returns what a scene's folder says of itself; None where there is no scene that can be read."""
    identity = scene_identity(folder)
    if identity is None:
        return None
    try:
        content = read_record(folder)
        changed = datetime.fromtimestamp((folder / RECORD).stat().st_mtime, UTC).replace(microsecond=0)
        fit = fit_identity(content)
    except (UserError, ValidationError, KeyError, TypeError, ValueError, OSError):
        return None
    applied = content.get("applied") or {}
    basis, made = (content.get("calibration") or {}).get("basis") or {}, content.get("fit") or {}
    fitted = _moment(made.get("created")) or changed
    calibrated = _moment(applied.get("at")) or _moment(basis.get("created")) or changed
    return FoundScene(identity, fit, fitted, calibrated, str(applied.get("by") or ""), str(made.get("by") or ""))


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment.astimezone(UTC)
