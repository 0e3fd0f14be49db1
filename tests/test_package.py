"""What a release consists of; and its wheel, installed into an environment of its own, far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

import msflow_stream
from release.dist import build
from tests.support.data import REPOSITORY
from tests.support.footage import small_flags

WEB = REPOSITORY / "msflow_stream" / "web"
COMMITTED = 1_767_225_600  # the first second of 2026, for the time of a commit


class Built:
    """A source distribution and the wheel that is made from it, twice: of two copies, made at two times.

    What a build could be led astray by is different the second time: the folder and who may read the files.
    """

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.sdist, self.wheel = self._built(folder / "one", names)
        before = os.umask(0o077)
        try:
            self.again = self._built(folder / "another" / "place", names)
        finally:
            os.umask(before)

    def _built(self, folder: Path, names: list[str]) -> tuple[Path, Path]:
        for name in names:
            to = folder / "source" / name
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes((REPOSITORY / name).read_bytes())
        return build(folder / "source", folder / "dist", COMMITTED)


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
def sources() -> list[str]:
    """The files of the repository, committed or not."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("what belongs to the repository is known in a clone of it only")
    names = run(["git", "ls-files", "-co", "--exclude-standard"], REPOSITORY).splitlines()
    return [name for name in names if (REPOSITORY / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, sources: list[str]) -> Built:
    return Built(tmp_path_factory.mktemp("built"), sources)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, built: Built) -> Installed:
    return Installed(tmp_path_factory.mktemp("package") / "environment", built.wheel)


def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(wheel.read(name))


def test_two_builds_at_two_places_are_the_same_byte_for_byte(built: Built) -> None:
    for one, another in zip((built.sdist, built.wheel), built.again, strict=True):
        assert one.name == another.name
        assert one.read_bytes() == another.read_bytes()


def test_the_source_distribution_has_what_the_repository_has(built: Built, sources: list[str]) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    missing = {name for name in sources if not name.startswith(".")} - names
    added = names - set(sources)
    assert missing == set()
    assert {name for name in added if not name.startswith("msflow_stream.egg-info/")} == {"PKG-INFO", "setup.cfg"}


def test_its_version_is_that_of_the_package(built: Built) -> None:
    assert metadata(built)["Version"] == msflow_stream.__version__
    assert built.wheel.name == f"msflow_stream-{msflow_stream.__version__}-py3-none-any.whl"
    assert built.sdist.name == f"msflow_stream-{msflow_stream.__version__}.tar.gz"


def test_the_licences_of_all_that_is_in_it_come_with_it(built: Built) -> None:
    assert metadata(built)["License-Expression"] == "Apache-2.0 AND MIT"
    stated = metadata(built).get_all("License-File") or []
    with zipfile.ZipFile(built.wheel) as wheel:
        held = {name.partition(".dist-info/licenses/")[2] for name in wheel.namelist()}
    vendored = {path.with_suffix(".LICENSE").name for path in (WEB / "static" / "vendor").iterdir()}
    assert set(stated) <= held
    assert {Path(name).name for name in stated} == {"LICENSE", *vendored}


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
    own = {
        str(path.relative_to(WEB))
        for folder in ("static", "templates")
        for path in (WEB / folder).rglob("*")
        if path.is_file()
    }
    there = installed.packages / "msflow_stream" / "web"
    assert [name for name in sorted(own) if not (there / name).is_file()] == []
    assert "static/vendor/uPlot.LICENSE" in own
