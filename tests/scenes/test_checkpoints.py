"""Checkpoints: what was saved comes back bit for bit, and damage costs one pass and not the fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from msflow_stream.scenes.checkpoints import Checkpoint, CheckpointStore, FileCheckpoints, MemoryCheckpoints

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    """Each of the two, empty."""
    return MemoryCheckpoints() if request.param == "memory" else FileCheckpoints(tmp_path / "fit")


@pytest.fixture
def files(tmp_path: Path) -> FileCheckpoints:
    return FileCheckpoints(tmp_path / "fit")


def checkpoint(number: int) -> Checkpoint:
    """One that can be told from those of other passes."""
    return Checkpoint({"weight": torch.tensor([number, 0.5]), "step": torch.tensor(number)}, {"pass": number})


def save(store: CheckpointStore, *numbers: int) -> None:
    for number in numbers:
        store.save(number, checkpoint(number))


def saved(store: CheckpointStore) -> Checkpoint:
    newest = store.newest()
    assert newest is not None
    return newest


def bits(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Everything that can be told of tensors."""
    return {
        name: (value.dtype, value.shape, value.contiguous().reshape(-1).view(torch.uint8).tolist())
        for name, value in tensors.items()
    }


def newest_is(store: CheckpointStore, number: int) -> bool:
    found, expected = saved(store), checkpoint(number)
    return bits(found.tensors) == bits(expected.tensors) and found.record == expected.record


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back_bit_for_bit(store: CheckpointStore, dtype: torch.dtype) -> None:
    raw = torch.randint(256, (2 * 3 * 4 * 8,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = raw.view(dtype)[:24].reshape(1, 2, 3, 4)  # of random bits: NaNs with payloads and infinities are among them
    tensors = {
        "whole": whole,
        "channels last": whole.contiguous(memory_format=torch.channels_last),
        "transposed": whole[0, 0].clone().T,
        "0-dim": whole[0, 1, 2, 3].clone(),
        "empty": whole[:, :0],
    }
    expected = bits(tensors)
    store.save(1, Checkpoint(tensors, {}))
    assert bits(saved(store).tensors) == expected


def test_zeros_keep_their_sign_and_truths_their_type(store: CheckpointStore) -> None:
    tensors = {"zeros": torch.tensor([0.0, -0.0]), "truths": torch.tensor([True, False])}
    store.save(1, Checkpoint(tensors, {}))
    assert bits(saved(store).tensors) == bits(tensors)


def test_the_record_comes_back_to_the_last_digit(store: CheckpointStore) -> None:
    record = {"passes": [{"number": 1, "loss": 0.1 + 0.2, "held_out_loss": None}], "slowdown": 2**-6, "name": "früh"}
    store.save(1, Checkpoint({}, record))
    assert saved(store).record == record


def test_a_checkpoint_does_not_change_with_the_weights_it_was_made_from(store: CheckpointStore) -> None:
    given = checkpoint(1)
    store.save(1, given)
    for value in given.tensors.values():
        value.zero_()
    assert newest_is(store, 1)


def test_the_newest_is_the_one_saved_last(store: CheckpointStore) -> None:
    assert store.newest() is None
    for number in range(4):
        save(store, number)
        assert newest_is(store, number)
        assert newest_is(store, number)  # to read it does not use it up


def test_a_pass_that_is_saved_again_replaces_the_first(store: CheckpointStore) -> None:
    save(store, 0, 1)
    store.save(1, Checkpoint({"weight": torch.tensor(7.0)}, {"again": True}))
    assert saved(store).record == {"again": True}
    assert float(saved(store).tensors["weight"]) == 7


def test_another_process_finds_the_files(files: FileCheckpoints) -> None:
    save(files, 1, 2)
    assert newest_is(FileCheckpoints(files.folder), 2)


def test_only_the_two_newest_are_kept(files: FileCheckpoints) -> None:
    save(files, 0)
    assert names(files.folder) == ["pass-0.safetensors", "pass-0.sha256"]
    save(files, 1, 2, 3)
    assert names(files.folder) == ["pass-2.safetensors", "pass-2.sha256", "pass-3.safetensors", "pass-3.sha256"]


def test_pass_ten_comes_after_pass_nine(files: FileCheckpoints) -> None:
    save(files, 8, 9, 10)
    assert {path.stem for path in files.folder.iterdir()} == {"pass-9", "pass-10"}
    assert files.passes == 10
    assert newest_is(files, 10)
    (files.folder / "pass-10.safetensors").unlink()
    assert newest_is(files, 9)


def test_passes_counts_the_completed_ones(files: FileCheckpoints) -> None:
    assert files.passes == 0  # without a folder
    for number in range(4):
        save(files, number)
        assert files.passes == number


def test_clear_leaves_no_folder_and_can_be_followed_by_a_save(files: FileCheckpoints) -> None:
    files.clear()  # of nothing
    save(files, 1, 2)
    files.clear()
    assert not files.folder.exists()
    assert (files.passes, files.newest()) == (0, None)
    save(files, 1)
    assert newest_is(files, 1)


def each_way_to_damage(files: FileCheckpoints, name: str, damage: Callable[[bytes, int], bytes]) -> None:
    """Damages a file of pass 2 at every one of its bytes in turn, and asks that pass 1 is gone back to."""
    save(files, 1, 2)
    whole = {path: path.read_bytes() for path in files.folder.iterdir()}
    for position in range(len(whole[files.folder / name])):
        for path, content in whole.items():
            path.write_bytes(damage(content, position) if path.name == name else content)
        assert newest_is(files, 1), position


def test_any_flipped_byte_of_the_weights_is_noticed(files: FileCheckpoints) -> None:
    def flip(content: bytes, position: int) -> bytes:
        return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]

    each_way_to_damage(files, "pass-2.safetensors", flip)


@pytest.mark.parametrize("name", ["pass-2.safetensors", "pass-2.sha256"])
def test_a_file_that_was_cut_off_anywhere_is_noticed(files: FileCheckpoints, name: str) -> None:
    each_way_to_damage(files, name, lambda content, position: content[:position])


BROKEN = [b"", b"0", b"{}", b"\xff\xfe", bytes(100), b"0" * 64 + b"  pass-2.safetensors\n"]


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("name", ["pass-2.safetensors", "pass-2.sha256"])
def test_damage_is_said_and_costs_one_pass(
    files: FileCheckpoints, name: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    save(files, 1, 2)
    (files.folder / name).write_bytes(content)
    assert newest_is(files, 1)
    assert [(record.levelname, record.args) for record in caplog.records] == [("WARNING", (2,))]
    assert "pass 2 is damaged" in caplog.text
    assert files.passes == 1
    save(files, 2)
    assert newest_is(files, 2)


def test_weights_that_are_missing_are_damage(files: FileCheckpoints, caplog: pytest.LogCaptureFixture) -> None:
    save(files, 1, 2)
    (files.folder / "pass-2.safetensors").unlink()
    assert newest_is(files, 1)
    assert "pass 2 is damaged" in caplog.text


def test_weights_without_a_checksum_are_of_a_pass_that_was_not_completed(files: FileCheckpoints) -> None:
    save(files, 1, 2)
    (files.folder / "pass-2.sha256").unlink()  # which is written last
    assert files.passes == 1
    assert newest_is(files, 1)


def test_where_all_are_damaged_there_is_none(files: FileCheckpoints, caplog: pytest.LogCaptureFixture) -> None:
    save(files, 1, 2)
    for path in files.folder.glob("*.safetensors"):
        path.write_bytes(b"")
    assert files.newest() is None
    assert "pass 1 is damaged" in caplog.text
    assert "pass 2 is damaged" in caplog.text
    assert files.passes == 0


def test_a_disk_that_is_full_leaves_the_checkpoints_before(
    files: FileCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(files, 1, 2)
    before = names(files.folder)

    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    for number in (2, 3):
        with pytest.raises(OSError, match="no space"):
            save(files, number)
        assert names(files.folder) == before
        assert newest_is(files, 2)


def test_a_record_that_cannot_be_written_leaves_the_checkpoint_before(files: FileCheckpoints) -> None:
    save(files, 1)
    with pytest.raises(TypeError):
        files.save(2, Checkpoint(checkpoint(2).tensors, {"not": object()}))
    assert not [name for name in names(files.folder) if name.startswith(".")]
    assert files.passes == 1
    assert newest_is(files, 1)
