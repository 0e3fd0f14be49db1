"""Every route times every person: a route that the table lacks fails here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocketDisconnect

from msflow_stream.events.store import EventFilter
from msflow_stream.web.access.cookie import cookie_name
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import all_routes
from tests.support.seeding import seeded
from tests.web.access.asking import Browser, quick_console
from tests.web.access.people import BROWSER, PASSWORD

OWN, OTHER = "gate", "yard"  # what people with a list of cameras may see, and may not


@dataclass(frozen=True)
class Needs:
    """What is expected of a route.

    Attributes:
        role: the least that may ask; None: nobody has to be signed in.
        about: "camera", "event" or "decision": its address or body names one, which the person must be allowed to
            see; "cameras": it shows those that they may see; "all": it is for people who see all; "": neither.
        body: what is sent, with {event} in it for an event's id.
    """

    role: Role | None
    about: str = ""
    body: Any = None


VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN
TABLE = {
    "GET /": Needs(VIEWER, "cameras"),
    "WS /live": Needs(VIEWER, "cameras"),
    "GET /status": Needs(VIEWER, "cameras"),
    "GET /cameras/{name}": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/history": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/frame.jpg": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/plain.jpg": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/thresholds": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/dial": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/promise": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/bursts/{id:int}": Needs(VIEWER, "camera"),
    "POST /cameras/{name}/thresholds": Needs(OPERATOR, "camera", {}),
    "POST /cameras/{name}/thresholds/undo": Needs(OPERATOR, "camera", {}),
    "GET /cameras/{name}/exceptions": Needs(VIEWER, "camera"),
    "DELETE /cameras/{name}/exceptions/{id}": Needs(OPERATOR, "camera"),
    "GET /cameras/{name}/areas": Needs(OPERATOR, "camera"),
    "POST /cameras/{name}/areas": Needs(OPERATOR, "camera", {}),
    "POST /cameras/{name}/areas/alarms": Needs(OPERATOR, "camera", {}),
    "POST /cameras/{name}/areas/undo": Needs(OPERATOR, "camera", {}),
    "GET /cameras/{name}/learning": Needs(VIEWER, "camera"),
    "GET /cameras/{name}/learning.json": Needs(VIEWER, "camera"),
    "DELETE /cameras/{name}/learning": Needs(ADMIN, "camera"),
    "GET /new": Needs(ADMIN, "all"),
    "POST /new": Needs(ADMIN, "all", {}),
    "POST /new/try": Needs(ADMIN, "all", {}),
    "GET /events": Needs(VIEWER, "cameras"),
    "GET /events.json": Needs(VIEWER, "cameras"),
    "GET /triage": Needs(VIEWER, "cameras"),
    "GET /events/{id}": Needs(VIEWER, "event"),
    "GET /events/{id}/said": Needs(VIEWER, "event"),
    "GET /events/{id}/details": Needs(VIEWER, "event"),
    "GET /events/{id}/decisions": Needs(VIEWER, "event"),
    "GET /events/{id}/thumb.jpg": Needs(VIEWER, "event"),
    "GET /events/{id}/files/{name}": Needs(VIEWER, "event"),
    "POST /decisions": Needs(OPERATOR, "event", {"ids": ["{event}"], "label": "normal"}),
    "DELETE /decisions/{number}": Needs(OPERATOR, "decision"),
    "GET /scenes": Needs(VIEWER, "cameras"),
    "GET /scenes/{name}": Needs(VIEWER),
    "GET /scenes/{name}/state": Needs(VIEWER),
    "GET /scenes/{name}/taught/{id}/thumb.jpg": Needs(VIEWER),
    "GET /scenes/{name}/shadow/{image}": Needs(VIEWER),
    "POST /scenes/{name}/promote": Needs(OPERATOR, body={}),
    "POST /scenes/{name}/rollback": Needs(OPERATOR, body={}),
    "POST /scenes/{name}/discard": Needs(OPERATOR, body={}),
    "POST /scenes/{name}/teach": Needs(OPERATOR, body={}),
    "DELETE /scenes/{name}/taught/{id}": Needs(OPERATOR, body={}),
    "GET /report": Needs(VIEWER, "cameras"),
    "GET /report/page": Needs(VIEWER),
    "GET /report/evidence.zip": Needs(VIEWER),
    "GET /health": Needs(VIEWER, "cameras"),
    "POST /api/alerts/{name}/test": Needs(ADMIN),
    "POST /api/alerts/{name}/retry": Needs(ADMIN),
    "GET /healthz": Needs(None),
    "GET /readyz": Needs(VIEWER),
    "GET /metrics": Needs(VIEWER, "all"),
    "GET /people": Needs(ADMIN),
    "POST /people/users": Needs(ADMIN, body={"name": "", "password": "", "role": "viewer"}),
    "PUT /people/users/{name}": Needs(ADMIN, body={"role": "viewer"}),
    "DELETE /people/users/{name}": Needs(ADMIN),
    "DELETE /people/users/{name}/sessions": Needs(ADMIN),
    "DELETE /people/sessions/{id}": Needs(ADMIN),
    "GET /sign-in": Needs(None),
    "POST /sign-in": Needs(None),
    "POST /sign-out": Needs(None),
}
WATCH = json.dumps({"watch": {OWN: 160, OTHER: 160}})
PEOPLE = {"viewer": (VIEWER, None), "operator": (OPERATOR, None), "admin": (ADMIN, None)} | {
    f"{role} of {OWN}": (role, [OWN]) for role in Role
}
ABOUT = [name for name, needs in TABLE.items() if needs.about in ("camera", "event", "decision")]


class House:
    """A console with people, of which each can be asked as."""

    def __init__(self, console: Console) -> None:
        self.console, self.browser = console, Browser(console)
        for name, (role, cameras) in PEOPLE.items():
            console.accounts.add(name.replace(" ", "-"), PASSWORD, role, cameras, "test")
        ids = {
            camera: [one.event.id for one in console.store.find(EventFilter(camera=camera))] for camera in (OWN, OTHER)
        }
        self.events = {camera: found[0] for camera, found in ids.items()}
        self.decided = {camera: console.store.decide(found[:1], "test", kept=True) for camera, found in ids.items()}

    def cookie(self, person: str) -> dict[str, str]:
        if person == "nobody":
            return {}
        token = self.console.accounts.sign_in(person.replace(" ", "-"), PASSWORD, "192.0.2.1", BROWSER)
        return {"Cookie": f"{cookie_name(self.console.store.name)}={token}"}

    def ask(self, route: str, person: str, camera: str = OWN) -> httpx.Response:
        """Asks as a person for a route, about a camera or its event where it is about one."""
        method, _, path = route.partition(" ")
        own = {"/cameras/{name}": f"/cameras/{camera}", "/events/{id}": f"/events/{self.events[camera]}"}
        for pattern, value in own.items():
            path = path.replace(pattern, value)
        path = path.replace("/files/{name}", "/files/snapshot.jpg").replace("{number}", str(self.decided[camera]))
        path = path.replace("{name}", "ghost").replace("{id}", "0" * 16).replace("{id:int}", "1")
        body = TABLE[route].body
        text = None if body is None else json.dumps(body).replace("{event}", self.events[camera])
        headers = {"Content-Type": "application/json", **self.cookie(person)}
        return self.browser.request(method, path, content=text, headers=headers)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = seeded(tmp_path_factory.mktemp("routes"), cameras=2, events=4, hours=0.2, labelled=0.0)
    console = quick_console(folder)
    made = House(console)
    with console.store, made.browser, pytest.MonkeyPatch.context() as change:
        change.setattr("msflow_stream.web.console.pages.live.TILE_PACE", 0.0)
        yield made


def routes() -> Iterator[str]:
    for route in all_routes():
        yield from (f"{method} {route.path}" for method in route.methods if method != "HEAD")
        if route.is_socket:
            yield f"WS {route.path}"


def test_the_table_has_every_route_and_no_other() -> None:
    served = sorted(routes())
    assert [route for route in served if route not in TABLE] == [], "say in TABLE what these need"
    assert sorted(TABLE) == served


def is_refused(answer: httpx.Response) -> bool:
    """Whether somebody was turned away, in the way that pages and calls do."""
    signed_out = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")
    return answer.status_code in (401, 403) or signed_out


@pytest.mark.parametrize("route", [one for one in TABLE if one != "POST /sign-in" and one[:2] != "WS"])
def test_each_route_is_for_those_who_have_its_role(house: House, route: str) -> None:
    needs = TABLE[route]
    for person in ("nobody", *PEOPLE):
        role, cameras = PEOPLE.get(person, (None, []))
        allowed = needs.role is None or (role is not None and role.covers(needs.role))
        if needs.about == "all" and cameras is not None:
            allowed = False
        if route == "POST /sign-in":
            allowed = False  # with an empty form
        answer = house.ask(route, person)
        assert is_refused(answer) is not allowed, (person, answer.status_code, answer.text[:200])
        assert answer.status_code != 500


@pytest.mark.parametrize("route", ABOUT)
def test_what_is_of_a_camera_that_they_may_not_see_is_not_there_for_people(house: House, route: str) -> None:
    said = f"here is no such {'camera' if TABLE[route].about == 'camera' else 'event'}"
    for role in Role:
        if not role.covers(TABLE[route].role or VIEWER):
            continue
        answer = house.ask(route, f"{role} of {OWN}", OTHER)
        assert answer.status_code == 404, (role, answer.text[:200])
        assert said in answer.text
        assert OTHER not in answer.text.replace(answer.request.url.path, "")
    assert said not in house.ask(route, "admin", OTHER).text, "it is there for others"
    assert said not in house.ask(route, f"admin of {OWN}", OWN).text


@pytest.mark.parametrize("route", [one for one, needs in TABLE.items() if needs.about == "cameras" and one[:2] != "WS"])
def test_lists_hold_the_cameras_that_a_person_may_see(house: House, route: str) -> None:
    assert OTHER in house.ask(route, "admin").text
    for role in Role:
        text = house.ask(route, f"{role} of {OWN}").text
        assert OWN in text
        assert OTHER not in text


def test_an_event_of_another_camera_is_not_decided_about_beside_ones_own(house: House) -> None:
    ids = list(house.events.values())
    headers = house.cookie(f"admin of {OWN}")
    answer = house.browser.post("/decisions", json={"ids": ids, "label": "violation"}, headers=headers)
    assert answer.status_code == 404
    assert {one.label for one in house.console.store.find()} <= {None, "normal"}


def test_the_socket_is_for_people_and_shows_the_cameras_that_they_may_see(house: House) -> None:
    for headers in ({}, {"Cookie": "msflow_session_0=x"}):
        with pytest.raises(WebSocketDisconnect), house.browser.live(headers):
            pass
    for person, seen in (("viewer", {OWN, OTHER}), (f"viewer of {OWN}", {OWN})):
        with house.browser.live(house.cookie(person)) as socket:
            socket.send_text(WATCH)
            assert {one["name"] for one in json.loads(socket.receive_text())["cameras"]} == seen


def test_the_socket_ends_with_the_session(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msflow_stream.web.access.gate.LOOK_AGAIN", 0.0)
    with house.browser.live(house.cookie("viewer")) as socket:
        socket.send_text(WATCH)
        socket.receive_text()
        house.console.accounts.sign_out("viewer", "test")
        socket.send_text('{"ack": "*"}')
        with pytest.raises(WebSocketDisconnect) as ended:  # noqa: PT012 - it may have sent one more
            for _ in range(5):
                socket.receive_text()
        assert ended.value.code == 1008
