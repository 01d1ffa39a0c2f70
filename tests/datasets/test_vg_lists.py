"""The dictionary and the image list: what is wrong with them is said when a data set is opened."""

import copy
import json
import shutil

import pytest
from support import PARITY, open_vg

from maskrcnn_benchmark.data.datasets.checks import check_dataset
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.data.datasets.visual_genome import correct_img_info
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import read_json

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
        (lambda images: {"images": images}, "expected a list, got an object"),
        (lambda images: 5, "expected a list, found 5"),
        (lambda images: [images[0], [1, 2], *images[2:]], r"\[1\]: expected an object, got a list"),
        (without("image_id"), r"\[1\]: object missing required field image_id"),
        (without("height"), r"\[1\]: object missing required field height"),
        (with_image(width=None), r"\[1\].width: expected a number, got null"),
        (with_image(width="141"), r"\[1\].width: expected a number, found '141'"),
        (with_image(height=0), r"\[1\].height: expected a number >= 1.0, found 0"),
        (with_image(height=float("nan")), "it has NaN, which is no number"),
        (with_image(height=30.5), r"has the height 30.5, expected a number of pixels \(image 1007\)"),
        (with_image(image_id=True), r"\[1\].image_id: expected .*, found True"),
        (
            with_image(image_id="../1007"),
            r"\[1\].image_id: .* the name of a file without folder and .jpg, found '\.\./1007'",
        ),
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
        ([], "expected an object, got a list"),
        ({"label_to_idx": {}}, "object missing required field predicate_to_idx"),
        ({**NAMES, "label_to_idx": ["man", "horse"]}, "label_to_idx: expected an object, got a list"),
        ({**NAMES, "attribute_to_idx": 5}, "attribute_to_idx: expected an object, found 5"),
        (changed("label", man=0, horse=1, hat=2), "label_to_idx gives 'man' the number 0; 0 is __background__"),
        (changed("label", hat=4), "the numbers of label_to_idx are not 1 to 3: found 4 in place of 3"),
        (changed("label", hat=1), r"are not 1 to 3: found 1 twice \('man' and 'hat'\) in place of 2"),
        (changed("predicate", on=-1), r"predicate_to_idx\['on'\]: expected a whole number >= 0, found -1"),
        (changed("label", hat="3"), r"label_to_idx\['hat'\]: expected a whole number, found '3'"),
        (changed("label", hat=None), r"label_to_idx\['hat'\]: expected a whole number, got null"),
        (changed("label", hat=3.5), r"label_to_idx\['hat'\]: expected a whole number, found 3.5"),
        (changed("label", hat=True), r"label_to_idx\['hat'\]: expected a whole number, found True"),
        (changed("label", __background__=4), "gives '__background__' the number 4"),
        (changed("label", **{" ": 4}), "label_to_idx.*a name, which is not empty"),
        (changed("label", **{"a\nb": 4}), "label_to_idx.*a name, .* no line ends"),
        (
            {**NAMES, "idx_to_predicate": {"1": "on", "2": "on"}},
            "idx_to_predicate is not the inverse of predicate_to_idx",
        ),
    ],
)
def test_what_is_wrong_with_a_dictionary_is_said(tmp_path, content, message):
    path = tmp_path / DICTIONARY
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{DICTIONARY}[:,]? .*{message}"):
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
        ("[" + "1" * 5000 + "]", "has a number of 5000 digits"),
        ('{"a":', "is cut short or no json"),
    ],
)
def test_files_that_are_no_json_are_one_sentence(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=rf"a\.json {message}"):
        read_json(tmp_path / "a.json", dict)
