"""anomalib's contenders: requests to its runner, in an environment whose versions never meet ours."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from msflow_stream.cores import usable_cores
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import image_files

from . import anomalib_runner
from .runs import WARM_UP, CannotRunError, Fitted, Run

ENVIRONMENT = Path(".peers-venv")
OURS = (
    "OMP_",
    "OPENCV_FOR_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "PYTHON",
    "VIRTUAL_ENV",
)  # what a peer does not inherit
BATCH = 8


@dataclass(frozen=True, slots=True)
class PeersEnvironment:
    """The virtual environment that anomalib is installed in."""

    folder: Path = ENVIRONMENT

    def check(self, peers: Sequence[str]) -> None:
        """Refuses to begin without it.

        Raises:
            UserError: it is not there.
        """
        if not self._python.exists():
            raise UserError(
                f"{', '.join(peers)} need an environment of their own, and {self.folder} is none: make peers "
                "(in a checkout), or name it by --environment, or go without them by --peers plain"
            )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the runner's answer to a request.

        Raises:
            CannotRunError: it has none, or says why it cannot.
        """
        with tempfile.TemporaryDirectory(prefix="peers-") as name:
            question, answer = Path(name) / "request.json", Path(name) / "answer.json"
            question.write_text(json.dumps(request), encoding="utf-8")
            command: list[str | Path] = [self._python, "-P", anomalib_runner.__file__, question, answer]
            environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
            environment["OMP_WAIT_POLICY"] = "passive"  # for PyTorch in the fit; scoring does without OpenMP
            done = subprocess.run(
                command, cwd=name, env=environment, capture_output=True, text=True, errors="replace", check=False
            )
            if not answer.exists():
                lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
                raise CannotRunError(lines[-1])
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        if "reason" in found:
            raise CannotRunError(found["reason"])
        return found

    @property
    def _python(self) -> Path:
        return self.folder.absolute() / "bin" / "python"


class AnomalibContender:
    """A model of anomalib's, run by its OpenVINO inferencer.

    Args:
        environment: where anomalib is.
        fitted: the exported model, as `fit_peer` made it.
        request: what fit and score have in common.
    """

    def __init__(self, environment: PeersEnvironment, fitted: Fitted, request: dict[str, Any]) -> None:
        self._environment, self.fitted, self._request = environment, fitted, request

    def run(self, clips: Sequence[str], folder: Path) -> Run:
        """Scores all clips in a new process."""
        task = {"task": "score", "model": str(self.fitted.model), "sources": sources(clips), "warm_up": WARM_UP}
        return Run.of(self._environment.ask(self._request | task))


def common_request(scene: Scene, folder: Path) -> dict[str, Any]:
    """Returns what every request says: backbone, input and sampling of a scene; writes its backbone's weights."""
    settings, weights = scene.settings, folder / "backbone.safetensors"
    save_file({name: value.contiguous() for name, value in scene.pyramid.backbone.state_dict().items()}, weights)
    mean, std = settings.input.normalisation
    return {
        "backbone": settings.model.backbone,
        "weights": str(weights.absolute()),
        "stages": list(settings.model.stages),
        "size": list(settings.input.size),
        "mean": list(mean),
        "std": list(std),
        "every": settings.score.every,
        "passes": settings.fit.passes,
        "batch": BATCH,
        "seed": settings.fit.seed,
        "threads": usable_cores(),
    }


def fit_peer(
    environment: PeersEnvironment, peer: str, request: dict[str, Any], normal: Sequence[str], folder: Path
) -> Fitted:
    """Fits one of anomalib's models on normal footage and exports it.

    Raises:
        CannotRunError: it cannot be made for this backbone, or not be exported.
    """
    task = {"task": "fit", "peer": peer, "sources": sources(normal), "folder": str((folder / peer).absolute())}
    answer = environment.ask(request | task)
    return Fitted(Path(answer["model"]), answer["seconds"])


def sources(specs: Sequence[str]) -> list[str | list[str]]:
    """Returns what the runner reads: a video's path, or the paths of a folder's images in their order."""
    folders = (Path(spec).absolute() for spec in specs)
    return [[str(path) for path in image_files(one)] if one.is_dir() else str(one) for one in folders]
