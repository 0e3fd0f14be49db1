from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.files import file_hash, replaced


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("old", [None, "old"])
def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "run.json"
    if old is not None:
        path.write_text(old)
    with replaced(path) as partial:
        partial.write_text("new")
        assert (path.read_text() if path.exists() else None) == old  # until all is written
    assert path.read_text() == "new"
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("written", [None, "half"])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_while_writing_leaves_the_folder_as_it_was(
    tmp_path: Path, error: type[BaseException], written: str | None, old: str | None
) -> None:
    path = tmp_path / "run.json"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error), replaced(path) as partial:  # noqa: PT012  what is written before it raises matters
        if written is not None:
            partial.write_text(written)
        raise error
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == ({"run.json": old} if old else {})


def test_what_was_not_written_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replaced(path):
        pass
    assert path.read_text() == "old"


def test_a_name_that_looks_like_a_suffix_is_kept_whole(tmp_path: Path) -> None:
    for name in ("pass-1.json", "pass-1.safetensors", "noname"):
        with replaced(tmp_path / name) as partial:
            partial.write_text(name)
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == {
        name: name for name in ("pass-1.json", "pass-1.safetensors", "noname")
    }


def test_two_files_of_one_stem_can_be_written_at_once(tmp_path: Path) -> None:
    with replaced(tmp_path / "pass-1.json") as first, replaced(tmp_path / "pass-1.safetensors") as second:
        first.write_text("record")
        second.write_text("weights")
    assert (tmp_path / "pass-1.json").read_text() == "record"
    assert (tmp_path / "pass-1.safetensors").read_text() == "weights"


@pytest.mark.parametrize(
    ("content", "expected"),
    [  # of FIPS 180
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
    ids=["abc", "nothing", "a million times a"],
)
def test_the_hash_is_the_standard_s(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "content"
    path.write_bytes(content)
    assert file_hash(path) == expected


@given(st.binary(max_size=300))
def test_the_hash_is_hashlib_s_of_the_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(content)
    assert file_hash(path) == hashlib.sha256(content).hexdigest()
