"""Areas are changed in a cameras file: nothing else of it is, not a comment, a quote or an order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.config.areas_text import edited, rounded
from msflow_stream.config.camera_text import with_camera, without_camera
from msflow_stream.config.cameras import Cameras
from msflow_stream.config.cameras_edit import (
    Changed,
    add_camera,
    backup_of,
    change_areas,
    content_hash,
    own_areas,
    remove_camera,
    undo_change,
)
from msflow_stream.config.cameras_file import load_file, load_text
from msflow_stream.types import UserError

EXAMPLE = Path(__file__).parents[2] / "configs" / "cameras.example.yaml"
SECRETS = {"GATE_PASSWORD": "s3cret", "HOOK_SECRET": "x"}
SQUARE = ((0.1, 0.2), (0.3, 0.2), (0.3, 0.4))
OTHER = ((0.5, 0.5), (0.9, 0.5), (0.9, 0.8), (0.5, 0.8))

WRITTEN = """\
# all of it
defaults: {every: 5, ignore: &clock [[[0, 0], [1, 0], [1, 0.1]]]}  # one line
cameras:
  'gate':  # quoted
    url: "rtsp://viewer:${PASSWORD}@192.0.2.1/a"  # the front
    ignore:   # what moves

      # the clock
      - [[0.0, 0.0], [1.0, 0.0], [1.0, 0.08]]  # top
      - [[0.5, 0.5], [0.6, 0.5], [0.6, 0.6]]   # the tree
      # the flag
      - - [0.7, 0.5]
        - [0.8, 0.5]
        - [0.8, 0.6]

    scene:   yard   # after

  # between
  walk: {url: walk.mp4, scene: yard, watch: [[[0,0],[1,0],[1,1]]], }  # in brackets
  door:
    url: 'door.mp4'
    scene: yard
    ignore: *clock
  last:
      url: last.mp4
      privacy: []
      scene: yard"""


def loaded(text: str) -> Cameras:
    return load_text(text, Path("cameras.yaml"), {"PASSWORD": "p"})


def test_each_line_of_a_list_keeps_its_comments() -> None:
    gate = own_areas(loaded(WRITTEN).cameras["gate"])["ignore"]
    changed = edited(WRITTEN, "gate", {"ignore": (gate[0], SQUARE, gate[2], OTHER)})
    assert loaded(changed).cameras["gate"].ignore == (gate[0], SQUARE, gate[2], OTHER)
    was = "- [[0.5, 0.5], [0.6, 0.5], [0.6, 0.6]]   # the tree"
    now = "- [[0.1, 0.2], [0.3, 0.2], [0.3, 0.4]]   # the tree"
    added = "        - [0.8, 0.6]\n      - [[0.5, 0.5], [0.9, 0.5], [0.9, 0.8], [0.5, 0.8]]\n"
    assert changed == WRITTEN.replace(was, now).replace("        - [0.8, 0.6]\n", added)


def test_a_line_that_is_deleted_takes_its_own_comment_only() -> None:
    gate = own_areas(loaded(WRITTEN).cameras["gate"])["ignore"]
    changed = edited(WRITTEN, "gate", {"ignore": gate[1:]})
    assert changed == WRITTEN.replace("      - [[0.0, 0.0], [1.0, 0.0], [1.0, 0.08]]  # top\n", "")


def test_an_empty_list_is_written_plainly() -> None:
    changed = edited(WRITTEN, "gate", {"ignore": ()})
    assert "    ignore: []   # what moves\n" in changed
    assert loaded(changed).cameras["gate"].ignore == ()
    assert "    ignore: []\n" in edited(WRITTEN, "door", {"ignore": ()})


@pytest.mark.parametrize("name", ["walk", "door", "last"])
def test_what_it_inherits_is_replaced_by_its_own(name: str) -> None:
    changed = loaded(edited(WRITTEN, name, {"ignore": (SQUARE,), "privacy": (OTHER, SQUARE)}))
    before = loaded(WRITTEN)
    wish = before.cameras[name].model_copy(update={"ignore": (SQUARE,), "privacy": (OTHER, SQUARE)})
    assert changed == before.model_copy(update={"cameras": {**before.cameras, name: wish}})


def test_others_keep_what_they_refer_to() -> None:
    text = WRITTEN.replace("ignore: &clock [[[0, 0], [1, 0], [1, 0.1]]]", "skip_static: false")
    text = text.replace("ignore:   # what moves", "ignore: &clock  # what moves")
    before = loaded(text)
    changed = loaded(edited(text, "gate", {"ignore": (SQUARE,)}))
    assert changed.cameras["gate"].ignore == (SQUARE,)
    assert changed.cameras["door"].ignore == before.cameras["gate"].ignore


def test_breaks_stay_those_of_the_file() -> None:
    text = WRITTEN.replace("\n", "\r\n")
    changed = edited(text, "gate", {"ignore": (OTHER,), "watch": (SQUARE,)})
    assert changed.count("\n") == changed.count("\r\n")
    assert loaded(changed).cameras["gate"].watch == (SQUARE,)


polygon = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=5)
polygons = st.lists(st.one_of(st.just(SQUARE), st.just(OTHER), polygon), max_size=4)
STYLES = ("", "{key}: []", "{key}: {flow}  # why", "{key}:  # why\n{lines}")
cameras = st.lists(
    st.tuples(st.sampled_from(STYLES), st.sampled_from(STYLES), polygons, st.booleans()), min_size=1, max_size=3
)


def composed(parts: list[tuple[str, str, list[object], bool]]) -> str:
    text = "defaults:\n  every: 3  # often\n  watch: [[[0, 0], [1, 0], [1, 1], [0, 1]]]\ncameras:\n"
    for number, (first, second, areas, ends) in enumerate(parts):
        flow = repr(areas).replace("(", "[").replace(")", "]")
        lines = "\n".join(f"     - {repr(one).translate(BRACKETS)}  # {i}" for i, one in enumerate(areas)) or "     []"
        shown = [
            style.format(key=key, flow=flow, lines=lines)
            for style, key in ((first, "ignore"), (second, "privacy"))
            if style
        ]
        keys = ["url: 'a.mp4'  # the file", *shown, 'scene: "s"']
        text += f"  # camera {number}\n  c{number}:\n" + "".join(
            f"    {key}\n" for key in (keys if ends else keys[::-1])
        )
    return text


BRACKETS = str.maketrans("()", "[]")


@given(cameras, st.fixed_dictionaries({}, optional=dict.fromkeys(("watch", "ignore", "privacy"), polygons)), st.data())
@settings(max_examples=80)
def test_only_what_is_touched_changes(
    parts: list[tuple[str, str, list[object], bool]], areas: dict[str, list[object]], data: st.DataObject
) -> None:
    text = composed(parts)
    name = f"c{data.draw(st.integers(0, len(parts) - 1))}"
    wanted = {key: rounded(value) for key, value in areas.items()}  # type: ignore[arg-type]
    before = loaded(text)
    changed = edited(text, name, wanted)
    wish = before.cameras[name].model_copy(update=wanted)
    assert as_written(loaded(changed)) == as_written(
        before.model_copy(update={"cameras": {**before.cameras, name: wish}})
    )
    others = [line for line in text.splitlines() if "[" not in line and "privacy" not in line and "ignore" not in line]
    rest = iter(changed.splitlines())
    assert all(line in rest for line in others)  # in their order


def as_written(cameras: Cameras) -> dict[str, object]:
    """What a file says, with the digits that are written."""
    said = cameras.model_dump()
    for name, camera in cameras.cameras.items():
        said["cameras"][name] |= own_areas(camera)
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "real" / "cameras.yaml"
    place.parent.mkdir()
    place.write_text(EXAMPLE.read_text())
    (place.parent / "yard").write_text("secret")
    place.write_text(EXAMPLE.read_text().replace("/run/secrets/yard", "yard"))
    place.chmod(0o640)
    return place


def test_a_change_is_one_step_and_can_be_undone(path: Path) -> None:
    before = path.read_text()
    change = change_areas(path, "door", {"privacy": [SQUARE], "ignore": []}, content_hash(path), SECRETS)
    assert load_file(path, SECRETS).cameras["door"].privacy == (SQUARE,)
    added = "    scene: door\n    privacy:\n      - [[0.1, 0.2], [0.3, 0.2], [0.3, 0.4]]\n"
    assert path.read_text() == before.replace("    scene: door\n", added)
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in path.parent.iterdir()) == ["cameras.yaml", "cameras.yaml.bak", "yard"]
    assert (path.parent / "cameras.yaml.bak").stat().st_mode & 0o777 == 0o640
    undo_change(path, change)
    assert path.read_text() == before
    with pytest.raises(UserError, match="no longer be undone"):
        undo_change(path, change)


def test_a_link_stays_one_and_secrets_are_found_beside_it(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "cameras.yaml"
    link.symlink_to(path)
    (tmp_path / "yard").write_text("another")
    change_areas(link, "yard", {"watch": [OTHER]}, content_hash(link), SECRETS)
    assert link.is_symlink()
    assert load_file(path, SECRETS).cameras["yard"].watch == (OTHER,)


def test_a_file_that_was_changed_meanwhile_is_left_alone(path: Path) -> None:
    known = content_hash(path)
    path.write_text(path.read_text() + "# mine\n")
    before = path.read_bytes()
    with pytest.raises(UserError, match="changed meanwhile"):
        change_areas(path, "door", {"watch": [OTHER]}, known, SECRETS)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("areas", "said"),
    [({"watch": [SQUARE[:2]]}, "watch"), ({"ignore": [((0.0, 0.0), (1.5, 0.0), (1.0, 1.0))]}, "ignore")],
)
def test_a_text_that_is_not_valid_is_not_written(path: Path, areas: dict[str, object], said: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UserError, match=f"cameras.yaml, line .*{said}"):
        change_areas(path, "door", areas, content_hash(path), SECRETS)  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_what_is_as_it_was_is_not_touched(path: Path) -> None:
    known = content_hash(path)
    areas = own_areas(load_file(path, SECRETS).cameras["gate"])
    assert change_areas(path, "gate", areas, known, SECRETS) == Changed(known, known)
    assert not (path.parent / "cameras.yaml.bak").exists()


def test_cameras_that_are_another_one_are_changed_by_hand(path: Path) -> None:
    path.write_text("cameras:\n  a: &a {url: a.mp4, scene: s}\n  b: *a\n")
    for name, said in (("b", "by hand"), ("a", "by hand")):
        with pytest.raises(UserError, match=said):
            change_areas(path, name, {"watch": [SQUARE]}, content_hash(path), {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(UserError, match="needs to write in"):
            change_areas(path, "door", {"watch": [SQUARE]}, content_hash(path), SECRETS)
    finally:
        path.parent.chmod(0o700)


PORCH = {
    "url": "rtsp://ann:p%40ss@192.0.2.7/a?b=1&c",
    "transport": "udp",
    "scene": {"learn": "30m", "false_alarms_per_hour": 0.1, "settings": ["fit.passes=2"]},
    "privacy": [[list(corner) for corner in SQUARE]],
}


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        WRITTEN + "\n",
        WRITTEN + "\n# the end",
        WRITTEN.replace("\n", "\r\n"),
        "cameras: {}",
        "# none\ndefaults: {every: 2}\ncameras:  {}  # yet\nstore: sqlite:///a.db\n",
        "cameras: {walk: {url: walk.mp4, scene: yard}, }\nalerts: {}\n",
        EXAMPLE.read_text().replace("${file:/run/secrets/yard}", "x"),
    ],
)
def test_a_camera_comes_behind_the_others_and_goes_again(text: str) -> None:
    def read(text: str) -> Cameras:
        return load_text(text, Path("cameras.yaml"), {**SECRETS, "PASSWORD": "p"})

    before, added = read(text), with_camera(text, "porch", PORCH)
    after = read(added)
    porch = after.cameras["porch"]
    assert porch.url.get_secret_value() == PORCH["url"]
    assert porch.learn is not None
    assert (porch.learn.learn, porch.learn.settings, porch.transport) == (1800.0, ("fit.passes=2",), "udp")
    assert porch.privacy == (SQUARE,)
    assert list(after.cameras) == [*before.cameras, "porch"]
    again = read(without_camera(added, "porch"))
    assert again == before
    lines = added.splitlines()
    assert [line for line in text.splitlines() if line not in lines and "cameras:" not in line] == []


@pytest.mark.parametrize("name", ["gate", "walk", "door", "last"])
def test_a_camera_that_goes_leaves_the_others_as_they_are(name: str) -> None:
    before = loaded(WRITTEN)
    after = loaded(without_camera(WRITTEN, name))
    rest = {one: camera for one, camera in before.cameras.items() if one != name}
    assert after == before.model_copy(update={"cameras": rest})


def test_a_file_with_credentials_is_for_its_owner_and_a_stale_or_second_change_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: {}\n")
    file.chmod(0o644)
    known = content_hash(file)
    change = add_camera(file, "porch", PORCH, known)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="changed meanwhile"):
        add_camera(file, "yard", PORCH, known)
    with pytest.raises(UserError, match="there is a camera porch already"):
        add_camera(file, "Porch", PORCH, change.after)
    remove_camera(file, "porch", change.after)
    assert file.read_text() == "cameras: {}\n"
    assert backup_of(file).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", [{"url": "rtsp://${PATH}@192.0.2.7/"}, {"url": "rtsp://${file:/etc/hostname}/"}])
def test_nothing_of_this_machine_is_read_for_what_is_added(wrong: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: {}\n")
    with pytest.raises(UserError, match="cannot hold"):
        add_camera(file, "porch", {**PORCH, **wrong}, content_hash(file))
    assert file.read_text() == "cameras: {}\n"


def test_a_camera_that_others_refer_to_stays(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras:\n  a: {url: a.mp4, scene: &s yard}\n  b: {url: b.mp4, scene: *s}\n")
    with pytest.raises(UserError):
        remove_camera(file, "a", content_hash(file))
    assert "a.mp4" in file.read_text()


def test_credentials_after_the_path_are_credentials_too(tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text("cameras: {}\n")
    file.chmod(0o644)
    add_camera(file, "porch", {**PORCH, "url": "rtsp://porch/live?user=ada&password=open"}, content_hash(file))
    assert file.stat().st_mode & 0o777 == 0o600
