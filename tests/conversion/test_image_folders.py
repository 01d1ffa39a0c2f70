"""A picture is found under its own name, and never taken for another of the same name."""

import pytest
from PIL import Image

from maskrcnn_benchmark.data.conversion.image_folders import ImageFolders, ImageNotFoundError
from maskrcnn_benchmark.utils.errors import InputError

FILES = {"v1/1.png": "red", "v2/1.png": "blue", "flat/2.jpg": "red", "flat/3.gif": "red", "flat/2.txt": None}


@pytest.fixture
def root(tmp_path):
    for name, colour in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if colour:
            Image.new("RGB", (8, 8), colour).save(tmp_path / name)
        else:
            (tmp_path / name).touch()
    return tmp_path


def test_a_name_with_a_folder_is_found_in_that_folder_only(root):
    for folders in ([root], [root / "v1", root / "v2"], [root / "v2", root / "v1"]):
        for name in ("v1/1.png", "v2/1.png", "v2/1.jpg"):
            assert ImageFolders(folders).find(name) == (root / name).with_suffix(".png")
    with pytest.raises(ImageNotFoundError, match=r"v2/1\.png is in none of .*v1 \(.*v1/1\.png lies in another folder"):
        ImageFolders([root / "v1"]).find("v2/1.png")
    with pytest.raises(ImageNotFoundError):
        ImageFolders([root / "flat"]).find("elsewhere/2.jpg")


def test_other_suffixes_are_found_where_only_one_image_has_the_stem(root):
    find = ImageFolders([root / "flat"]).find
    assert find("3.jpg").name == "3.gif" and find("2.png").name == "2.jpg"
    Image.new("RGB", (8, 8), "blue").save(root / "flat" / "3.png")
    with pytest.raises(InputError, match=r"image 3\.jpg may be .*3\.gif or .*3\.png, which differ"):
        ImageFolders([root / "flat"]).find("3.jpg")
    assert find("3.gif").name == "3.gif"


def test_a_name_that_several_folders_have_is_an_error_unless_the_files_are_the_same(root):
    find = ImageFolders([root / "v1", root / "v2"]).find
    with pytest.raises(InputError, match=r"image 1\.png may be .*v1/1\.png or .*v2/1\.png"):
        find("1.png")
    (root / "v2" / "1.png").write_bytes((root / "v1" / "1.png").read_bytes())
    assert find("1.png") == root / "v1" / "1.png"


def test_a_name_that_leads_out_of_the_folders_is_refused(root):
    find = ImageFolders([root / "v1"]).find
    assert find(str(root / "v1" / "1.png")) == root / "v1" / "1.png"  # as predict.py writes names that come twice
    for name in ("../v2/1.png", "", "a\0b"):
        with pytest.raises(InputError, match="must be the name of a file"):
            find(name)
    with pytest.raises(ImageNotFoundError):
        find(str(root / "v2" / "1.png"))
