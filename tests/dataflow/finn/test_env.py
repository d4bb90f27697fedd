"""FINN works in a private folder and takes no settings from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[3])
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


ASKED = """
import sys
opened = []
sys.addaudithook(lambda event, found: opened.append(str(found[0])) if event == "open" else None)
from qdeploy.dataflow.finn.env import prepare
prepare()
from finn.util.settings import get_settings, initialize_dummy_settings
print(get_settings().model_dump_json())
initialize_dummy_settings()
print(get_settings().model_dump_json())
print([path for path in opened if "/planted/" in path or path.endswith("settings.yaml")])
"""


def test_settings_planted_in_home_folder_and_environment_are_not_read(tmp_path: Path) -> None:
    """FINN would run code in a settings file: it loads objects from its YAML."""
    planted = tmp_path / "planted"
    (planted / ".finn").mkdir(parents=True)
    for path in (planted / ".finn" / "settings.yaml", planted / "settings.yaml"):
        path.write_text(f"x: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    hostile = {
        "HOME": str(planted),
        "FINN_SETTINGS": str(planted / "settings.yaml"),
        "FINN_RTLLIB": str(planted),
        "finn_deps": str(planted),
        "NUM_DEFAULT_WORKERS": "many",
        "deps_git_timeout": "planted",
    }
    found = []
    for variables in ({}, hostile):
        done = subprocess.run(
            [sys.executable, "-c", ASKED],
            cwd=planted,
            env={**os.environ, "PYTHONPATH": ROOT, "TMPDIR": str(tmp_path), **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        *settings, opened = done.stdout.splitlines()[-3:]
        assert opened == "[]"
        found.append([re.sub("qdeploy-finn-[0-9a-f]+", "PRIVATE", line) for line in settings])
    assert found[0] == found[1]
    assert "PRIVATE" in found[0][0]
    assert not (tmp_path / "ran").exists()
    assert sorted(path.name for path in planted.iterdir()) == [".finn", "settings.yaml"]
