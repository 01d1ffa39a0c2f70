"""The doctor from end to end: what it looks at, what it says of weights that do not fit, that it writes nothing."""

import json
import shutil

import pytest
import torch
from small_run import write_config
from support import HEAD, PARITY

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.engine.pretrained import Names, build_without_data

NAMES = Names([f"c{i}" for i in range(151)], [f"p{i}" for i in range(51)])


@pytest.fixture
def detector(tmp_path):
    """A configuration that starts from a detector, and the detector's weights."""
    path = tmp_path / "detector.pth"
    config = write_config(tmp_path, MODEL__PRETRAINED_DETECTOR_CKPT=str(path), MODEL__DEVICE="cpu")
    _, model = build_without_data(load_config(str(config)), NAMES)
    weights = {name: value for name, value in model.state_dict().items() if "relation" not in name}
    torch.save({"model": weights}, path)
    return config, path, weights


@pytest.fixture
def examine(run_here):
    """The doctor's status and what it says on one line: where lines break depends on the length of folders' names."""

    def run(*arguments):
        status, out, error = run_here("doctor", *arguments)
        return status, " ".join(out.split()), error

    return run


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_whole_check_up_writes_nothing(examine, detector, tmp_path):
    before = contents(tmp_path)
    status, out, error = examine("--config-file", detector[0])
    assert status == 0, out + error
    for part in ("Python", "PyTorch", "memory", "disk", "25 images", "27 images", "holds no run"):
        assert part in out
    backbone = sum(name.startswith("backbone.") for name in detector[2])
    assert f"{backbone} of {backbone} tensors come from" in out
    assert "s for an iteration (2 images)" in out and "for all 4 without validation" in out
    assert contents(tmp_path) == before


def test_relclip_is_measured_without_a_text_encoder(examine, detector, tmp_path):
    options = (HEAD + "PREDICTOR", "RelCLIPPredictor", "MODEL.LANGUAGE.CACHE_DIR", tmp_path / "cache")
    _, out, _ = examine("--config-file", detector[0], "--iterations", 1, *options)
    assert "text encoder" in out and "s for an iteration" in out and not (tmp_path / "cache").exists()


def test_weights_that_do_not_fit(examine, detector):
    config, path, weights = detector
    lost = next(name for name in weights if name.startswith("backbone."))
    torch.save({"model": {name: value for name, value in weights.items() if name != lost}}, path)
    status, out, _ = examine("--config-file", config, "--iterations", 0)
    assert status == 1 and "wrong backbone" in out and "s for an iteration" not in out
    assert f"{lost} does not" in out
    torch.save({"model": {"other.weight": torch.zeros(1)}}, path)
    status, out, _ = examine("--config-file", config, "--iterations", 0)
    assert status == 1 and "no tensor of" in out


def test_damaged_data_are_found(examine, detector, tmp_path):
    shutil.copytree(PARITY / "vg", tmp_path / "broken" / "vg")
    images = tmp_path / "broken" / "vg" / "image_data.json"
    images.write_text(json.dumps(json.loads(images.read_text())[1:]))
    status, out, _ = examine("--config-file", detector[0], "DATASETS.DATA_DIR", tmp_path / "broken")
    assert status == 1 and "lists 71 images" in out and "validate_dataset.py --data-dir" in out


def test_missing_files_end_with_status_1_and_their_commands(examine, detector, tmp_path):
    options = (
        "DATASETS.DATA_DIR",
        tmp_path / "none",
        "MODEL.PRETRAINED_DETECTOR_CKPT",
        "",
        HEAD + "WORD_EMBEDDING",
        "glove",
    )
    status, out, _ = examine("--config-file", detector[0], *options, HEAD + "EMBED_DIM", 200)
    assert status == 1
    for name in ("vg", "vg-images", "glove"):
        assert f"-> python tools/get_data.py {name} --data-dir" in out


def test_the_machine_alone(examine):
    status, out, _ = examine()
    assert status == 0 and "PyTorch" in out and "word vectors" not in out


def test_a_model_that_cannot_be_is_named(examine, detector):
    for options, sentence in (
        ((HEAD + "PREDICTOR", "MotifsPredictor"), "MotifPredictor"),
        ((HEAD + "PREDICTOR", "RelCLIPPredictor", HEAD + "RELCLIP.LEVELS", "('so',)"), "RELCLIP.LEVELS is"),
    ):
        status, out, _ = examine("--config-file", detector[0], *options)
        assert status == 1 and "fails model" in out and sentence in out
