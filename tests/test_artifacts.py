"""Files that are written whole, in a form that every reader takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from qdeploy.artifacts import write_json


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
