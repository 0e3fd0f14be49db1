"""Where the learning of a scene keeps its files: in hidden folders beside the scene's own."""

from __future__ import annotations

from pathlib import Path

from msflow_stream.scenes.exchange import hidden_folder

FOOTAGE = "footage"  # a folder in that of the learning


def learn_folder(scene: Path) -> Path:
    """Returns the folder of a scene's first learning: its footage, and how far it is. `scene` is the scene's folder."""
    return scene.parent / f".{scene.name}.learn"


def teach_folder(scene: Path) -> Path:
    """Returns the folder of what came after: versions, what was labelled, exceptions and the candidate."""
    return hidden_folder(scene)


def candidate_folder(scene: Path) -> Path:
    """Returns the folder of the candidate, which is a whole scene; it need not be there."""
    return teach_folder(scene) / "candidate"


def versions_folder(scene: Path) -> Path:
    """Returns the folder of the versions that are live no longer: whole scenes, a folder each, named by number."""
    return teach_folder(scene) / "versions"


def history_file(scene: Path) -> Path:
    """Returns the file with the history of versions."""
    return teach_folder(scene) / "history.json"


def taught_folder(scene: Path) -> Path:
    """Returns the folder of the labelled events: a folder each, named by the event's id."""
    return teach_folder(scene) / "events"


def normal_folder(scene: Path) -> Path:
    """Returns the folder of the features of the normal footage that the scene was fitted on."""
    return teach_folder(scene) / "normal"


def exceptions_file(scene: Path) -> Path:
    """Returns the file of the soft exceptions."""
    return teach_folder(scene) / "exceptions.json"


def shadow_file(scene: Path) -> Path:
    """Returns the file of what the candidate said beside the live scene so far."""
    return teach_folder(scene) / "shadow.json"


def wanted_file(scene: Path) -> Path:
    """Returns the file that asks for a candidate now, `{"by": NAME, "at": ISO 8601}`."""
    return teach_folder(scene) / "wanted.json"


def begun_file(scene: Path) -> Path:
    """Returns the file that `wanted_file` becomes when its candidate is begun: a new one asks for another candidate."""
    return teach_folder(scene) / "begun.json"
