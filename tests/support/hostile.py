"""Script wherever somebody could have put it: in names of folders, scenes, reasons and notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from msflow_stream.events.store import EventFilter, EventStore
from msflow_stream.types import EventMessage

SCRIPT = "<script>alert('ours')</script><img src=x onerror=alert(1)>"
FOLDER = "<img src=x onerror=alert(1)>'\"&"  # of a camera that the cameras file does not know


def fill(out: Path) -> str:
    """Puts an event and a folder of such names into a seeded folder; returns the event's id."""
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "scores.csv").write_text((out / "yard" / "scores.csv").read_text()[:20_000].rpartition("\n")[0] + "\n")
    with EventStore(f"sqlite:///{out / 'events.db'}") as store:
        one = store.find(EventFilter(camera="yard", limit=1))[0].event
        assert one.why is not None
        assert one.start_wall is not None
        why = replace(one.why, text=SCRIPT, place=SCRIPT, direction=SCRIPT)
        id = f"{one.id[:-8]}deadbeef"
        store.save(EventMessage("close", replace(one, id=id, scene=SCRIPT, why=why)))
        store.save(EventMessage("close", replace(one, id=f"{id}0", source=FOLDER, scene=SCRIPT, why=why)))
    return id
