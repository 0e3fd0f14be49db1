"""A page says what drifts, and false alarms beside the promise; a folder without days has nothing to say."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from jinja2 import Environment, PackageLoader

from msflow_stream.teaching.drift.drift import camera_drift
from msflow_stream.teaching.drift.false_alarms import more_alarms, poisson_interval, rate
from msflow_stream.teaching.drift.finding import DayCount, Drift
from msflow_stream.web.console.drift_view import rate_in_words, shown

DAYS = [DayCount(date(2026, 5, day), 24.0, counted=12, unlabelled=2) for day in (1, 2)]


def test_a_card_has_its_day_and_says_that_unlabelled_events_may_have_been_right() -> None:
    finding = more_alarms(DAYS, 0.1)
    assert finding is not None
    environment = Environment(loader=PackageLoader("msflow_stream.web", "templates"), autoescape=True)
    template = environment.from_string('{% from "drift.html.j2" import drift %}{{ drift(found) }}')

    text = template.render(found=[shown(Drift([finding], rate(DAYS, 0.1), DAYS))])

    assert "More false alarms" in text
    assert '<time datetime="2026-05-01">1 May 2026</time>' in text
    assert "of them are not labelled and may have been right" in text


def test_false_alarms_are_an_upper_bound_while_events_are_not_labelled() -> None:
    found = rate(DAYS, 0.1)
    assert found is not None

    assert rate_in_words(found).startswith("at most 12 a day (7.7 to 18), 24 in 48 h of the last 2 days")


def test_the_interval_of_no_alarms_ends_at_3_7() -> None:
    low, high = poisson_interval(0)

    assert low == 0.0
    assert round(high, 2) == 3.69  # -ln(0.025)


def test_a_folder_without_days_has_no_drift(tmp_path: Path) -> None:
    assert camera_drift(tmp_path / "gate", tmp_path / "scene", []) == Drift()
