"""Checkpoints: complete or not there at all."""

from pathlib import Path

import pytest
import torch

from qdeploy.errors import CheckpointError
from qdeploy.training.checkpoints import CheckpointFolder, Position, read_tensors, write_tensors

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def filled(folder: Path, epochs: int) -> CheckpointFolder:
    checkpoints = CheckpointFolder(folder)
    for epoch in range(1, epochs + 1):
        checkpoints.save(
            Position(0, epoch),
            {"epoch": torch.tensor(epoch)},
            {"recipe_sha256": "x"},
            keep=epoch == 2,
        )
    return checkpoints


def test_tensors_and_sidecar_come_back(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, STATE, {"note": "kept"})
    tensors, sidecar = read_tensors(path)
    assert sidecar["note"] == "kept"
    assert all(torch.equal(tensors[name], value) for name, value in STATE.items())


def test_channels_last_tensors_come_back_equal(tmp_path):
    weight = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    write_tensors(tmp_path / "w.safetensors", {"w": weight}, {})
    assert torch.equal(read_tensors(tmp_path / "w.safetensors")[0]["w"], weight)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 50, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    write_tensors(path, STATE, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="cut short or changed"):
        read_tensors(path)


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, STATE, {})
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(CheckpointError, match="cut short or changed"):
        read_tensors(path)


@pytest.mark.parametrize("sidecar", ["", "{", "[]", '{"format": 99}'])
def test_a_broken_sidecar_is_refused(tmp_path, sidecar):
    path = tmp_path / "model.safetensors"
    write_tensors(path, STATE, {})
    path.with_suffix(".json").write_text(sidecar)
    with pytest.raises(CheckpointError):
        read_tensors(path)


def test_missing_tensors_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(tmp_path / "model.safetensors")


def test_the_newest_two_and_the_kept_ones_stay(tmp_path):
    names = [path.stem for path in filled(tmp_path, 6).paths()]
    assert names == [f"phase00-epoch{epoch:05}" for epoch in (2, 5, 6)]


def test_the_newest_complete_one_is_found_before_a_damaged_one(tmp_path):
    checkpoints = filled(tmp_path, 6)
    (tmp_path / "phase00-epoch00006.safetensors").write_bytes(b"half")
    found, unusable = checkpoints.newest("x")
    assert found is not None
    assert found.position == Position(0, 5)
    assert found.tensors["epoch"].item() == 5
    assert "phase00-epoch00006.safetensors" in unusable[0].what


def test_without_any_usable_one_the_error_says_so(tmp_path):
    checkpoints = filled(tmp_path, 1)
    (tmp_path / "phase00-epoch00001.json").unlink()
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints can be used"):
        checkpoints.newest("x")
    with pytest.raises(CheckpointError, match="another recipe"):
        filled(tmp_path / "other", 1).newest("y")
    assert CheckpointFolder(tmp_path / "empty").newest("x") == (None, [])


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, STATE, {})
    with pytest.raises(RuntimeError, match="share memory"):
        shared = torch.zeros(4)
        write_tensors(path, {"a": shared, "b": shared}, {})
    assert torch.equal(read_tensors(path)[0]["a"], STATE["a"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
