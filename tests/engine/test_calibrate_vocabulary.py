"""Calibrations of a vocabulary as files."""

import json

import pytest

from maskrcnn_benchmark.engine.calibrate_vocabulary import read_calibration, save_calibration
from maskrcnn_benchmark.modeling.language.vocabulary import Calibration
from maskrcnn_benchmark.utils.errors import InputError


def test_what_is_saved_is_read(tmp_path):
    calibration = Calibration(0.5, -1.0, 0.2, ("near",))
    save_calibration(calibration, tmp_path / "vocabulary.json")
    assert read_calibration(tmp_path / "vocabulary.json") == calibration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": "1"}, "vocabulary.json, slope: expected a number, found '1'"),
        ({"width": 0}, "vocabulary.json, width"),
        ({"unseen": 5}, "vocabulary.json, unseen: expected a list"),
    ],
)
def test_what_is_no_calibration_gets_one_sentence(tmp_path, change, message):
    content = {**Calibration()._asdict(), **change}
    (tmp_path / "vocabulary.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_calibration(tmp_path / "vocabulary.json")
