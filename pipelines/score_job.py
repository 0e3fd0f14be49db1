"""What `score` is asked for, and what comes of each source."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from msflow_stream.config.settings import EventSettings
from msflow_stream.evaluation.metrics.frames import Frames
from msflow_stream.results.overlay_file import PRESET
from msflow_stream.video.writing.video_writer import Preset


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What `score` is asked for, apart from the scene and the sources.

    Attributes:
        out: the run's folder; each source gets a sub-folder of its name.
        labels, masks: a .npy file, or a folder with one per source.
        frames: which frames count for the AUROC.
        max_frames, duration: stop each source after so many frames or seconds.
        event: when an event begins and when it is over.
        evidence: of every event, in a folder of its own: a clip, an overlay, pictures.
        store: address of a database that takes the events, None for none.
        skip_static: frames that show nothing new take the score of an earlier one.
        overlay_preset: how quickly the overlay is encoded.
    """

    out: Path
    labels: Path | None = None
    masks: Path | None = None
    frames: Frames = "sampled"
    overlay: bool = True
    save_maps: bool = False
    overwrite: bool = False
    max_frames: int | None = None
    duration: float | None = None
    image_rate: Fraction = Fraction(25)
    event: EventSettings = field(default_factory=EventSettings)
    evidence: bool = True
    store: str | None = None
    skip_static: bool = False
    overlay_preset: Preset = PRESET
