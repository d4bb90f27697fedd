"""Names in Tcl stay names, whatever is in them."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.targets.tcl import tcl_word

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\t\r"))


def test_ordinary_names_stay_as_they_are() -> None:
    assert tcl_word("xc7z020clg400-1") == "xc7z020clg400-1"
    assert tcl_word("tul.com.tw:pynq-z2:part0") == "tul.com.tw:pynq-z2:part0"
    assert tcl_word("") == '""'


@settings(max_examples=20, deadline=None)
@given(st.lists(TEXT, min_size=5, max_size=5))
def test_tcl_reads_back_every_text(texts: list[str]) -> None:
    script = "".join(f"set x {tcl_word(text)}\nputs [binary encode hex $x]\n" for text in texts)
    done = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [text.encode().hex() for text in texts]


@pytest.mark.parametrize("text", ["[exec rm]", "a; exec rm", "}\nexec rm\n{", "$env(HOME)", "a\\"])
def test_no_text_becomes_a_command(text: str) -> None:
    assert tcl_word(text).startswith('"')
    assert "\n" not in tcl_word(text)
