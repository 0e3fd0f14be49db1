"""Taught events of scenes follow the labels in the store, and ask for candidates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msflow_stream.config.cameras import Camera
from msflow_stream.config.teaching import Teaching
from msflow_stream.events.evidence.event_files import EventFiles, event_files
from msflow_stream.events.evidence.event_folder import CLOSED, EVENT, EVIDENCE_FOLDER, WHOLE, read_event
from msflow_stream.events.store import EventStore, StoredEvent, StoreUnavailable
from msflow_stream.events.store.tables import LabelledRow
from msflow_stream.files import write_json
from msflow_stream.scenes.exchange import scene_exists, scene_lock
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.teaching.layout import begun_file, normal_folder, taught_folder, teach_folder, wanted_file
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.taught import PRIVATE, TAUGHT, Taught, TaughtEvent, chosen, is_plain_name
from msflow_stream.teaching.version_history import Version
from msflow_stream.teaching.versions import Versions
from msflow_stream.types import UserError

SETTLES = timedelta(seconds=30)  # after an event's end, until its clips are whole, if its files do not say so before
PRIVACY_NOTE = "privacy areas"  # is in the notes about evidence that is black in them
STAMP = ".synced.json"  # in the folder of taught events: what it was made from


def sync(
    store: EventStore,
    out: Path,
    scenes: Path,
    cameras: Mapping[str, Camera] | None,
    settings: Teaching | None = None,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Takes newly labelled events in, and out those whose label was taken back; returns the scenes that changed.

    It may be called often, by several programs at once: where no label is new, it asks for the labels only.

    Args:
        store: of the events.
        out: folder that `watch` or `score` writes to, with the events' clips.
        scenes: folder of the scenes.
        cameras: those whose events count; None: all.
        settings: how much is kept.
        now: the moment of now.

    Raises:
        StoreUnavailable: the store is away.
        OSError, UserError: a scene cannot be brought up to date, such as one that is read-only; all others are.
    """
    settings, now = settings or Teaching(), now or datetime.now(UTC)
    by_scene: dict[str, list[LabelledRow]] = {name: [] for name in _with_taught(scenes)}
    for row in store.labelled(TAUGHT):
        ours = (cameras is None or row.source in cameras) and is_plain_name(row.id)
        if ours and (row.is_over(now - SETTLES) or (row.is_over(now) and _is_whole(out, row))):
            by_scene.setdefault(row.scene, []).append(row)
    private = frozenset(name for name, camera in (cameras or {}).items() if camera.privacy)
    job = _Job(store, out, private, settings.most_bytes)
    changed, troubles = [], []
    for name, rows in sorted(by_scene.items()):
        try:
            if job.sync(scenes, name, rows):
                changed.append(name)
        except StoreUnavailable:
            raise
        except (OSError, UserError) as error:  # which is no reason for the others to wait
            troubles.append(error)
    if troubles:
        raise troubles[0]
    return tuple(changed)


def is_wanted(scene: Path, settings: Teaching, now: datetime) -> bool:
    """Returns whether a candidate should be fitted now.

    It is when a person asked for one, or did so while one was made that does not know everything. Where `settings` has
    that happen by itself, it is when
    the last label is some time old, and what was said since the last candidate is new: an event is normal that neither
    it nor the live version knows, or one that it was taught is a violation now, or there is a violation that it was not
    tried on.
    """
    if not scene_exists(scene):
        return False
    last = Progress.read(teach_folder(scene))
    failed = datetime.fromisoformat(last.at) if last is not None and last.stage == "failed" else None
    if is_asked_for(scene):
        return True
    if settings.fit != "auto" or not normal_folder(scene).is_dir():
        return False
    taught = Taught(scene).entries
    newest = max((one.labelled_at for one in taught), default=now)
    if failed is not None and failed >= newest.replace(microsecond=0):
        return False  # until there is something new
    return newest <= now - timedelta(seconds=settings.wait) and bool(news(scene, taught))


def is_asked_for(scene: Path) -> bool:
    """Returns whether a person asked for a candidate that there is not yet; removes what was asked and is there."""
    for path in (wanted_file(scene), begun_file(scene)):
        try:
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue
        made = max((one.made for one in Versions(scene).entries if one.base is not None), default=None)
        if made is None or at > made or news(scene):
            return True
        path.unlink(missing_ok=True)  # asked for while that one was made, which knows all that there is
    return False


def news(scene: Path, taught: Sequence[TaughtEvent] | None = None) -> tuple[TaughtEvent, ...]:
    """Returns the taught events that speak for a new candidate: those that the last one, or the live version, lacks."""
    taught = Taught(scene).entries if taught is None else taught
    live, last = _live_and_last(Versions(scene).entries)
    newest = last or live
    known = frozenset() if newest is None else frozenset(newest.taught)
    learnt = known | _compared(last, "normals") | frozenset(() if live is None else live.taught)
    return tuple(
        one
        for one in taught
        if (one.label == "normal" and one.obstacle is None and one.id not in learnt)
        or (one.label == "violation" and (one.id in known or _is_untried(one, last)))
    )


def untried_violations(scene: Path) -> tuple[TaughtEvent, ...]:
    """Returns the violations that the candidate was not tried on, as they were labelled since."""
    candidate = Versions(scene).candidate
    return tuple(one for one in Taught(scene).entries if one.label == "violation" and _is_untried(one, candidate))


def _is_untried(event: TaughtEvent, version: Version | None) -> bool:
    if version is None or event.obstacle is not None:
        return False
    if "violations" not in (version.comparison or {}):
        return event.labelled_at > version.made
    return event.id not in _compared(version, "violations")


def _compared(version: Version | None, label: str) -> frozenset[str]:
    """Returns the ids of events that a version was compared on: those that hold nothing to learn are among them."""
    comparison = {} if version is None else version.comparison or {}
    return frozenset(str(one.get("event")) for one in comparison.get(label, ()))


def _live_and_last(versions: Sequence[Version]) -> tuple[Version | None, Version | None]:
    """Returns the live version, and the newest that was ever proposed.

    That is None where the scene was fitted by hand since: then nothing that was found before counts.
    """
    live = next((one for one in versions if one.state == "live"), None)
    last = next((one for one in reversed(versions) if one.base is not None), None)
    if live is None or last is None:
        return live, last
    as_before = last.number >= live.number or any(one.fit == live.fit for one in versions if one.number <= last.number)
    return live, last if as_before else None


def _is_whole(out: Path, row: LabelledRow) -> bool:
    """Returns whether an event's files say that nothing more of them comes."""
    folder = out / row.source / EVIDENCE_FOLDER / row.id
    found = read_event(folder) if folder.parent.parent.parent == out else None
    return found is not None and found[0].kind == CLOSED and found[1].get(WHOLE) is True


def _with_taught(scenes: Path) -> list[str]:
    """Returns the names of the scenes for which events are kept."""
    found = scenes.glob(".*.teach/events")
    return [path.parent.name.removeprefix(".").removesuffix(".teach") for path in found]


@dataclass(frozen=True, slots=True)
class _Job:
    """One look at the labels, for all scenes.

    Attributes:
        private: names of cameras whose clips are black in places.
    """

    store: EventStore
    out: Path
    private: frozenset[str]
    most_bytes: int

    def sync(self, scenes: Path, name: str, rows: Sequence[LabelledRow]) -> bool:
        """Brings the taught events of a scene up to date with the labels; returns whether that changed anything."""
        try:
            scene = scene_folder(scenes, name)
        except UserError:  # no name in the store is trusted
            return False
        if not scene_exists(scene) or not (rows or taught_folder(scene).is_dir()):
            return False
        stamp = self._stamp(scene, rows)
        if _stored_stamp(scene) == stamp:
            return False
        with scene_lock(scene):
            changed = self._bring_up_to_date(scene, rows)
            taught_folder(scene).mkdir(parents=True, exist_ok=True)
            write_json(taught_folder(scene) / STAMP, {"stamp": self._stamp(scene, rows)})
        return changed

    def _stamp(self, scene: Path, rows: Sequence[LabelledRow]) -> str:
        """Returns a hash of all that the taught events are made from."""
        facts = [[*map(str, row), self._evidence_stamp(row)] for row in sorted(rows)]
        there = sorted(path.name for path in taught_folder(scene).glob("[!.]*"))
        return hashlib.sha256(json.dumps([facts, there, sorted(self.private), self.most_bytes]).encode()).hexdigest()

    def _evidence_stamp(self, row: LabelledRow) -> int:
        """Returns when the evidence of an event changed last; 0 where it is gone."""
        folder = self.out / row.source / EVIDENCE_FOLDER / row.id
        with suppress(OSError, ValueError):
            if folder.parent.parent.parent == self.out:
                return (folder / EVENT).stat().st_mtime_ns
        return 0

    def _bring_up_to_date(self, scene: Path, rows: Sequence[LabelledRow]) -> bool:
        taught = Taught(scene)
        taught.tidy()
        events = self.store.find_exact([row.id for row in rows])
        kept = {one.id: one for one in taught.entries}
        files = {one.event.id: event_files(self.out, one.event) for one in events}
        sizes = {id: _bytes(found) if found is not None else 0 for id, found in files.items()}
        sizes |= {id: max(taught.size(id), sizes.get(id, 0)) for id in kept}
        wanted = {one.event.id: one for one in chosen(events, sizes, self.most_bytes)}
        # Those that the store does not know, or that are of a camera that is not asked for, stay.
        others = self.store.find_exact([id for id in kept if id not in files])
        unlabelled = {one.event.id for one in others if one.label not in TAUGHT}
        gone = unlabelled | {id for id in kept if id in files and id not in wanted}
        for id in gone:
            taught.remove(id)
        changed = [one for one in wanted.values() if self._take_in(taught, kept.get(one.event.id), one, files)]
        violations = {one.event.id for one in events if one.label == "violation"}
        Exceptions(scene).forget(unlabelled | violations)
        return bool(gone or changed)

    def _take_in(
        self,
        taught: Taught,
        kept: TaughtEvent | None,
        stored: StoredEvent,
        files: Mapping[str, EventFiles | None],
    ) -> bool:
        """Keeps an event as it is now; returns False if nothing of it is new."""
        found = files[stored.event.id]
        clips = 0 if found is None else len(found.clips)
        obstacle = self._obstacle(stored, found)
        if kept is None or (clips > len(kept.clips)) or (found is not None and kept.event != stored.event):
            taught.add(stored, found, obstacle)
            return True
        if (kept.label, kept.labelled_at) != (stored.label, stored.labelled_at or stored.happened):
            taught.relabel(stored)
            return True
        return False

    def _obstacle(self, stored: StoredEvent, files: EventFiles | None) -> str | None:
        noted = files is not None and any(PRIVACY_NOTE in note for note in files.notes)
        return PRIVATE if noted or stored.event.source in self.private else None


def _bytes(files: EventFiles) -> int:
    names = [*(clip.file for clip in files.clips), *files.stills]
    with suppress(FileNotFoundError):  # which retention removes meanwhile
        return sum((files.folder / name).stat().st_size for name in names)
    return 0


def _stored_stamp(scene: Path) -> str | None:
    try:
        return str(json.loads((taught_folder(scene) / STAMP).read_text(encoding="utf-8"))["stamp"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
