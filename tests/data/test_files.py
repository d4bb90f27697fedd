"""What loaders share: the digest of a tree, and sets of another size than the published one."""

import subprocess
from pathlib import Path

import pytest

from qdeploy.data.files import check_counts, tree_digest
from qdeploy.errors import DataError
from qdeploy.observer import Observer


def test_the_digest_of_a_tree_is_that_of_what_md5sum_writes(tmp_path):
    names = ["b/2.png", "a/1.jpg", "b-/x.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    shell = "export LC_ALL=C; md5sum a/* b-/* b/* | md5sum"
    wanted = subprocess.run(shell, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert tree_digest(tmp_path, names) == wanted.stdout.split()[0]
    first = tree_digest(tmp_path, ["a/1.jpg", "b/2.png"])
    for name in ("a/1.jpg", "b/2.png"):
        (tmp_path / name).write_text("other" if name == "a/1.jpg" else name)
        assert tree_digest(tmp_path, ["a/1.jpg", "b/2.png"]) != first


@pytest.mark.parametrize("found", [9, 11])
def test_another_number_of_images_is_refused_or_noted(found):
    counts = [(Path("set/train"), 10, 10), (Path("set/val"), found, 10)]
    notes: list[str] = []
    watch = Observer(note=notes.append)
    with pytest.raises(DataError) as caught:
        check_counts("A set", counts, partial=False, layout="lay it out", observer=watch)
    assert f"A set is not of the published size: `val` has {found} images where 10 are" in (
        caught.value.what
    )
    assert "data.partial: true" in (caught.value.do or "")
    assert "lay it out" in (caught.value.do or "")
    assert notes == []
    check_counts("A set", counts, partial=True, layout="", observer=watch)
    assert len(notes) == 1
    assert f"`val` has {found} images where 10 are published" in notes[0]


def test_the_published_number_is_taken_in_silence():
    notes: list[str] = []
    for partial in (False, True):
        counts = [(Path("val"), 10, 10)]
        check_counts("A set", counts, partial, layout="", observer=Observer(note=notes.append))
    assert notes == []
