"""Results at a URL: whole or not at all, and nothing of what was there before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from msflow_stream.types import UserError
from pipelines.storage.held import held
from pipelines.storage.objects import Objects
from pipelines.storage.places import Bucket, SharedFolder, place
from pipelines.storage.publishing import fetch, is_complete, publish

fsspec = pytest.importorskip("fsspec")
URL = "memory://b/runs/gate"


@pytest.fixture
def stored() -> Iterator[Any]:
    """Storage in memory, empty."""
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def written(folder: Path, names: tuple[str, ...] = ("run.json", "maps/a", "scores.csv", ".hidden")) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{folder.name} {name}")
    return folder


def test_a_folder_comes_back_as_it_was_published(stored: Any, tmp_path: Path) -> None:
    publish(written(tmp_path / "one"), URL, "run.json")
    assert fetch(URL, tmp_path / "back", "run.json")
    assert sorted(path.name for path in (tmp_path / "back").rglob("*") if path.is_file()) == [
        "a",
        "run.json",
        "scores.csv",
    ]
    assert (tmp_path / "back" / "maps" / "a").read_text() == "one maps/a"


def test_whatever_change_fails_nothing_incomplete_counts(
    stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = written(tmp_path / "one"), written(tmp_path / "other", ("run.json", "scores.csv", "new"))
    changes, ended = 0, False
    while not ended:
        publish(one, URL, "run.json")
        left = changes

        def fails(self: Any, *args: Any, real: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise OSError("no connection")
            left -= 1
            return real(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            for name in ("put_file", "rm_file"):
                real = getattr(type(stored), name)
                patch.setattr(type(stored), name, lambda self, *a, real=real, **k: fails(self, *a, real=real, **k))
            try:
                publish(other, URL, "run.json")
                ended = True
            except UserError:
                pass
        if is_complete(URL, "run.json"):
            assert fetch(URL, tmp_path / "back", "run.json")
            texts = {path.read_text().split()[0] for path in (tmp_path / "back").rglob("*") if path.is_file()}
            assert texts in ({"one"}, {"other"})
            assert len(texts) == 1
        changes += 1
    assert changes > 4
    assert not Objects(URL).exists("maps/a")


def test_what_is_not_complete_is_not_taken_nor_kept_here(
    stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stored.pipe("/b/runs/gate/scores.csv", b"")
    at = Bucket("memory://b/runs")
    written(at.folder / "gate")
    assert not at.fetch("gate", "run.json")
    assert not (at.folder / "gate").exists()


def test_a_place_is_a_folder_or_a_bucket_that_several_machines_see(
    stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (place(tmp_path / "runs"), place("memory://b/runs")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
        written(at.folder / "gate")
        at.publish("gate", "run.json")
        (at.folder / "facts.json").write_text("{}")
        at.publish_file("facts.json")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        assert at.is_complete("gate", "run.json")
        assert at.fetch("gate", "run.json")
        assert (at.folder / "gate" / "scores.csv").read_text() == "gate scores.csv"
        assert at.fetch_file("facts.json").read_text() == "{}"
        at.forget("gate")
        assert (at.folder / "gate").exists() == isinstance(at, SharedFolder)
        assert not at.fetch_file("none.json").exists()


def test_one_program_at_a_time_has_a_folder_and_no_lock_is_left(tmp_path: Path) -> None:
    inside, go_on, order = Event(), Event(), list[str]()

    def first() -> None:
        with held(tmp_path / "gate"):
            inside.set()
            go_on.wait()
            order.append("first")

    def second() -> None:
        with held(tmp_path / "gate"):
            order.append("second")

    threads = [Thread(target=first), Thread(target=second)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []
