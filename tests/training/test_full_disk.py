"""A disk that fills up while a checkpoint is written: the earlier one survives."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from qdeploy.recipe.loading import save_recipe
from qdeploy.training.checkpoints import CheckpointFolder, Position, read_tensors
from qdeploy.training.run import MODEL
from qdeploy.training.train import train

WRITER = """
import sys, resource, torch
from pathlib import Path
from qdeploy.errors import CheckpointError
from qdeploy.training.checkpoints import CheckpointFolder, Position
folder, limit = CheckpointFolder(Path(sys.argv[1])), int(sys.argv[2])
folder.save(Position(0, 1), {"a": torch.ones(1000)}, {"recipe_sha256": "x"}, keep=False)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    folder.save(Position(0, 2), {"a": torch.ones(1 << 20)}, {"recipe_sha256": "x"}, keep=False)
except CheckpointError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def write(folder: Path, limit: int) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(part for part in sys.path if part)
    return subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), str(limit)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_the_first_survives(folder: Path) -> None:
    found, unusable = CheckpointFolder(folder).newest("x")
    assert found is not None
    assert found.position == Position(0, 1)
    assert unusable == []
    assert torch.equal(found.tensors["a"], torch.ones(1000))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["phase00-epoch00001.json", "phase00-epoch00001.safetensors"]


def test_a_file_that_may_not_grow_leaves_the_earlier_checkpoint(tmp_path):
    done = write(tmp_path / "checkpoints", 100_000)
    assert done.returncode == 2, done.stderr
    assert "`phase00-epoch00002.safetensors` cannot be written" in done.stdout
    assert "MiB are free there" in done.stdout
    assert "--resume" in done.stdout
    assert_the_first_survives(tmp_path / "checkpoints")


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        # Only root may mount a small disk; a file that may not grow is the next best.
        assert write(disk / "checkpoints", 100_000).returncode == 2
        assert_the_first_survives(disk / "checkpoints")
        return
    try:
        done = write(disk / "checkpoints", 0)
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in done.stdout
        assert_the_first_survives(disk / "checkpoints")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_training_stopped_by_a_full_disk_goes_on_to_the_same_bits(recipe, tmp_path):
    whole = train(recipe, tmp_path / "whole")
    save_recipe(recipe, tmp_path / "recipe.yaml")
    folder = tmp_path / "run"
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from qdeploy.training import phase\n"
        "from qdeploy.cli.main import qdeploy, run\n"
        "save = phase.PhaseTrainer._save\n"
        "def limited(self, epoch, *, last):\n"
        "    if (self.index, epoch) == (1, 2):\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "    save(self, epoch, last=last)\n"
        "phase.PhaseTrainer._save = limited\n"
        "sys.exit(run(qdeploy, ['train', sys.argv[1], '--out', sys.argv[2]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "recipe.yaml"), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "`phase01-epoch00002.safetensors` cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    read_tensors(folder / "checkpoints" / "phase01-epoch00001.safetensors")
    train(recipe, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
