"""The check of a GPU, in one command: `python3 tests/gpu/check.py [--cpu] [--wheels FOLDER] [--out FILE] [POINT ...]`.

Every point runs in a process of its own, so that what breaks one, or hangs it, leaves the others as they are. It ends
within 8 minutes by itself, needs no network, and runs from a bare checkout.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GRACE = 5.0  # seconds that a point may take longer, to say what it left out
WARM = ["torch", "timm", "msflow_stream.scoring.scorer", "pipelines.bench.variants"]  # imported once, for all points


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the points, prints a line for each check, writes the report, and returns 0 if nothing failed."""
    from msflow_stream.files import write_json
    from tests.gpu.points import POINTS, TOTAL

    options = _options(arguments, [point.name for point in POINTS])
    start, checks = time.monotonic(), list[dict[str, Any]]()
    report: dict[str, Any] = {"cpu": options.cpu, "checks": checks}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    for point in POINTS:
        if options.points and point.name not in options.points:
            continue
        seconds = point.cpu_seconds if options.cpu else point.seconds
        seconds = min(seconds, TOTAL - (time.monotonic() - start) - GRACE)
        print(f"----  {point.name}: {point.claim} (at most {max(seconds, 0):.0f} s)", flush=True)
        checks += _run(context, point.name, options.cpu, seconds)
        report["seconds"] = round(time.monotonic() - start, 1)
        write_json(options.out, report)  # what is known so far, whatever comes
    counted = Counter(check["verdict"] for check in checks)
    said = ", ".join(f"{counted[one]} {one}" for one in ("PASS", "FAIL", "SKIP"))
    print(f"----  {said} in {time.monotonic() - start:.0f} s", flush=True)
    write_json(options.out, {"machine": _machine(options.cpu), **report})
    return 1 if counted["FAIL"] else 0


def _machine(cpu: bool) -> dict[str, Any]:
    from msflow_stream.machine import choose_device
    from pipelines.bench.machine import machine_facts

    return machine_facts(choose_device("cpu" if cpu else "auto"))


def _options(arguments: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", nargs="*", metavar="POINT", help=f"all, or some of: {', '.join(names)}")
    parser.add_argument("--cpu", action="store_true", help="what says something without a GPU, in small")
    parser.add_argument("--out", type=Path, default=Path("gpu-report.json"), help="the report, as JSON")
    parser.add_argument("--wheels", type=Path, help="a folder of `make gpu-wheels`, to use what is not installed")
    options = parser.parse_args(arguments)
    unknown = set(options.points) - set(names)
    if unknown:
        parser.error(f"there is no point {', '.join(sorted(unknown))}, only {', '.join(names)}")
    return options


def _run(context: Any, name: str, cpu: bool, seconds: float) -> list[dict[str, Any]]:
    """Runs one point in a process, and prints its checks as they come; ends it when it takes too long."""
    checks: list[dict[str, Any]] = []

    def note(check: dict[str, Any]) -> None:
        checks.append(check)
        print(f"{check['verdict']}  {name:<12} {check['text']}", flush=True)

    def say(verdict: str, text: str) -> None:
        note({"point": name, "verdict": verdict, "text": text, "figure": None, "bound": None, "seconds": seconds})

    if seconds < GRACE:
        say("SKIP", "cut: the time of the whole check is used up")
        return checks
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(name, cpu, seconds, sender), daemon=False)
    process.start()
    sender.close()
    end = time.monotonic() + seconds + GRACE
    with contextlib.suppress(EOFError):
        while receiver.poll(max(0.0, end - time.monotonic())):
            note(receiver.recv())
    process.join(max(0.0, end - time.monotonic()) + 1)
    if process.is_alive():
        process.kill()
        process.join()
        say("FAIL", f"did not end: killed after {seconds + GRACE:.0f} s, what was left of it is not checked")
    elif process.exitcode:
        say("FAIL", f"its process ended with {process.exitcode}, what was left of it is not checked")
    return checks


def work(name: str, cpu: bool, seconds: float, sender: Connection) -> None:
    """Runs one point in this process and sends its checks."""
    from tests.gpu.report import At, Check, TimeIsUpError

    def send(check: Check) -> None:
        sender.send(asdict(check))

    begin = time.monotonic()
    faulthandler.dump_traceback_later(seconds + GRACE - 1, exit=False)  # to stderr: where it hangs
    try:
        import torch

        from msflow_stream.machine import choose_device

        at = At(name, choose_device("cpu" if cpu else "cuda"), seconds, send)
        torch.manual_seed(0)
        import_module(f"tests.gpu.points.{name}").check(at)
    except TimeIsUpError as error:
        text = f"cut: the time of this point was up at '{error}'; it and what follows are not checked"
        send(Check(name, "SKIP", text, seconds=round(time.monotonic() - begin, 2)))
    except BaseException as error:
        text = f"{type(error).__name__}: {str(error)[:400]}; what was left of it is not checked"
        send(Check(name, "FAIL", text.replace("\n", " "), seconds=round(time.monotonic() - begin, 2)))
    sender.close()
    sys.stdout.flush()
    os._exit(0)  # threads that still wait for something do not keep it


def bootstrap(arguments: Sequence[str]) -> None:
    """Finds the sources and, with --wheels, the packages that are not installed; programs that are started do, too."""
    sys.path.insert(0, str(ROOT))
    from msflow_stream.cores import share_cores

    share_cores()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # whoever asks for a GPU early leaves it to the processes
    found = [str(ROOT)]
    if "--wheels" in arguments[:-1]:
        from tests.gpu.wheels import install

        found.append(install(Path(arguments[arguments.index("--wheels") + 1])))
        sys.path.append(found[-1])  # last: what is installed goes before
    os.environ["PYTHONPATH"] = os.pathsep.join([*found, *filter(None, [os.environ.get("PYTHONPATH")])])


if __name__ == "__main__":
    bootstrap(sys.argv)
    sys.exit(import_module("tests.gpu.check").main())  # by its name, as the processes know it
