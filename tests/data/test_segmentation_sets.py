"""CamVid and VOC 2012: layouts, masks, augmentation, and what bad files are told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import data_with, stripes, write_camvid, write_image, write_mask, write_voc
from PIL import Image

from qdeploy.data import camvid as camvid_module
from qdeploy.data import files, voc2012
from qdeploy.data.holdout import with_validation
from qdeploy.data.load import load_dataset
from qdeploy.data.specs import CAMVID
from qdeploy.errors import DataError
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.data import Data


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return data_with("camvid", tmp_path_factory.mktemp("data"))


@pytest.fixture
def camvid(tmp_path) -> Path:
    return write_camvid(tmp_path)


@pytest.fixture
def voc(tmp_path) -> Path:
    return write_voc(tmp_path)


def voc_data(root: Path, observer: Observer = SILENT, **options):
    settings = Data.model_validate(
        {"name": "voc2012", "image_size": 64, "partial": True, **options}
    )
    return load_dataset(settings, root.parents[1], observer)


def test_camvid_has_images_and_a_label_for_every_pixel(folder):
    data = load_dataset("camvid", folder)
    assert data.train_images.shape == (367, *CAMVID.shape)
    assert data.test_images.shape == (233, 3, 180, 240)
    assert data.train_labels.shape == (367, 180, 240)
    assert (data.task, data.void, len(data.classes)) == ("segmentation", 11, 11)
    assert set(data.test_labels.unique().tolist()) == set(range(12))
    first = sorted((folder / "camvid" / "test").iterdir())[0]
    with Image.open(first) as image:
        assert np.array_equal(data.test_images[0].numpy().transpose(1, 2, 0), np.asarray(image))


def test_camvid_s_own_validation_images_are_the_validation_split(tmp_path):
    settings = Data.model_validate({"name": "camvid", "validation": 0.1})
    data = load_dataset(settings, write_camvid(tmp_path, validation=101).parent)
    assert data.validation is not None
    assert [len(data.train), len(data.validation), len(data.test)] == [367, 101, 233]
    assert with_validation(data, settings.validation, seed=0) is data


@pytest.mark.parametrize("part", ["val", "valannot"])
def test_half_of_camvid_s_validation_set_is_not_passed_over(tmp_path, part):
    root = write_camvid(tmp_path, validation=101)
    shutil.rmtree(root / part)
    with pytest.raises(DataError, match=f"{part}/ not found"):
        load_dataset("camvid", tmp_path)


def test_too_few_validation_images_of_camvid_are_counted(tmp_path):
    write_camvid(tmp_path, validation=100)
    with pytest.raises(DataError, match="100 images in `val` where SegNet's split has 101"):
        load_dataset("camvid", tmp_path)


def test_a_camvid_mask_without_image_and_an_image_without_mask_are_named(camvid):
    (camvid / "testannot" / "0007.png").unlink()
    (camvid / "test" / "0009.jpg").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset("camvid", camvid.parent)
    assert "testannot/0007.png, test/0009.jpg not found" in caught.value.what
    assert "camvid/trainannot/NAME.png" in (caught.value.do or "")


def test_a_camvid_that_lacks_pairs_says_how_many_there_are(camvid):
    (camvid / "testannot" / "0007.png").unlink()
    (camvid / "test" / "0007.jpg").unlink()
    with pytest.raises(DataError, match="232 images in `test` where SegNet's split has 233"):
        load_dataset("camvid", camvid.parent)


def test_other_camvid_files_than_those_of_the_results_are_noted(camvid, monkeypatch):
    def noted() -> bool:
        monkeypatch.setattr(files, "_noted", set())
        notes: list[str] = []
        load_dataset("camvid", camvid.parent, Observer(note=notes.append))
        return any("do not compare accuracies with docs/results.md" in note for note in notes)

    assert noted()
    parts = (("train", 367, "jpg"), ("trainannot", 367, "png"), ("test", 233, "jpg"))
    names = [
        f"{part}/{index:04}.{suffix}"
        for part, count, suffix in (*parts, ("testannot", 233, "png"))
        for index in range(count)
    ]
    monkeypatch.setattr(camvid_module, "DIGEST", files.tree_digest(camvid, names))
    assert not noted()
    (camvid / "testannot" / "0007.png").unlink()
    write_mask(camvid / "testannot" / "0007.png", np.full((180, 240), 3))
    assert noted()


def test_with_camvid_s_validation_images_the_note_covers_them(tmp_path, monkeypatch):
    def noted() -> bool:
        monkeypatch.setattr(files, "_noted", set())
        notes: list[str] = []
        load_dataset("camvid", tmp_path, Observer(note=notes.append))
        return any("do not compare accuracies with docs/results.md" in note for note in notes)

    root = write_camvid(tmp_path, validation=101)
    names = [path.relative_to(root).as_posix() for path in root.glob("*/*")]
    monkeypatch.setattr(camvid_module, "VALIDATION_DIGEST", files.tree_digest(root, names))
    assert not noted()
    (root / "valannot" / "0007.png").unlink()
    write_mask(root / "valannot" / "0007.png", np.full((180, 240), 3))
    assert noted()


def test_missing_camvid_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="train/, trainannot/ not found"):
        load_dataset("camvid", tmp_path)


def test_a_label_that_is_no_class_names_file_value_and_place(camvid):
    mask = stripes(180, 240, 11, 11)
    mask[4, 17] = 12
    path = camvid / "trainannot" / "0003.png"
    path.unlink()
    write_mask(path, mask)
    with pytest.raises(DataError, match=r"`0003\.png` of CamVid has the label 12") as caught:
        load_dataset("camvid", camvid.parent)
    assert (caught.value.where or "").endswith("0003.png, row 4, column 17")
    assert caught.value.why == "classes are 0 to 10, and 11 is void"


def test_a_mask_of_another_size_or_of_colours_is_named(camvid):
    path = camvid / "trainannot" / "0002.png"
    path.unlink()
    write_mask(path, stripes(90, 120, 11, 11))
    with pytest.raises(DataError, match=r"`0002\.png` of CamVid is 120x90, but its image is 240"):
        load_dataset("camvid", camvid.parent)
    write_image(path, 240, 180)
    with pytest.raises(DataError, match="has mode RGB instead of class numbers"):
        load_dataset("camvid", camvid.parent)


def test_an_image_of_another_size_is_named(camvid):
    path = camvid / "train" / "0001.jpg"
    path.unlink()
    write_image(path, 480, 360)
    with pytest.raises(DataError, match=r"`0001\.jpg` of CamVid is 480x360, not 240x180"):
        load_dataset("camvid", camvid.parent)


@pytest.mark.parametrize("name", ["train/0005.jpg", "trainannot/0005.png"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_damaged_image_or_mask_is_named(camvid, name, keep):
    path = camvid / name
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(DataError, match=f"`{path.name}` of CamVid is damaged"):
        load_dataset("camvid", camvid.parent)


def test_voc_reads_the_lists_and_fits_test_images_into_the_square(voc):
    notes: list[str] = []
    data = voc_data(voc, Observer(note=notes.append))
    assert (len(data.train), len(data.test)) == (6, 4)
    assert any("`train.txt` has 6 images where 1,464 are published" in note for note in notes)
    assert data.shape == (3, 64, 64)
    images, masks = data.test.read(range(4))
    assert images.dtype == masks.dtype == torch.uint8
    assert masks.shape == (4, 64, 64)
    # Number 6 of the tree, the first of the test set, is 50x38: it lies in the middle, unscaled.
    with Image.open(voc / "SegmentationClass" / "2007_000006.png") as mask:
        assert np.array_equal(masks[0, 13:51, 7:57].numpy(), np.asarray(mask))
    with Image.open(voc / "JPEGImages" / "2007_000006.jpg") as image:
        inside = images[0, :, 13:51, 7:57].numpy().transpose(1, 2, 0)
        assert np.array_equal(inside, np.asarray(image))
    beside = torch.ones(64, 64, dtype=torch.bool)
    beside[13:51, 7:57] = False
    assert set(masks[0][beside].tolist()) == {255}
    assert set(images[0][:, beside].flatten().tolist()) == {128}


def test_voc_scales_larger_images_down_to_the_square(voc):
    _, masks = voc_data(voc, image_size=25).test.read([0])
    assert len(set(masks[0].unique().tolist()) & set(range(21))) >= 15
    inside = masks[0] != 255
    rows = torch.nonzero(inside.any(1)).flatten()
    assert 17 <= len(rows) <= 19
    assert bool(inside.any(0).all())


def test_voc_training_images_are_scaled_cropped_and_flipped_with_their_masks(voc):
    split = voc_data(voc, augment="scale-crop-flip").train
    drawn = [split.item(2, torch.Generator().manual_seed(seed)) for seed in range(30)]
    again = split.item(2, torch.Generator().manual_seed(4))
    assert torch.equal(drawn[4][0], again[0])
    assert len({image.numpy().tobytes() for image, _ in drawn}) == 30
    for image, mask in drawn:
        assert image.shape == (3, 64, 64)
        assert set(mask.unique().tolist()) <= {*range(21), 255}
    plain = voc_data(voc).train
    seeded = plain.item(2, torch.Generator().manual_seed(0))
    assert torch.equal(plain.item(2, None)[0], seeded[0])


def test_image_and_mask_of_voc_show_the_same_after_augmentation(voc):
    # Every class has a colour of its own, and so the image says what its mask has to be.
    mask = np.kron(np.random.default_rng(0).permutation(21)[:12].reshape(3, 4), np.ones((24, 24)))
    mask = mask.astype(int)
    colours = np.stack([12 * np.arange(21), 250 - 12 * np.arange(21), 97 * np.arange(21) % 256], 1)
    write_mask(voc / "SegmentationClass" / "2007_000002.png", mask, palette=True)
    image = Image.fromarray(colours[mask].astype(np.uint8))
    image.save(voc / "JPEGImages" / "2007_000002.jpg", format="PNG")
    split = voc_data(voc, augment="scale-crop-flip").train
    for seed in range(40):
        pixels, labels = split.item(2, torch.Generator().manual_seed(seed))
        near = labels.unfold(0, 5, 1).unfold(1, 5, 1)  # colours mix where classes meet
        sure = (near == labels[2:-2, 2:-2, None, None]).all(3).all(2) & (labels[2:-2, 2:-2] < 21)
        assert int(sure.sum()) > 100
        wanted = torch.from_numpy(colours)[labels[2:-2, 2:-2][sure].long()]
        assert torch.equal(pixels[:, 2:-2, 2:-2][:, sure].T.long(), wanted)


def test_voc_lists_of_another_length_are_refused_without_the_recipes_word(voc, monkeypatch):
    with pytest.raises(DataError) as caught:
        voc_data(voc, partial=False)
    assert "`train.txt` has 6 images where 1,464 are published" in caught.value.what
    assert "`val.txt` has 4 images where 1,449 are published" in caught.value.what
    assert "data.partial: true" in (caught.value.do or "")
    monkeypatch.setattr(voc2012, "COUNTS", {"train": 6, "val": 4})
    notes: list[str] = []
    assert len(voc_data(voc, Observer(note=notes.append), partial=False).train) == 6
    assert notes == []


def test_a_name_that_a_voc_list_repeats_is_refused(voc):
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + "2007_000007\n")
    with pytest.raises(DataError, match=r"`val\.txt` of VOC 2012 contains 2007_000007 more"):
        voc_data(voc)


def test_names_in_both_voc_lists_are_refused(voc):
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("2007_000002\n2007_000001\n" + path.read_text())
    with pytest.raises(DataError, match="2007_000001, 2007_000002\n") as caught:
        voc_data(voc)
    assert "training images" in (caught.value.why or "")


def test_missing_voc_lists_images_and_masks_are_named_with_the_archive(voc):
    (voc / "JPEGImages" / "2007_000001.jpg").unlink()
    (voc / "SegmentationClass" / "2007_000008.png").unlink()
    with pytest.raises(DataError) as caught:
        voc_data(voc)
    assert "JPEGImages/2007_000001.jpg, SegmentationClass/2007_000008.png" in caught.value.what
    assert "6cd6e144f989b92b3379bac3b3de84fd" in (caught.value.do or "")
    (voc / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(DataError, match=r"ImageSets/Segmentation/val\.txt not found"):
        voc_data(voc)


def test_an_empty_voc_list_is_refused(voc):
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("")
    with pytest.raises(DataError, match=r"`train\.txt` of VOC 2012 is empty"):
        voc_data(voc)


def test_a_voc_label_out_of_range_is_found_when_it_is_read(voc):
    write_mask(voc / "SegmentationClass" / "2007_000000.png", np.full((38, 50), 21), palette=True)
    with pytest.raises(DataError, match="has the label 21, which is not a class"):
        voc_data(voc).train.read([0])
