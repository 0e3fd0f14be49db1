"""What a release consists of, in dist/: the source distribution, the wheel and the bill of materials of a commit.

They are the same, byte for byte, wherever they are made from one commit with one version of setuptools: times are the
commit's, and nothing tells the folder, the user or the order of files on the disk. The wheel is built from the source
distribution, so that whoever unpacks that one can build the same wheel.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from build import ProjectBuilder

from release.required import REPOSITORY
from release.sbom import bill


def main() -> None:
    """Builds what is committed, and prints the SHA-256 of each file."""
    commit, epoch = _git("log", "-1", "--format=%h %ct").split()
    with TemporaryDirectory() as folder:
        archive = Path(folder, "source.tar")
        _git("archive", "--output", str(archive), "HEAD")
        _unpack(archive, Path(folder, "source"))
        made = build(Path(folder, "source"), REPOSITORY / "dist", int(epoch))
    wheel = made[1]
    materials = wheel.with_name("-".join(wheel.name.split("-")[:2]).replace("_", "-") + ".cdx.json")
    materials.write_text(bill(wheel, int(epoch)), encoding="utf-8")
    sys.stdout.write(f"commit {commit}\n")
    for path in (*made, materials):
        sys.stdout.write(f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(REPOSITORY)}\n")


def build(source: Path, out: Path, epoch: int) -> tuple[Path, Path]:
    """Returns a source distribution and the wheel that is built from it; no network is needed.

    Args:
        source: a folder of sources and nothing else; a build leaves files in it.
        out: the folder for both; it is made.
        epoch: the time of all files, in seconds since 1970.

    Raises:
        BuildBackendException: setuptools failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        sdist = _plain(_built("sdist", source, Path(folder), epoch), out, epoch)
        _unpack(sdist, Path(folder, "unpacked"))
        (unpacked,) = Path(folder, "unpacked").iterdir()
        return sdist, _built("wheel", unpacked, out, epoch)


def _built(kind: Literal["sdist", "wheel"], source: Path, out: Path, epoch: int) -> Path:
    def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        environment = {**os.environ, **(extra_environ or {}), "SOURCE_DATE_EPOCH": str(epoch)}
        subprocess.run(cmd, cwd=cwd, env=environment, umask=0o022, stdout=subprocess.PIPE, check=True)

    return Path(ProjectBuilder(source, runner=run).build(kind, out))


def _plain(sdist: Path, out: Path, epoch: int) -> Path:
    """A copy of an archive that tells neither who made it nor when nor where; setuptools does this for wheels alone."""
    to = out / sdist.name
    with (
        tarfile.open(sdist) as archive,
        to.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as plain,
    ):
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            member.mtime, member.pax_headers = epoch, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() else 0o644
            plain.addfile(member, archive.extractfile(member) if member.isfile() else None)
    return to


def _unpack(archive: Path, to: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(to, filter="data")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
