"""`info`: versions, devices and codecs of this machine. `scenes`: what is in a folder of scenes."""

from __future__ import annotations

import json
from pathlib import Path

import av
import torch
from rich.console import Console
from rich.markup import escape

from msflow_stream.config.engines import ENGINES, EngineName
from msflow_stream.machine import cache_folder
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.folder import list_scenes, read_record
from msflow_stream.scoring.engine_choice import TRIALS
from msflow_stream.scoring.engine_trial import BOUND, TrialFile
from msflow_stream.types import UserError

from .terminal.progress import number, table

CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg")


def info() -> None:
    """Prints what a bug report should say."""
    console = Console()
    console.print(table("versions", ["", "version"], [[name, value] for name, value in versions().items()]))
    ffmpeg = ", ".join(f"{name} {'.'.join(map(str, v))}" for name, v in sorted(av.library_versions.items()))
    devices = [["cpu", f"{torch.get_num_threads()} threads"]]
    devices += [[f"cuda:{i}", torch.cuda.get_device_name(i)] for i in range(torch.cuda.device_count())]
    console.print(table("devices", ["", ""], devices))
    rows = [[name, _has(name, "r"), _has("libx264" if name == "h264" else name, "w")] for name in CODECS]
    console.print(table("codecs", ["", "reads", "writes"], rows, ffmpeg))
    console.print(table("engines", ["", "installed"], [[name, _installed(name)] for name in ENGINES]))
    _print_trials(console)


def _installed(engine: EngineName) -> str:
    try:
        return f"yes: {', '.join(ENGINES[engine].make('float32').info.precisions)}"
    except UserError as error:
        return f"no: {escape(str(error))}"


def _print_trials(console: Console) -> None:
    """Prints what --engine auto has found on this machine."""
    rows = []
    for facts, verdict in TrialFile(cache_folder() / TRIALS).all():
        size = "x".join(map(str, facts["size"]))
        times = ", ".join(f"{name} {one.milliseconds:.1f}" for name, one in verdict.found.items())
        rows.append([facts["model"]["backbone"], size, str(facts["cores"]), verdict.fastest(BOUND), times])
    if rows:
        columns = ["backbone", "input", "cores", "--engine auto takes", "ms per frame in its trial"]
        console.print(table("trials of engines", columns, rows))


def _has(codec: str, mode: str) -> str:
    try:
        av.Codec(codec, "r" if mode == "r" else "w")
    except ValueError:  # PyAV's UnknownCodecError
        return "no"
    return "yes"


def list_all(folder: Path) -> None:
    """Prints a table of the scenes in a folder."""
    console = Console()
    names = list_scenes(folder)
    if not names:
        console.print(f"no scenes in {folder}: make one with `msflow-stream fit VIDEO --scene NAME`")
        return
    rows = []
    for name in names:
        record = read_record(folder / name)
        model, size = record["settings"]["model"], record["settings"]["input"]["size"]
        fitted = record["fit"]
        rows.append(
            [
                name,
                model["backbone"],
                f"{size[0]}x{size[1]}",
                str(fitted.get("frames", "–")),
                str(fitted.get("passes", "–")),
                fitted.get("created", "–"),
            ]
        )
    console.print(table(f"scenes in {folder}", ["name", "backbone", "input", "frames", "passes", "fitted"], rows))


def show(folder: Path) -> None:
    """Prints everything that a scene's record holds."""
    console = Console()
    record = read_record(folder)
    rows = [["name", record["name"]], ["format", str(record["format"])], ["weights sha256", record["weights_sha256"]]]
    for section, values in record["settings"].items():
        rows += [[f"{section}.{key}", _text(value)] for key, value in values.items()]
    rows += [[f"fit: {key.replace('_', ' ')}", _text(value)] for key, value in record["fit"].items()]
    console.print(table(f"scene {folder.name}", ["", ""], rows))
    calibration = record["calibration"]
    if calibration:
        quantiles = list(next(iter(calibration["quantiles"].values())))
        rows = [
            [kind, *(number(values[q]) for q in quantiles), number(calibration["thresholds"][kind])]
            for kind, values in calibration["quantiles"].items()
        ]
        held_out = calibration["frames"]
        title = f"scores of {held_out} held-out normal frames" if held_out else "scores of the fitted frames themselves"
        console.print(table(title, ["score", *(f"q{float(q):g}" for q in quantiles), "threshold"], rows))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
