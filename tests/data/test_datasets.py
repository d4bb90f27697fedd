"""Data sets: contents, layout on disk, and what missing or damaged files are told."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from qdeploy.data import files
from qdeploy.data.dataset import input_codes, network_input
from qdeploy.data.load import load_dataset
from qdeploy.data.specs import CIFAR10, FASHION_MNIST, MNIST
from qdeploy.errors import DataError, UserError
from qdeploy.observer import Observer
from qdeploy.recipe.data import DATASETS, Data


def idx(array: np.ndarray) -> bytes:
    lengths = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes((0, 0, 8, array.ndim)) + lengths + array.tobytes()


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    return idx_files(tmp_path, "FashionMNIST")


def idx_files(folder: Path, name: str) -> Path:
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 60000), ("t10k", 10000)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 1] = np.arange(count) % 251
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return folder


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    data = np.zeros((10000, 3072), np.uint8)
    data[:, 1024 + 32] = 7  # green, row 1, column 0
    content = {"data": data, "labels": [i % 10 for i in range(10000)], "batch_label": "x"}
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    for index in range(1, 6):
        os.link(folder / "test_batch", folder / f"data_batch_{index}")
    return tmp_path


def test_digits_are_a_stratified_split_of_bytes():
    data = load_dataset("digits")
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.dtype == torch.int64
    assert int(data.train_images.max()) == 255
    counts = torch.bincount(data.test_labels)
    assert int(counts.min()) >= 35
    assert int(counts.max()) <= 37
    assert torch.equal(load_dataset("digits").test_images, data.test_images)


def test_fashion_mnist_reads_plain_and_gzipped_idx_files(fashion):
    data = load_dataset("fashion-mnist", fashion)
    assert data.train_images.shape == (60000, *FASHION_MNIST.shape)
    assert data.test_images[5, 0, 0, 1] == 5
    assert data.test_labels[13] == 3


def test_mnist_has_the_same_layout_in_a_folder_of_its_own(tmp_path):
    data = load_dataset("mnist", idx_files(tmp_path, "MNIST"))
    assert data.train_images.shape == (60000, *MNIST.shape)
    assert data.test_labels[13] == 3
    assert data.classes[3] == "3"
    with pytest.raises(DataError, match="Fashion-MNIST is incomplete"):
        load_dataset("fashion-mnist", tmp_path)


def test_cifar10_reads_the_published_batches(cifar):
    data = load_dataset("cifar10", cifar)
    assert data.train_images.shape == (50000, *CIFAR10.shape)
    assert data.test_images[0, 1, 1, 0] == 7
    assert int(data.test_images[0].sum()) == 7
    assert data.test_labels[12] == 2


@pytest.mark.parametrize("name", [n for n in DATASETS.builtin if DATASETS.load(n).shape])
def test_without_a_folder_the_message_says_how_to_give_one(name, fashion, monkeypatch):
    # The environment is for the command line; it hands a folder in.
    monkeypatch.setenv("QDEPLOY_DATA", str(fashion))
    if name in ("digits", "synthetic2d"):
        assert load_dataset(name).name == name
        return
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    assert caught.value.what == f"the data set `{name}` needs a folder"
    assert caught.value.why == "only `digits` and `synthetic2d` come with qdeploy"
    first, layout = (caught.value.do or "").split("\n", 1)
    assert first == "give --data FOLDER or set QDEPLOY_DATA"
    assert "get " in layout and " from http" in layout


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(UserError, match="digits, mnist, fashion-mnist, cifar10, synthetic2d"):
        load_dataset("cifar100")


def test_missing_files_are_named_with_source_layout_and_checksum(fashion):
    missing = fashion / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    missing.unlink()
    with pytest.raises(DataError) as caught:
        load_dataset("fashion-mnist", fashion)
    assert "t10k-labels-idx1-ubyte.gz not found" in caught.value.what
    for part in (
        "https://github.com/zalandoresearch/fashion-mnist",
        "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz   (MD5 bb300cfdad3c16e7a12a480ee83cd310)",
    ):
        assert part in (caught.value.do or "")


def test_missing_cifar_batches_are_named_with_the_archive(cifar):
    (cifar / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", cifar)
    assert "data_batch_3 not found" in caught.value.what
    assert "cifar-10-python.tar.gz (MD5 c58f30108f718f92721af3b95e74349a)" in str(caught.value)


def damage(path: Path, kind: str) -> None:
    raw = path.read_bytes()
    changed = {
        "cut": raw[: len(raw) // 2],
        "header": raw[:3],
        "magic": b"\x01\x02\x03\x04" + raw[4:],
        "empty": b"",
        "count": idx(np.zeros((10, 28, 28), np.uint8)),
    }[kind]
    path.write_bytes(changed)


@pytest.mark.parametrize("kind", ["cut", "header", "magic", "empty", "count"])
def test_a_damaged_idx_file_is_named(fashion, kind):
    damage(fashion / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte", kind)
    with pytest.raises(DataError, match="`t10k-images-idx3-ubyte` of Fashion-MNIST is damaged"):
        load_dataset("fashion-mnist", fashion)


@pytest.mark.parametrize("kind", ["cut", "magic", "empty"])
def test_a_damaged_gzip_file_is_named(fashion, kind):
    damage(fashion / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte.gz", kind)
    with pytest.raises(DataError, match=r"`train-labels-idx1-ubyte\.gz` of Fashion-MNIST"):
        load_dataset("fashion-mnist", fashion)


def test_labels_above_nine_are_damage(fashion):
    path = fashion / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx(np.full(10000, 10, np.uint8)))
    with pytest.raises(DataError, match="image 0 has the label 10, above 9"):
        load_dataset("fashion-mnist", fashion)


class RunsCode:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(RunsCode()), "which is not allowed"),
        (pickle.dumps({"data": np.zeros((3, 3072), np.uint8), "labels": []}), "10000, 3072"),
        (pickle.dumps({"labels": []}), "data"),
        (pickle.dumps([1, 2]), "damaged"),
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
        (b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00lat1tR.", "damaged"),
        (b"\x80\x02cnumpy\ndtype\n(X\x05\x00\x00\x00(,)u1tR.", "damaged"),
        (b"\x80\x05\x96" + (2**46).to_bytes(8, "little"), "damaged"),
    ],
)
def test_a_damaged_cifar_batch_is_named_and_runs_no_code(cifar, content, reason):
    path = cifar / "cifar-10-batches-py" / "data_batch_2"
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(DataError, match="`data_batch_2` of CIFAR-10 is damaged") as caught:
        load_dataset("cifar10", cifar)
    assert reason in caught.value.what


def test_a_cut_cifar_batch_is_named(cifar):
    path = cifar / "cifar-10-batches-py" / "test_batch"
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(raw[:-1000])
    with pytest.raises(DataError, match="`test_batch` of CIFAR-10 is damaged"):
        load_dataset("cifar10", cifar)


def test_files_that_are_not_the_published_ones_are_noted_once_and_used(cifar, monkeypatch):
    monkeypatch.setattr(files, "_noted", set())
    notes: list[str] = []
    for _ in range(2):
        assert len(load_dataset("cifar10", cifar, Observer(note=notes.append)).train) == 50000
    assert len(notes) == 1
    assert "test_batch of CIFAR-10 are not the published file by MD5" in notes[0]


def test_a_cifar_label_out_of_range_names_image_and_value(cifar):
    path = cifar / "cifar-10-batches-py" / "data_batch_4"
    content = {"data": np.zeros((10000, 3072), np.uint8), "labels": [3] * 9999 + [10]}
    path.unlink()
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match="image 9999 has the label 10, which is not 0 to 9"):
        load_dataset("cifar10", cifar)


@pytest.mark.parametrize("label", [2**70, 3.7, 3.0, True, "3", None])
def test_cifar_labels_that_are_no_integers_are_damage(cifar, label):
    path = cifar / "cifar-10-batches-py" / "data_batch_4"
    content = {"data": np.zeros((10000, 3072), np.uint8), "labels": [label] * 10000}
    path.unlink()
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=r"`data_batch_4` of CIFAR-10 is damaged: its labels are"):
        load_dataset("cifar10", cifar)


@pytest.mark.parametrize("name", sorted(set(DATASETS.builtin) - {"imagenet", "voc2012"}))
def test_only_sets_read_from_files_may_be_partial(name):
    with pytest.raises(ValidationError, match=f"`{name}` must be complete; remove data.partial"):
        Data.model_validate({"name": name, "partial": True})


@pytest.mark.parametrize("name", DATASETS.builtin)
def test_every_built_in_data_set_can_be_named_in_a_recipe_and_has_a_loader(name):
    assert Data.model_validate({"name": name}).name == name
    assert callable(DATASETS.resolve(name, DATASETS.load(name).load))


@pytest.mark.parametrize("bits", range(1, 9))
def test_input_codes_are_the_upper_bits_and_network_input_scales_them_exactly(bits):
    raw = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    codes = input_codes(raw, bits)
    assert int(codes.max()) == 2**bits - 1
    assert torch.equal(codes.long(), raw.long() // 2 ** (8 - bits))
    assert torch.equal(network_input(raw, bits) * 2**bits, codes.float())
