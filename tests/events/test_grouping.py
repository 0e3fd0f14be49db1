"""Similar events come into one group, others do not."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from time import process_time

import pytest

from msflow_stream.events.grouping import EventGroup, group_events
from msflow_stream.events.store import StoredEvent
from tests.support.causes import FIVE, Cause, events_of

BACK_AND_FORTH = (Cause((0.3, 0.4), (0.3, 0)), Cause((0.6, 0.4), (-0.3, 0)))
SIDE_BY_SIDE = (Cause((0.3, 0.3), trigger="appearance"), Cause((0.55, 0.3), trigger="appearance"))


def ids(groups: list[EventGroup]) -> list[list[str]]:
    return [[stored.event.id for stored in group.events] for group in groups]


def causes(groups: list[EventGroup]) -> list[set[str]]:
    """The causes in each group; an id tells its cause."""
    return [{id.removeprefix("gate-").partition("-")[0] for id in members} for members in ids(groups)]


def plain(made: list[tuple[int, StoredEvent]]) -> list[StoredEvent]:
    return [stored for _, stored in made]


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_events_of_five_causes_are_at_most_seven_groups_of_one_cause_each(seed: int) -> None:
    groups = group_events(plain(events_of(FIVE, each=20, seed=seed)))
    assert 5 <= len(groups) <= 7
    assert all(len(found) == 1 for found in causes(groups))
    assert sum(len(group.events) for group in groups) == 100


@pytest.mark.parametrize("two", [BACK_AND_FORTH, SIDE_BY_SIDE])
def test_opposite_directions_and_places_apart_are_never_of_one_group(two: tuple[Cause, ...]) -> None:
    for seed in range(4):
        assert all(len(found) == 1 for found in causes(group_events(plain(events_of(two, each=20, seed=seed)))))


def test_other_cameras_and_other_triggers_are_other_groups() -> None:
    here = Cause((0.3, 0.3), trigger="appearance")
    others = (here, replace(here, camera="yard"), replace(here, trigger="view"))
    assert len(group_events(plain(events_of(others, each=5, jitter=0.2)))) == 3


def test_the_order_of_events_does_not_matter() -> None:
    events = plain(events_of(each=10))
    mixed = Random(1).sample(events, len(events))
    assert ids(group_events(mixed)) == ids(group_events(events))


def test_newer_events_move_no_older_one() -> None:
    events = plain(events_of(each=15))
    before, after = group_events(events[:50]), group_events(events)
    names = {group.key: {stored.event.id for stored in group.events} for group in after}
    assert all({stored.event.id for stored in group.events} <= names[group.key] for group in before)


def test_what_a_group_has_in_common_is_told_in_words() -> None:
    walkers, *_ = group_events(plain(events_of((Cause((0.1, 0.5), (0.25, 0)),), each=12)))
    assert (walkers.camera, walkers.place, walkers.direction) == ("gate", "at the lower left", "to the right")
    assert walkers.triggers[0] == "motion"


def test_the_most_severe_event_tells_most() -> None:
    events = plain(events_of(FIVE[:1], each=8))
    worst = replace(events[3], event=replace(events[3].event, severity="high"))
    (group,) = group_events([*events[:3], worst, *events[4:]])
    assert group.telling is worst


def test_events_without_regions_tracks_and_reasons_are_grouped_too() -> None:
    bare = [
        replace(stored, event=replace(stored.event, regions=(), tracks=(), why=None, triggers=("paper",)))
        for stored in plain(events_of(FIVE[3:4], each=3, jitter=0.1))
    ]
    (group,) = group_events(bare)
    assert (len(group.events), group.place, group.direction) == (3, None, None)


def test_a_thousand_events_take_less_than_two_seconds() -> None:
    events = plain(events_of(each=200))
    begun = process_time()
    group_events(events)
    assert process_time() - begun < 2
