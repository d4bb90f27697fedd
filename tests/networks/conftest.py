"""Small networks are fastest with one thread."""

import pytest


@pytest.fixture(autouse=True)
def always_one_thread(one_thread: None) -> None:
    """In every test of this folder."""
