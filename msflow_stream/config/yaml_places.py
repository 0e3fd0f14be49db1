"""The places of values in the text of a YAML file, so that one can be changed and every other character stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

CLOSING: Any = yaml.events.CollectionEndEvent
NODES = (yaml.events.NodeEvent, CLOSING)
parse: Callable[..., Iterator[Any]] = yaml.parse  # the stubs do not know what it yields


@dataclass
class Place:
    """A value in a text.

    Attributes:
        kind: an alias stands for a value elsewhere.
        start, end: its first character, its anchor included, and the one behind its last, no comment included.
        flow: a list or mapping in brackets.
        anchor: its own, or the one that it refers to.
        keys, values: of a mapping in their order; of a list there are no keys.
        text: of a scalar.
    """

    kind: Literal["mapping", "list", "scalar", "alias"]
    start: int
    end: int
    flow: bool = False
    anchor: str | None = None
    text: str = ""
    keys: list[Place] = field(default_factory=list)
    values: list[Place] = field(default_factory=list)

    def get(self, name: str) -> tuple[Place, Place] | None:
        """Returns a key and its value, None where there is none."""
        return next((pair for pair in zip(self.keys, self.values, strict=True) if pair[0].text == name), None)

    def all(self) -> Iterator[Place]:
        """Yields it and all within."""
        yield self
        for value in self.values:
            yield from value.all()


def places_of(text: str) -> Place:
    """Returns the places of a document's values.

    Raises:
        yaml.YAMLError: it is none.
    """
    events = (event for event in parse(text, yaml.SafeLoader) if isinstance(event, NODES))
    return _place(next(events), events)


def _place(event: Any, events: Iterator[Any]) -> Place:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return Place("alias", start, end, anchor=event.anchor)
    if isinstance(event, yaml.ScalarEvent):
        return Place("scalar", start, end, anchor=event.anchor, text=event.value)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    place = Place("mapping" if is_mapping else "list", start, end, bool(event.flow_style), event.anchor)
    while not isinstance(event := next(events), CLOSING):
        if is_mapping:
            place.keys.append(_place(event, events))
            event = next(events)
        place.values.append(_place(event, events))
    # The end of a list or mapping without brackets is where the next thing begins, behind comments.
    place.end = event.end_mark.index if place.flow or not place.values else place.values[-1].end
    return place
