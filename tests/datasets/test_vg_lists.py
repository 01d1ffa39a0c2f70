"""The dictionary and the image list: what is wrong with them is said when a data set is opened."""

import copy
import json
import shutil

import pytest
from support import PARITY, open_vg

from maskrcnn_benchmark.data.datasets.checks import check_dataset
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.data.datasets.vg_lists import read_json
from maskrcnn_benchmark.data.datasets.visual_genome import correct_img_info
from maskrcnn_benchmark.utils.errors import InputError

DICTIONARY, IMAGES = "VG-SGG-dicts-with-attri.json", "image_data.json"
NAMES = {"label_to_idx": {"man": 1, "horse": 2, "hat": 3}, "predicate_to_idx": {"on": 1, "in": 2}}


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(PARITY / "vg", tmp_path / "vg")
    return tmp_path / "vg"


def change(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


def with_image(**fields):
    return lambda images: [images[0], {**images[1], **fields}, *images[2:]]


def without(key):
    return lambda images: [images[0], {k: v for k, v in images[1].items() if k != key}, *images[2:]]


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (lambda images: {"images": images}, "is no list of image_id, width and height: a dict"),
        (lambda images: 5, "is no list of image_id, width and height: a int"),
        (lambda images: [images[0], [1, 2], *images[2:]], r"number 1 of the list is \[1, 2\], expected an object"),
        (without("image_id"), "number 1 of the list has no image_id"),
        (without("height"), r"number 1 of the list has no height, expected a number of pixels \(image 1007\)"),
        (with_image(width=None), "number 1 of the list has the width None"),
        (with_image(width="141"), "has the width '141'"),
        (with_image(height=0), "has the height 0"),
        (with_image(height=float("nan")), "has the height nan"),
        (with_image(image_id=True), "has the image_id True"),
        (with_image(image_id="../1007"), r"has the image_id '\.\./1007'"),
        (with_image(image_id=1000), "number 1 of the list has the image_id 1000 of number 0 once more"),
    ],
)
def test_what_is_wrong_with_an_image_list_is_said_when_a_data_set_is_opened(folder, mutate, message):
    change(folder / IMAGES, mutate)
    with pytest.raises(InputError, match=rf"{IMAGES}.*{message}"):
        open_vg(folder, "train", num_val_im=10)
    names = {"img_dir": "VG_100K", "roidb_file": "VG-SGG-with-attri.h5", "dict_file": DICTIONARY, "image_file": IMAGES}
    report = check_dataset(**{key: str(folder / name) for key, name in names.items()}, num_val_im=10)
    assert len(report.faults) == 1 and IMAGES in report.faults[0]


def test_sizes_that_are_missing_can_be_corrected(folder):
    change(folder / IMAGES, without("height"))
    assert correct_img_info(str(folder / "VG_100K"), str(folder / IMAGES)) == 1
    assert json.loads((folder / IMAGES).read_text()) == json.loads((PARITY / "vg" / IMAGES).read_text())


def changed(kind, **numbers):
    return {**NAMES, f"{kind}_to_idx": {**NAMES[f"{kind}_to_idx"], **numbers}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must hold an object with label_to_idx, found a list"),
        ({"label_to_idx": {}}, "has no predicate_to_idx"),
        ({**NAMES, "label_to_idx": ["man", "horse"]}, "label_to_idx is a list"),
        ({**NAMES, "attribute_to_idx": 5}, "attribute_to_idx is a int"),
        (changed("label", man=0, horse=1, hat=2), "label_to_idx gives 'man' the number 0; 0 is __background__"),
        (changed("label", hat=4), "the numbers of label_to_idx are not 1 to 3: found 4 in place of 3"),
        (changed("label", hat=1), r"are not 1 to 3: found 1 twice \('man' and 'hat'\) in place of 2"),
        (changed("predicate", on=-1), "the numbers of predicate_to_idx are not 1 to 2: found -1 in place of 1"),
        (changed("label", hat="3"), "label_to_idx gives 'hat' the number '3', expected a whole number"),
        (changed("label", hat=None), "gives 'hat' the number None"),
        (changed("label", hat=3.0), "gives 'hat' the number 3.0"),
        (changed("label", hat=True), "gives 'hat' the number True"),
        (changed("label", __background__=4), "gives '__background__' the number 4"),
        (changed("label", **{" ": 4}), "the name ' ', which is empty"),
        (changed("label", **{"a\nb": 4}), "line ends or other control characters"),
        (
            {**NAMES, "idx_to_predicate": {"1": "on", "2": "on"}},
            "idx_to_predicate is not the inverse of predicate_to_idx",
        ),
    ],
)
def test_what_is_wrong_with_a_dictionary_is_said(tmp_path, content, message):
    path = tmp_path / DICTIONARY
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{DICTIONARY}:? .*{message}"):
        load_info(path)


def test_names_come_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / DICTIONARY
    content = copy.deepcopy(NAMES)
    content["label_to_idx"] = {"hat": 3, "man": 1, "__background__": 0, "horse": 2}
    path.write_text(json.dumps(content))
    assert load_info(path) == (
        ["__background__", "man", "horse", "hat"],
        ["__background__", "on", "in"],
        ["__background__"],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"man": 1, "man": 2}}', "has the key 'man' twice"),
        ("[" * 100_000, "is nested too deeply"),
        ("[" + "1" * 5000 + "]", "is cut short or no json"),
        ('{"a":', "is cut short or no json"),
    ],
)
def test_files_that_are_no_json_are_one_sentence(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=rf"a\.json {message}"):
        read_json(tmp_path / "a.json")
