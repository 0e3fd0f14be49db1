from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from msflow_stream.stream.counters import Counters
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import CameraReport, WatchReport
from pipelines.terminal.status_table import BAR, StatusTable, bar, status_table
from tests.web.reports import (
    HOSTILE,
    NOW,
    ROW,
    SECRET,
    alarmed,
    dark,
    in_state,
    nothing,
    of_all_sorts,
    report,
    running,
    unreachable,
)

WIDTHS = [80, 100, 160]
HEADER_LINES = 2


def drawn(table: Table, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(table)
    return file.getvalue().splitlines()


def row(whole: WatchReport, name: str, width: int) -> str:
    return next(line for line in drawn(status_table(whole, NOW, width), width) if line.startswith(name))


@pytest.mark.parametrize("width", WIDTHS)
def test_every_camera_has_one_line(width: int) -> None:
    long = replace(running("a-camera-whose-name-is-far-too-long-for-any-table-" * 4), scene="s" * 300)
    whole = report(running(), unreachable(), dark(), alarmed(), long, *(in_state(f"in-{s}", s) for s in State))
    lines = drawn(status_table(whole, NOW, width), width)
    assert len(lines) == HEADER_LINES + len(whole.cameras) + 1, "and the footer one"
    assert all(cell_len(line) <= width for line in lines)
    for camera, line in zip(whole.cameras, lines[HEADER_LINES:], strict=False):
        assert line.startswith(camera.name[:4])
        assert f"● {camera.status.state}" in line


@pytest.mark.parametrize("width", WIDTHS)
def test_where_there_are_nodes_each_camera_says_its_own(width: int) -> None:
    whole = report(replace(running(), node="north-1a2b3c4d"), replace(dark(), node="south-5e6f7a8b"), unreachable())
    head, *lines = drawn(status_table(whole, NOW, width), width)
    assert head.split()[:2] == ["camera", "node"]
    assert [bool(re.search("(nor|sou)", line)) for line in lines[HEADER_LINES - 1 : -1]] == [True, True, False]
    assert all(cell_len(line) <= width for line in (head, *lines))
    assert "node" not in drawn(status_table(report(running()), NOW, width), width)[0].split()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_name_is_neither_markup_nor_command(width: int) -> None:
    whole = report(running(HOSTILE), replace(running("[red]door[/red]"), scene="[/]"))
    lines = drawn(status_table(whole, NOW, width), width)
    assert len(lines) == HEADER_LINES + 2 + 1
    assert "\x1b[31m" not in "".join(lines)
    if width == 160:
        assert "[red]door[/red]" in lines[3]
        assert "[/]" in lines[3]
        assert 'ga"te\\one {x="y"} 1  [31m[bold]Tür 門' in lines[2]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_camera_that_learns_says_how_far_it_is(width: int) -> None:
    young = replace(running(), phase="learning", phase_done=12.9, phase_of=30.0)
    assert "● learning 43%" in row(report(young), "gate", width)
    assert "● failed" in row(report(replace(young, phase="failed", phase_of=0.0)), "gate", width)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_matters_is_there_at_every_width(width: int) -> None:
    line = row(report(running(), alarmed()), "gate", width)
    for part in ("● running", "190", "13", "0.2s", "3/4"):  # scored, dropped, lag (0.25), score and threshold
        assert part in line
    assert "▲" in row(report(running(), alarmed()), "door", width)
    assert "▲" not in line


def test_more_is_there_where_there_is_room() -> None:
    lines = {width: row(report(running(), dark()), "cellar", width) for width in WIDTHS}
    assert "black" in lines[80]
    assert "black" in lines[100]
    assert "newer" in lines[100], "the top cause of drops"
    assert "yard" in lines[100]
    assert "black picture for 12.0 s" in lines[160]
    assert "13 newer frame" in lines[160]


@pytest.mark.parametrize("width", WIDTHS)
def test_credentials_are_not_drawn(width: int) -> None:
    text = "\n".join(drawn(status_table(of_all_sorts(), NOW, width), width))
    assert SECRET not in text
    if width == 160:
        assert "cannot connect" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_watch_of_nothing_has_a_table_too(width: int) -> None:
    lines = drawn(status_table(nothing(), NOW, width), width)
    assert lines[0].startswith("camera")
    assert lines[-1].strip() == "0 of 0 running · no batch · up 3d04h · cpu"


def test_the_footer_speaks_of_the_process() -> None:
    footer = drawn(status_table(report(running(), dark()), NOW, 100), 100)[-1].strip()
    # Batches of 1, 3, 4, 4, 16 and 300; of five times the third is 0.04 s, the only two in (0.025, 0.05].
    assert footer == "1 of 2 running · batch 54.7 · scoring p50 44 ms · up 3d04h · cuda:0 3.0 GiB"


def later(one: CameraReport, frames: int) -> CameraReport:
    return replace(one, status=replace(one.status, frames_read=frames))


def test_rates_come_from_the_reports_before() -> None:
    table = StatusTable()
    drawn(table.draw(report(later(running(), 1000)), NOW), 100)
    lines = drawn(table.draw(report(later(running(), 1050)), NOW + timedelta(seconds=4)), 100)
    assert " 12.5 " in lines[2]
    # The first report is forgotten when another is as old as the window.
    table.draw(report(later(running(), 1050)), NOW + timedelta(seconds=10))
    lines = drawn(table.draw(report(later(running(), 1050)), NOW + timedelta(seconds=15)), 100)
    assert " 0.0 " in lines[2]


def test_a_camera_that_was_restarted_or_is_new_has_no_rate_yet() -> None:
    table = StatusTable()
    table.draw(report(later(running("gate"), 1000)), NOW)
    lines = drawn(table.draw(report(later(running("gate"), 3), running("door")), NOW + timedelta(seconds=1)), 100)
    for line in lines[2:4]:
        assert re.search(r"running +\ds +- +190", line)


def test_a_clock_that_is_put_back_is_survived() -> None:
    table = StatusTable()
    table.draw(report(later(running(), 1000)), NOW)
    drawn(table.draw(report(later(running(), 1100)), NOW - timedelta(hours=1)), 100)
    lines = drawn(table.draw(report(later(running(), 1120)), NOW - timedelta(hours=1, seconds=-2)), 100)
    assert " 10.0 " in lines[2]


def test_how_long_a_state_lasts_is_shown() -> None:
    table = StatusTable()
    table.draw(report(running("gate")), NOW)
    table.draw(report(dark("gate")), NOW + timedelta(seconds=5))
    lines = drawn(table.draw(report(dark("gate")), NOW + timedelta(seconds=5 + 130)), 100)
    assert re.search(r"● stalled +2m black", lines[2])


def test_a_camera_out_of_reach_is_so_since_its_first_attempt() -> None:
    table = StatusTable()
    for second in range(0, 3600, 20):
        camera = unreachable()
        state = State.CONNECTING if second % 40 else State.RECONNECTING
        camera = replace(camera, status=replace(camera.status, state=state))
        last = table.draw(report(camera), NOW + timedelta(seconds=second), 160)
    lines = drawn(last, 160)
    assert re.search(r"connecting +59m ", lines[2])


def test_the_footer_speaks_of_late_and_not_of_the_whole_run() -> None:
    counters = Counters()
    for _ in range(1000):
        counters.add_batch(1)
        counters.scoring.add(9.0)
    table, empty = StatusTable(), report()
    table.draw(replace(empty, stream=counters.snapshot()), NOW)
    counters.add_batch(8)
    counters.scoring.add(0.002)
    lines = drawn(table.draw(replace(empty, stream=counters.snapshot()), NOW + timedelta(seconds=1)), 100)
    assert "batch 8.0 · scoring p50 2 ms" in lines[-1]
    lines = drawn(table.draw(replace(empty, stream=counters.snapshot()), NOW + timedelta(seconds=30)), 100)
    lines = drawn(table.draw(replace(empty, stream=counters.snapshot()), NOW + timedelta(seconds=45)), 100)
    assert "no batch" in lines[-1]


@pytest.mark.parametrize(
    ("smoothed", "threshold", "cells"),
    [(0, 4, ""), (2, 4, "█" * (BAR // 2)), (4, 4, "█" * BAR), (9, 4, "█" * BAR), (-3, 4, ""), (0.0625 * 4, 4, "▍")],
)
def test_the_bar_is_full_at_the_threshold(smoothed: float, threshold: float, cells: str) -> None:
    assert bar(replace(ROW, smoothed=smoothed, threshold=threshold)) == cells


@pytest.mark.parametrize(("smoothed", "threshold"), [(1, -2), (1, 0), (math.nan, 1), (1, math.inf), (1, math.nan)])
def test_there_is_no_bar_where_a_share_makes_no_sense(smoothed: float, threshold: float) -> None:
    assert bar(replace(ROW, smoothed=smoothed, threshold=threshold)) == ""
