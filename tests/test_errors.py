"""Messages are text, whatever the names in them hold."""

from __future__ import annotations

from qdeploy.errors import UserError


def test_names_in_a_message_are_no_commands_to_the_terminal() -> None:
    error = UserError("layer `a\x1b[2J\r\ud800b`", where="line 1\nline 2", do="läuft: 層")
    assert str(error).splitlines() == [
        "layer `a\ufffd[2J\ufffd\ufffdb`",
        "  where    line 1",
        "line 2",
        "  do this  läuft: 層",
    ]
