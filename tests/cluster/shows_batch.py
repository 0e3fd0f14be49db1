"""`score` of 24 clips on three nodes: one is killed, then the head, then Ctrl-C; what Ray costs a job on one node.

Run: python -m tests.cluster.shows_batch [--only kill head cancel overhead] [--keep FOLDER]
It prints what it found, and ends with exit code 1 where something is not as it should be: the files are those of one
machine to the last byte, each source is there once, and a job through Ray takes at most 5 % longer, beside its start.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msflow_stream.datasets.synthetic import Violation
from pipelines.fit import FitJob, fit
from pipelines.score_kept import ASIDE
from tests.support.footage import small_settings, write_clip
from tests.support.ray_cluster import ROOT, kill_node, ray_cluster
from tests.support.spread import contents

CLIPS, DISTINCT, NODES = 24, 4, 3
MOST_OVERHEAD, MOST_STORED_MIB = 0.05, 4.0
LARGER = ("input.size=[128,192]", "model.backbone=resnet18", "model.stages=[1,2,3]", "model.blocks=[2,4,4]")
PATIENCE = 1200.0


class Batch:
    """Clips, a scene, and the runs over them in a folder."""

    def __init__(self, folder: Path, name: str, seconds: float, *settings: str) -> None:
        self.folder, self.clips, self.found = folder / name, folder / name / "clips", list[str]()
        if not (self.folder / "scenes" / "gate").exists():
            self.clips.mkdir(parents=True)
            for number in range(DISTINCT):
                write_clip(self.clips, f"clip{number:02}", seconds, [Violation("cart", 1, 2.5)], number)
            for number in range(DISTINCT, CLIPS):
                self._copy(number % DISTINCT, number)
            normal = write_clip(self.folder, "normal", 6)
            fit([str(normal)], self.folder / "scenes" / "gate", small_settings(*settings), FitJob(device="cpu"))

    def _copy(self, source: int, number: int) -> None:
        """Copies a clip, its labels and its masks: to draw one takes longer than to score it."""
        for folder, suffix in (("", "mp4"), ("labels", "npy"), ("masks", "npy")):
            place = self.clips / folder
            shutil.copy(place / f"clip{source:02}.{suffix}", place / f"clip{number:02}.{suffix}")

    def command(self, out: str, *more: str, clips: Sequence[Path] = ()) -> list[str]:
        """The command line of a run; of all clips with their labels and masks where none are named."""
        truth = ("--labels", self.clips / "labels", "--masks", self.clips / "masks", "--save-maps")
        sources = tuple(clips) or (self.clips, *truth)
        where = ("--scene", "gate", "--scenes", self.folder / "scenes", "--out", self.folder / out)
        return [sys.executable, str(ROOT / "cli.py"), "score", *map(str, (*sources, *where)), *more]

    def run(self, out: str, *more: str, clips: Sequence[Path] = ()) -> float:
        """Runs to the end; returns how many seconds that took."""
        began = time.monotonic()
        done = subprocess.run(self.command(out, *more, clips=clips), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{out} failed: {done.stderr}")
        return time.monotonic() - began

    def complete(self, out: str) -> dict[str, int]:
        """The sources that are complete, and when each was."""
        records = (self.folder / out).glob("*/run.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in records}

    def check(self, right: bool, claim: str) -> None:
        """Notes and says whether a claim holds."""
        say(f"{'proved' if right else 'FAILED'}: {claim}")
        if not right:
            self.found.append(claim)

    def check_same(self, out: str) -> None:
        """Compares a run with that of one machine."""
        one, other = contents(self.folder / "alone"), contents(self.folder / out)
        self.check(one == other, f"{out}: {len(one)} files of {CLIPS} clips are those of one machine, to the last byte")
        left = [str(path) for path in (self.folder / out / ASIDE / "staging").glob("*")]
        self.check(not left, f"{out}: nothing half-written is left")


def say(text: str) -> None:
    print(text, flush=True)


def started(batch: Batch, out: str, address: str, least: int) -> subprocess.Popen[str]:
    """Starts a run on a cluster and waits until so many clips are complete."""
    command = batch.command(out, "--cluster", address)
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE
    while len(batch.complete(out)) < least and job.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    return job


def kill(batch: Batch) -> None:
    """A node dies in mid-job."""
    with ray_cluster(NODES) as cluster:
        job = started(batch, "killed", cluster.address, 4)
        kill_node(cluster.list_all_nodes()[1])
        before = batch.complete("killed")
        say(f"a node is killed when {len(before)} of {CLIPS} clips are complete")
        _, said = job.communicate(timeout=PATIENCE)
    batch.check(
        job.returncode == 0, f"killed: the job ended with exit code {job.returncode} {said if job.returncode else ''}"
    )
    batch.check(len(before) < CLIPS, "killed: it was in mid-job")
    after = batch.complete("killed")
    batch.check(all(after.get(name) == when for name, when in before.items()), "killed: what was complete stayed")
    batch.check_same("killed")


def head(batch: Batch) -> None:
    """The head dies in mid-job, and a new cluster goes on."""
    with ray_cluster(NODES) as cluster:
        job = started(batch, "headless", cluster.address, 4)
        kill_node(cluster.head_node)
        _, said = job.communicate(timeout=PATIENCE)
        lines = [line for line in said.splitlines() if line.startswith("error:")]
    before = batch.complete("headless")
    say(f"the head was killed, {len(before)} of {CLIPS} clips are complete; it said: {' '.join(lines)}")
    batch.check(job.returncode == 2 and len(lines) == 1, f"headless: one line, exit code {job.returncode}")
    batch.check(0 < len(before) < CLIPS, "headless: it was in mid-job")
    with ray_cluster(NODES) as cluster:
        batch.run("headless", "--cluster", cluster.address)
    after = batch.complete("headless")
    batch.check(all(after.get(name) == when for name, when in before.items()), "headless: what was complete stayed")
    batch.check_same("headless")


def cancel(batch: Batch) -> None:
    """Ctrl-C in mid-job, and the same command once more."""
    with ray_cluster(NODES) as cluster:
        job = started(batch, "cancelled", cluster.address, 4)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=PATIENCE)
        before = batch.complete("cancelled")
        say(f"Ctrl-C was pressed, {len(before)} of {CLIPS} clips are complete")
        batch.check(job.returncode == 130 and "goes on" in said, f"cancelled: one line, exit code {job.returncode}")
        batch.run("cancelled", "--cluster", cluster.address)
    after = batch.complete("cancelled")
    batch.check(all(after.get(name) == when for name, when in before.items()), "cancelled: what was complete stayed")
    batch.check_same("cancelled")


def overhead(batch: Batch, rounds: int) -> None:
    """The time of 24 units beyond that of one, alone and through Ray on one node."""
    clips, most = sorted(batch.clips.glob("*.mp4")), 0.0
    alone, spread = list[float](), list[float]()
    with ray_cluster(1) as cluster:
        logs = Path(cluster.head_node.get_logs_dir_path())
        ways: list[tuple[list[float], tuple[str, ...]]] = [(alone, ()), (spread, ("--cluster", cluster.address))]
        for number in range(rounds):
            for times, more in ways:
                out = f"{'spread' if more else 'plain'}{number}"
                first = batch.run(f"{out}-one", *more, clips=clips[:1])
                everything = batch.run(f"{out}-all", *more, clips=clips)
                times.append(everything - first)
                most = max(most, stored_mib(logs)) if more else most
                say(f"{out}: {first:.1f} and {everything:.1f} s, load {os.getloadavg()[0]:.1f}")
    share = min(spread) / min(alone) - 1
    say(f"{CLIPS - 1} clips more: {min(alone):.1f} s alone, {min(spread):.1f} s through Ray: {100 * share:+.1f} %")
    batch.check(share <= MOST_OVERHEAD, f"overhead: at most {100 * MOST_OVERHEAD:.0f} % beside the start")
    batch.check(most <= MOST_STORED_MIB, f"overhead: {most:.3f} MiB in the object store at most")


def stored_mib(logs: Path) -> float:
    """The most that the object store of a node held, as Ray's log of that node says."""
    held = []
    for log in logs.glob("raylet*.out"):
        held += [float(one) for one in re.findall(r"current usage ([0-9.e+-]+) /", log.read_text(errors="replace"))]
    return max(held, default=0.0) * 1e9 / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="parts: kill, head, cancel, overhead")
    parser.add_argument("--keep", type=Path, help="folder for all files, which stay there")
    parser.add_argument("--rounds", type=int, default=2, help="of the measurement of overhead; the best one counts")
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MSFLOW_ENGINE": "torch", "MSFLOW_PRECISION": "float32"}
    wanted = given.only or ["kill", "head", "cancel", "overhead"]
    failed = list[str]()
    with tempfile.TemporaryDirectory(dir=given.keep and given.keep.parent) as temporary:
        folder = given.keep or Path(temporary)
        if set(wanted) - {"overhead"}:
            batch = Batch(folder, "small", 5)
            if not (batch.folder / "alone").exists():
                batch.run("alone")
            parts: dict[str, Callable[[Batch], Any]] = {"kill": kill, "head": head, "cancel": cancel}
            for part in [part for part in parts if part in wanted]:
                parts[part](batch)
            failed += batch.found
        if "overhead" in wanted:
            batch = Batch(folder, "larger", 8, *LARGER)
            overhead(batch, given.rounds)
            failed += batch.found
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
