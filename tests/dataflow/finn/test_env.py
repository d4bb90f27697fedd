"""FINN works in a private folder and takes no settings from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, stat
from pathlib import Path
from qdeploy.dataflow.finn.env import prepare
prepare()
prepare()
folder = Path(os.environ["FINN_BUILD_DIR"])
state = folder.stat()
print(folder)
print(oct(stat.S_IMODE(state.st_mode)), state.st_uid == os.getuid())
print(os.environ["FINN_SETTINGS"])
"""


def test_the_folder_is_private_nobody_else_chooses_it_and_it_goes(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={
            **os.environ,
            "TMPDIR": str(tmp_path),
            "FINN_BUILD_DIR": str(planted),
            "FINN_SETTINGS": str(planted / "settings.yaml"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    folder, mode, settings = done.stdout.splitlines()[-3:]
    assert Path(folder).parent == tmp_path and folder != str(planted)
    assert mode == "0o700 True"
    assert Path(settings).parent == Path(folder)
    assert not Path(folder).exists()
    assert list(planted.iterdir()) == []
