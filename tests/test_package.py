"""The wheel, installed into an environment of its own, far from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY
from tests.support.footage import small_flags


class Installed:
    """An environment with the wheel in it, and with what the wheel needs from the environment of the tests."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        run([sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", "--no-index", wheel], folder)
        self.packages = next(folder.glob("lib/python*/site-packages"))
        self.names = {path.name for path in self.packages.iterdir()}
        (self.packages / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")


def run(command: list[object], cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    names = run(["git", "ls-files", "-co", "--exclude-standard"], REPOSITORY).splitlines()
    for name in names:  # a build leaves files beside its sources
        if not name.startswith("tests/") and (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source],
        folder,
    )
    (wheel,) = folder.glob("*.whl")
    return Installed(folder / "environment", wheel)


def test_it_owns_one_import_name(installed: Installed) -> None:
    own = {name for name in installed.names if not name.endswith((".dist-info", "__pycache__"))}
    assert own == {"msflow_stream"}
    place = run([installed.python, "-c", "import msflow_stream; print(msflow_stream.__file__)"], installed.folder)
    assert Path(place.strip()).is_relative_to(installed.packages)


def test_its_command_makes_the_demo(installed: Installed) -> None:
    arguments = ["--out", "demo", "--seconds", "4", "--device", "cpu", *small_flags("fit.passes=1")]
    said = run([installed.folder / "bin" / "msflow-stream", "demo", *arguments], installed.folder)
    assert "frame-level AUROC" in said
    assert (installed.folder / "demo" / "run" / "today" / "overlay.mp4").is_file()


@pytest.mark.parametrize("data", ["mvtec", "mstc", "mtd", "demo"])
def test_the_settings_that_come_with_it_are_found(installed: Installed, data: str) -> None:
    code = f"from msflow_stream.pipelines import packaged_config as c; print(c({data!r}).read_text())"
    assert run([installed.python, "-c", code], installed.folder).strip()


def test_the_console_comes_with_its_pages_and_assets(installed: Installed) -> None:
    web = REPOSITORY / "msflow_stream" / "web"
    own = {
        str(path.relative_to(web))
        for folder in ("static", "templates")
        for path in (web / folder).rglob("*")
        if path.is_file()
    }
    there = installed.packages / "msflow_stream" / "web"
    assert [name for name in sorted(own) if not (there / name).is_file()] == []
    assert "static/vendor/uPlot.LICENSE" in own
