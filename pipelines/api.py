"""The jobs as a program or a notebook wants them: `msflow_stream.fit`, `load` and `score`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msflow_stream.config.engines import EngineName, EnginePrecision
from msflow_stream.config.loading import load as load_settings
from msflow_stream.config.loading import load_for_scoring
from msflow_stream.config.settings import EngineSettings, Settings
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import FrameScore, UserError
from msflow_stream.video.sources import Reader, open_source, source_name

from .fit import FitJob
from .fit import fit as fit_job
from .terminal.consoles import silence, summary_console
from .terminal.progress import progress as progress_bars

if TYPE_CHECKING:
    import pandas

Source = str | Path
Changes = Mapping[str, Any]  # such as {"fit.passes": 4}
DEFAULT_NAME = "scene"


def fit(
    *sources: Source,
    save: str | Path | None = None,
    settings: Settings | Changes | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> Scene:
    """Fits a scene on normal footage.

    Args:
        sources: videos, folders of videos or of images, patterns.
        save: folder that becomes the scene, whose name is the scene's; a fit that was killed goes on with the same
            call. None: nothing stays on the disk.
        settings: all of them, or changes such as `{"fit.passes": 4}`.
        device: auto, cpu, cuda, cuda:1 and so on.
        overwrite: whether a scene that is there already may be replaced.
        progress: whether a bar is shown.

    Raises:
        UserError: no footage, bad settings, another scene in the folder.
        KeyboardInterrupt: it was stopped; with `save` the same call goes on.
    """
    if not sources:
        raise UserError("give at least one source of normal footage")
    all_settings = settings if isinstance(settings, Settings) else load_settings(None, _overrides(settings))
    job = FitJob(device=device, overwrite=overwrite, resume=not overwrite)
    with tempfile.TemporaryDirectory() as passing, silence(not progress):
        folder = Path(passing) / DEFAULT_NAME if save is None else Path(save)
        outcome = fit_job([str(one) for one in sources], folder, all_settings, job, summary_console(stderr=True))
        if outcome.state == "interrupted":
            raise KeyboardInterrupt
        return Scene.load(folder)


def load(folder: str | Path) -> Scene:
    """Returns the scene in a folder, as a fit left it.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return Scene.load(Path(folder))


def score(
    source: Source,
    scene: Scene | str | Path,
    *,
    every: int | None = None,
    settings: Changes | None = None,
    device: str = "auto",
    engine: EngineName = "auto",
    precision: EnginePrecision = "auto",
    progress: bool = True,
) -> Scores:
    """Returns the scores of a source, one for every fifth frame, as they are computed.

    Args:
        source: a video, a folder of images, or a camera's address.
        scene: the scene, or its folder.
        every: step between scored frames; the scene's own if None.
        settings: changes of score settings such as `{"score.smoothing": 1.0}`.
        device: auto, cpu, cuda, cuda:1 and so on.
        engine, precision: what runs the networks; auto: the fastest that leaves the scores as they are.
        progress: whether a bar is shown.

    Raises:
        UserError: the source or the scene cannot be read.
    """
    fitted = scene if isinstance(scene, Scene) else load(scene)
    changes = dict(settings or {}) | ({} if every is None else {"score.every": every})
    wanted = load_for_scoring(fitted.settings, None, _overrides(changes))
    inference = make_inference(EngineSettings(name=engine, precision=precision))
    scorer = Scorer(fitted, device, wanted.score, inference)
    motion_every = None if fitted.motion is None else scorer.settings.every
    return Scores(open_source(str(source), scorer.settings.every, motion_every=motion_every), scorer, progress)


class Scores(Iterator[FrameScore]):
    """The scores of one source, in the order of its frames; iterated once.

    Attributes:
        source: the source's name.
    """

    def __init__(self, reader: Reader, scorer: Scorer, progress: bool) -> None:
        self.source = source_name(reader.info.name)
        self._found = self._score(reader, scorer, progress)

    def __next__(self) -> FrameScore:
        """Returns the next score."""
        return next(self._found)

    def to_pandas(self) -> pandas.DataFrame:
        """Returns a table with a row per score: index, time, every kind of score, and the reason's parts.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise UserError("pandas is not installed: pip install pandas") from None
        return DataFrame([_row(one) for one in self])

    def _score(self, reader: Reader, scorer: Scorer, progress: bool) -> Iterator[FrameScore]:
        with reader, progress_bars(quiet=not progress) as bars:
            task = bars.add_task(self.source, total=reader.info.frames)
            for one in scorer(reader):
                yield one
                bars.update(task, completed=one.index + 1)


def _row(score: FrameScore) -> dict[str, Any]:
    why = {} if score.why is None else {"appearance_part": score.why.appearance, "motion_part": score.why.motion}
    return {"source": score.source, "index": score.index, "time": score.time, **score.scores._asdict(), **why}


def _overrides(changes: Changes | None) -> list[str]:
    """Changes as --set takes them; values that are no text are JSON, which YAML reads as it is."""
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (changes or {}).items()]
