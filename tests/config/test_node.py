"""Merging into the configuration: what is accepted, and the one sentence where something is wrong."""

import re

import pytest

from maskrcnn_benchmark.config import cfg as default
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture
def config():
    return default.clone()


def write(folder, text):
    path = folder / "some.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("SOLVER.BASE_L", "SOLVER.BASE_LR"),
        ("MODEL.ROI_RELATION_HEAD.PREDICTR", "MODEL.ROI_RELATION_HEAD.PREDICTOR"),
        ("BASE_LR", "SOLVER.BASE_LR"),
        ("MODLE.WEIGHT", "MODEL.WEIGHT"),
    ],
)
def test_mistyped_option_names_the_nearest_key(config, key, nearest):
    with pytest.raises(InputError, match=f"option {key} is not a configuration key; did you mean {nearest}\\?"):
        config.merge_from_list([key, "1"])


def test_mistyped_key_in_a_file_names_the_file(config, tmp_path):
    path = write(tmp_path, "MODEL:\n  RPN:\n    NMS_TRESH: 0.7\n")
    with pytest.raises(InputError, match=r"some.yaml: MODEL.RPN.NMS_TRESH .* did you mean MODEL.RPN.NMS_THRESH"):
        config.merge_from_file(path)


def test_mistyped_group_in_a_file(config, tmp_path):
    with pytest.raises(InputError, match=r"MODEL.ROI_BOX_HAED .* did you mean MODEL.ROI_BOX_HEAD"):
        config.merge_from_file(write(tmp_path, "MODEL:\n  ROI_BOX_HAED:\n    NUM_CLASSES: 3\n"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SOLVER.MAX_ITER", "many", "option SOLVER.MAX_ITER must be of type int, found 'many'"),
        ("SOLVER.MAX_ITER", "1.5", "must be of type int, found 1.5"),
        ("MODEL.RELATION_ON", "1", "must be of type bool, found 1"),
        ("SOLVER.BASE_LR", "True", "must be of type float, found True"),
        ("DATASETS.TRAIN", "VG", "must be of type tuple such as \\('a', 'b'\\), found 'VG'"),
        ("MODEL", "1", "option MODEL is a group of keys"),
    ],
)
def test_value_of_another_type(config, key, value, message):
    with pytest.raises(InputError, match=message):
        config.merge_from_list([key, value])


def test_a_word_too_many(config):
    with pytest.raises(InputError, match="pairs of KEY VALUE, found 3 words"):
        config.merge_from_list(["DTYPE", "float32", "OUTPUT_DIR"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: [1, 2", "not valid YAML"),
        ("- MODEL", "must hold keys and values, found list"),
        ("MODEL: 3\n", "MODEL is a group of keys, found the value 3"),
        ("SOLVER:\n  MAX_ITER: x\n", "some.yaml: SOLVER.MAX_ITER must be of type int"),
    ],
)
def test_malformed_file(config, tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        config.merge_from_file(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_missing_file(config, tmp_path):
    with pytest.raises(InputError, match=r"configuration file .*none.yaml does not exist"):
        config.merge_from_file(str(tmp_path / "none.yaml"))


def write_files(folder, **texts):
    """Files by their names, with `__` for the folder; the path of the last one."""
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return str(path)


def test_a_file_wins_over_its_bases_and_a_later_base_over_an_earlier_one(config, tmp_path):
    path = write_files(
        tmp_path,
        common="SOLVER: {MAX_ITER: 1, BASE_LR: 0.1, GAMMA: 0.2, STEPS: [1, 2]}",
        base__first='_BASE_: "../common.yaml"\nSOLVER: {MAX_ITER: 2, BASE_LR: 0.3}\nDTYPE: "float16"',
        base__second="SOLVER: {BASE_LR: 0.4}",
        own='_BASE_: ["base/first.yaml", "base/second.yaml"]\nDTYPE: "bfloat16"',
    )
    config.merge_from_file(path)
    solver = config.SOLVER
    assert (solver.MAX_ITER, solver.BASE_LR, solver.GAMMA, solver.STEPS) == (2, 0.4, 0.2, (1, 2))
    assert config.DTYPE == "bfloat16" and "_BASE_" not in config.dump()
    config.merge_from_file(str(tmp_path / "common.yaml"))
    assert config.SOLVER.MAX_ITER == 1


def test_two_bases_may_have_the_same_base(config, tmp_path):
    path = write_files(
        tmp_path,
        common="SOLVER: {MAX_ITER: 1}",
        left="_BASE_: common.yaml\nSOLVER: {GAMMA: 0.2}",
        right="_BASE_: common.yaml\nSOLVER: {BASE_LR: 0.3}",
        own="_BASE_: [left.yaml, right.yaml]",
    )
    config.merge_from_file(path)
    assert (config.SOLVER.MAX_ITER, config.SOLVER.GAMMA, config.SOLVER.BASE_LR) == (1, 0.2, 0.3)


def test_an_absolute_path_is_a_base_too(config, tmp_path):
    config.merge_from_file(write_files(tmp_path, one="DTYPE: float16", two=f"_BASE_: {tmp_path}/one.yaml"))
    assert config.DTYPE == "float16"


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            "SOLVER: {MAX_ITR: 3}",
            r"configuration file \S*/base.yaml: SOLVER.MAX_ITR is not .* did you mean",
        ),
        ("SOLVER: {MAX_ITER: x}", r"configuration file \S*/base.yaml: SOLVER.MAX_ITER must be of type int"),
        ("[1, 2]", r"configuration file \S*/base.yaml must hold keys and values, found list"),
        ("SOLVER: [1", r"configuration file \S*/base.yaml is not valid YAML"),
        ("_BASE_: none.yaml", r"configuration file \S*/none.yaml does not exist; _BASE_ of \S*/base.yaml names it"),
        ("_BASE_: own.yaml", r"files are each other's _BASE_: \S*/own.yaml -> \S*/base.yaml -> \S*/own.yaml"),
        ("_BASE_: base.yaml", r"files are each other's _BASE_: \S*/own.yaml -> \S*/base.yaml -> \S*/base.yaml"),
        ("_BASE_: 3", r"configuration file \S*/base.yaml: _BASE_ must be a path or a list of them, found 3"),
        ("_BASE_: [3]", r"_BASE_ must be a path or a list of them, found \[3\]"),
        ("SOLVER: {_BASE_: own.yaml}", r"configuration file \S*/base.yaml: SOLVER._BASE_ is not a configuration key"),
    ],
)
def test_what_is_wrong_in_a_base_is_told_of_the_base(config, tmp_path, base, message):
    with pytest.raises(InputError, match=message) as error:
        config.merge_from_file(write_files(tmp_path, base=base, own="_BASE_: base.yaml\nDTYPE: float16"))
    assert "\n" not in str(error.value)


def test_values_take_the_type_of_the_default(config, tmp_path):
    config.merge_from_list(["SOLVER.BASE_LR", "1", "SOLVER.WEIGHT_DECAY", "1e-4", "OUTPUT_DIR", "2024"])
    config.merge_from_file(
        write(tmp_path, "SOLVER:\n  WEIGHT_DECAY: 1e-5\n  STEPS: [1, 2]\nDATASETS:\n  VAL: ('a',)\n")
    )
    assert (config.SOLVER.BASE_LR, type(config.SOLVER.BASE_LR)) == (1.0, float)
    assert config.SOLVER.WEIGHT_DECAY == 1e-5
    assert config.SOLVER.STEPS == (1, 2)
    assert config.DATASETS.VAL == ("a",)
    assert config.OUTPUT_DIR == "2024"


def test_an_empty_file_changes_nothing(config, tmp_path):
    config.merge_from_file(write(tmp_path, "# nothing\n"))
    assert config == default


def test_groups_left_out_are_skipped_with_a_warning(config, tmp_path, caplog):
    config.merge_from_file(write(tmp_path, "MODEL:\n  RETINANET:\n    NUM_CLASSES: 3\n  WEIGHT: x\n"))
    config.merge_from_list(["MODEL.ROI_MASK_HEAD.RESOLUTION", "28"])
    assert config.MODEL.WEIGHT == "x"
    assert [record.getMessage().split(" is ")[0].split(" ")[-1] for record in caplog.records] == [
        "MODEL.RETINANET",
        "MODEL.ROI_MASK_HEAD.RESOLUTION",
    ]


def test_frozen_configurations_do_not_change(config):
    config.freeze()
    with pytest.raises(AttributeError, match="immutable"):
        config.merge_from_list(["DTYPE", "bfloat16"])
    assert config.DTYPE == "float32"


def test_a_key_of_an_earlier_version_gets_a_sentence_about_what_became_of_it(config, tmp_path):
    """By itself and within a group that is gone; the nearest key of today would be a guess."""
    node = "MODEL.ROI_RELATION_HEAD.RELCLIP."
    for key, value, became in (
        (node + "BANK_FILE", "a.npz", r"is MODEL\.LANGUAGE\.BANK_FILE now"),
        (node + "TEXT_ENCODER.NAME", "ViT-B/32", r"is MODEL\.LANGUAGE now"),
        (node + "IMAGE_WEIGHT", "1.0", r"SECOND_OPINION\.WEIGHT now"),
        (node + "SUBSTITUTION_RATE", "0.2", "are gone"),
        (node + "KEEP_SYNONYMS", "True", r"SYNONYMS none now"),
        (node + "PHRASE_SYNONYM_THRESHOLD", "0.9", r"antonyms .*RELCLIP\.SYNONYMS"),
        (node + "PREDICATE_SYNONYM_THRESHOLD", "0.9", r"antonyms .*RELCLIP\.SYNONYMS"),
    ):
        with pytest.raises(
            InputError, match=rf"option {re.escape(key)} is not a configuration key any more: .*{became}"
        ):
            config.merge_from_list([key, value])
