"""`scenes`, `export` and `import-checkpoint`: fitted scenes are shown, and converted from and to other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import versions
from .options import SCENES, ListForm, Overrides, Overwrite, SceneName, Scenes, numbers, scene_path, size

app = typer.Typer()
group = typer.Typer(
    help="Lists and shows fitted scenes, teaches them, and goes from version to version.", no_args_is_help=True
)
group.add_typer(versions.app)
app.add_typer(group, name="scenes")


@group.command("list")
def list_scenes(scenes: Scenes = SCENES, form: ListForm = "table") -> None:
    """Lists the scenes in a folder."""
    from ..info import list_all

    list_all(scenes, form)


@group.command("show")
def show_scene(
    name: Annotated[str, typer.Argument(help="Name of the scene.")], scenes: Scenes = SCENES, form: ListForm = "table"
) -> None:
    """Shows a scene's settings, its fit, and what is normal for its scores."""
    from ..info import show

    show(scene_path(scenes, name), form)


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream export gate --to onnx -o gate.onnx\n\n"
    "msflow-stream export gate --to openvino -o gate.xml --frame-size 1080x1920"
)
def export(
    scene: Annotated[str, typer.Argument(help="Name of the scene.")],
    to: Annotated[Literal["onnx", "openvino", "torch"], typer.Option(help="Kind of file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: FILE.onnx, FILE.xml or FILE.pt2.")],
    frame_size: Annotated[
        str | None, typer.Option(help="Size of the frames it will get, H x W; the scene's input size if not given.")
    ] = None,
    scenes: Scenes = SCENES,
    overwrite: Overwrite = False,
) -> None:
    """Writes a scene as a file that scores on its own: uint8 frames in, scores and maps out."""
    from ..convert import ExportJob
    from ..convert import export as run

    run(
        scene_path(scenes, scene),
        ExportJob(to=to, out=out, frame_size=None if frame_size is None else size(frame_size), overwrite=overwrite),
    )


@app.command(
    "import-checkpoint",
    epilog="Examples:\n\n"
    "msflow-stream import-checkpoint bottle.pt --backbone wide_resnet50_2 --input-size 512 --scene bottle\n\n"
    "msflow-stream import-checkpoint bottle.pt --backbone wide_resnet50_2 --input-size 512 --scene bottle "
    "--set model.weights=wide_resnet50_2.safetensors",
)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="Checkpoint, a .pt file; it is read without executing anything in it.")],
    scene: SceneName,
    backbone: Annotated[str, typer.Option(help="Backbone that it was trained on, by its name in timm.")],
    input_size: Annotated[
        str, typer.Option(help="Size of the input that it was trained with, such as 512 or 256x384 (H x W).")
    ],
    order: Annotated[
        str | None, typer.Option(help="Order of the stored fusion permutations by scale, such as 2,0,1.")
    ] = None,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    overwrite: Overwrite = False,
) -> None:
    """Makes a scene of a checkpoint of the original MSFlow release."""
    from ..convert import import_checkpoint as run

    chosen = None if order is None else numbers(order, ",", "--order", "2,0,1")
    run(file, scene_path(scenes, scene), backbone, size(input_size), set_ or (), chosen, overwrite)
