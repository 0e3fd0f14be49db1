"""What people taught a scene of a seeded folder: labelled events, a candidate, what it said beside the live scene."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msflow_stream.events.evidence.event_files import event_files
from msflow_stream.events.store import EventFilter, EventStore, StoredEvent
from msflow_stream.teaching.shadow import Compared, Moment, Shadow, candidate_identity, shadow_folder
from msflow_stream.teaching.taught import Taught
from msflow_stream.teaching.version_history import Version
from msflow_stream.teaching.versions import Versions


def seed_teaching(out: Path, scene: str = "gate", camera: str = "gate", taught: int = 6) -> list[StoredEvent]:
    """Labels events of a camera, every third a violation, and teaches all but the newest to a candidate."""
    folder = out.parent / "scenes" / scene
    with EventStore(f"sqlite:///{out / 'events.db'}") as store:
        ids = [one.event.id for one in store.find(EventFilter(camera=camera, limit=taught))]
        for number, id in enumerate(ids):
            store.label(id, "violation" if number % 3 == 2 else "normal", by="mira")
        events = store.find_exact(ids)
    for stored in events:
        Taught(folder).add(stored, event_files(out, stored.event))
    propose(folder, events[1:])
    seed_shadow(out, folder, camera, events[0])
    return events


def propose(folder: Path, events: list[StoredEvent], refusals: tuple[dict[str, Any], ...] = ()) -> Version:
    """Proposes a scene that differs from the live one in its record."""
    staged = folder.parent / ".staged"
    shutil.copytree(folder, staged)
    record = json.loads((staged / "scene.json").read_text())
    record["fit"]["created"] = datetime.now(UTC).isoformat()
    record["weights_sha256"] = f"{len(Versions(folder).entries) + 1:064x}"
    (staged / "scene.json").write_text(json.dumps(record))
    normals = [one for one in events if one.label == "normal"]
    violations = [one for one in events if one.label == "violation"]
    compared = {
        "refusals": list(refusals),
        "violations": [_heard(one, (True, 2.4), (True, 2.1)) for one in violations],
        "normals": [_heard(one, (True, 1.6), (False, 0.7)) for one in normals],
        "normal_scores": {"live": {"share": 0.52}, "candidate": {"share": 0.56}, "times": 1.08, "most": 1.25},
        "text": [*(str(one["text"]) for one in refusals), f"{len(violations)} violations still alarm."],
    }
    ids = tuple(one.event.id for one in normals)
    return Versions(folder).propose(staged, by="mira", taught=ids, comparison=compared)


def seed_shadow(out: Path, folder: Path, camera: str, event: StoredEvent) -> None:
    """Writes what the candidate said beside the live scene, with a moment in which they differed."""
    identity = candidate_identity(folder)
    assert identity is not None
    now = datetime.now(UTC)
    shadow_folder(folder).mkdir(parents=True, exist_ok=True)
    files = event_files(out, event.event)
    assert files is not None
    shutil.copyfile(files.folder / "snapshot.jpg", shadow_folder(folder) / "1.jpg")
    counts = Compared(frames=1800, seconds=1800.0, live=3, candidate=0, only_live=41, only_candidate=0)
    moment = Moment(camera, now - timedelta(minutes=4), 1.6, 0.7, "1.jpg")
    Shadow.begin(identity, now - timedelta(hours=1)).with_camera(camera, counts, moment).write(folder)


def _heard(stored: StoredEvent, live: tuple[bool, float], candidate: tuple[bool, float]) -> dict[str, Any]:
    both = {"live": live, "candidate": candidate}
    said = {side: {"alarms": alarms, "peak": peak} for side, (alarms, peak) in both.items()}
    return {"event": stored.event.id, "source": stored.event.source, **said}
