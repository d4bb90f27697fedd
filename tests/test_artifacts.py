"""Files that are written whole, in a form that every reader takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from qdeploy.artifacts import usable_folder, write_json
from qdeploy.errors import UserError


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_no_word_for_leaves_the_file_as_it_was(
    value: float, tmp_path: Path
) -> None:
    path = tmp_path / "performance.json"
    write_json(path, {"fps": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"fps": [value]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"fps": 1.5}
    assert [item.name for item in tmp_path.iterdir()] == ["performance.json"]


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(UserError), usable_folder(kept / "a" / "b"):
        assert (kept / "a" / "b").is_dir()
        raise UserError("no")
    assert list(kept.iterdir()) == []
    with pytest.raises(UserError), usable_folder(kept):
        raise UserError("no")
    assert kept.is_dir()
    with pytest.raises(UserError), usable_folder(kept / "a" / "b"):
        (kept / "a" / "made").touch()
        raise UserError("no")
    assert [path.name for path in (kept / "a").iterdir()] == ["made"]
