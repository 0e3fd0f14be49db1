"""`info`: versions, devices and codecs of this machine. `scenes`: what is in a folder of scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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

from .terminal.listing import Form, Row, print_facts, print_rows
from .terminal.progress import number, table

CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg")
NAMES = ("name", "backbone", "input_height", "input_width", "frames", "passes", "fitted", "weights_sha256")


def info(form: Form = "table") -> None:
    """Prints what a bug report should say."""
    console, facts = Console(), _facts()
    if form != "table":
        print_facts(console, form, facts)
        return
    console.print(table("versions", ["", "version"], [[name, value] for name, value in facts["versions"].items()]))
    ffmpeg = ", ".join(f"{name} {version}" for name, version in facts["ffmpeg"].items())
    devices = [[name, one.get("name") or f"{one['threads']} threads"] for name, one in facts["devices"].items()]
    console.print(table("devices", ["", ""], devices))
    rows = [[name, _yes(one["reads"]), _yes(one["writes"])] for name, one in facts["codecs"].items()]
    console.print(table("codecs", ["", "reads", "writes"], rows, ffmpeg))
    rows = [[name, _installed(one)] for name, one in facts["engines"].items()]
    console.print(table("engines", ["", "installed"], rows))
    _print_trials(console, facts["trials"])


def _facts() -> dict[str, Any]:
    """Returns versions, devices, codecs and engines by their names, and the trials of engines."""
    cards = {f"cuda:{i}": {"name": torch.cuda.get_device_name(i)} for i in range(torch.cuda.device_count())}
    return {
        "versions": versions(),
        "devices": {"cpu": {"threads": torch.get_num_threads()}} | cards,
        "ffmpeg": {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())},
        "codecs": {
            name: {"reads": _has(name, "r"), "writes": _has("libx264" if name == "h264" else name, "w")}
            for name in CODECS
        },
        "engines": {name: _engine(name) for name in ENGINES},
        "trials": list(_trials()),
    }


def _engine(name: EngineName) -> dict[str, Any]:
    try:
        return {"installed": True, "precisions": ENGINES[name].make("float32").info.precisions, "obstacle": None}
    except UserError as error:
        return {"installed": False, "precisions": (), "obstacle": str(error)}


def _installed(engine: Mapping[str, Any]) -> str:
    return f"yes: {', '.join(engine['precisions'])}" if engine["installed"] else f"no: {escape(engine['obstacle'])}"


def _trials() -> Iterator[dict[str, Any]]:
    """Yields what --engine auto has found on this machine."""
    for facts, verdict in TrialFile(cache_folder() / TRIALS).all():
        yield {
            "backbone": facts["model"]["backbone"],
            "input_size": facts["size"],
            "cores": facts["cores"],
            "taken": verdict.fastest(BOUND),
            "milliseconds": {name: one.milliseconds for name, one in verdict.found.items()},
        }


def _print_trials(console: Console, trials: Sequence[Mapping[str, Any]]) -> None:
    rows = []
    for one in trials:
        times = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in one["milliseconds"].items())
        rows.append([one["backbone"], "x".join(map(str, one["input_size"])), str(one["cores"]), one["taken"], times])
    if rows:
        columns = ["backbone", "input", "cores", "--engine auto takes", "ms per frame in its trial"]
        console.print(table("trials of engines", columns, rows))


def _yes(there: bool) -> str:
    return "yes" if there else "no"


def _has(codec: str, mode: str) -> bool:
    try:
        av.Codec(codec, "r" if mode == "r" else "w")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def list_all(folder: Path, form: Form = "table") -> None:
    """Prints the scenes in a folder."""
    console, found = Console(), [_values(folder / name) for name in list_scenes(folder)]
    if form != "table":
        print_rows(console, form, NAMES, found)
        return
    if not found:
        console.print(f"no scenes in {folder}: make one with `msflow-stream fit VIDEO --scene NAME`")
        return
    rows = [
        [
            one["name"],
            one["backbone"],
            f"{one['input_height']}x{one['input_width']}",
            *("–" if one[key] is None else str(one[key]) for key in ("frames", "passes", "fitted")),
        ]
        for one in found
    ]
    console.print(table(f"scenes in {folder}", ["name", "backbone", "input", "frames", "passes", "fitted"], rows))


def _values(folder: Path) -> Row:
    record = read_record(folder)
    settings, fitted = record["settings"], record["fit"]
    height, width = settings["input"]["size"]
    facts = (fitted.get("frames"), fitted.get("passes"), fitted.get("created"), record["weights_sha256"])
    return dict(zip(NAMES, (folder.name, settings["model"]["backbone"], height, width, *facts), strict=True))


def show(folder: Path, form: Form = "table") -> None:
    """Prints everything that a scene's record holds."""
    console, record = Console(), read_record(folder)
    if form != "table":
        print_facts(console, form, record)
        return
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
