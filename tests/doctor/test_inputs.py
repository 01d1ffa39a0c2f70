"""Each thing that a training needs, taken away: it is named, with what brings it back."""

import json
import logging

import pytest
import torch
from small_run import write_config
from support import HEAD

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.doctor.finding import FAILS, NOTE, OK, WRONG, Finding, table
from maskrcnn_benchmark.doctor.inputs import check_start, command_for, inputs
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.run_identity import run_identity

LANGUAGE = "MODEL.LANGUAGE."


@pytest.fixture
def config(tmp_path):
    """A configuration of the reference data set, with options; all that it needs is there but a detector."""
    path = write_config(tmp_path, MODEL__PRETRAINED_DETECTOR_CKPT=str(tmp_path / "detector.pth"))
    torch.save({"model": {}}, tmp_path / "detector.pth")
    return lambda *options: load_config(str(path), [o if isinstance(o, int) else str(o) for o in options])


def found(cfg, what, **arguments) -> Finding:
    (finding,) = [one for one in inputs(cfg, **arguments) if one.what == what]
    return finding


def test_nothing_is_missing(config):
    findings = list(inputs(config()))
    assert len(findings) == 6 and {finding.state for finding in findings} == {OK}
    check_start(config())


def test_missing_data_are_named_with_the_command_that_gets_them(config):
    cfg = config("DATASETS.DATA_DIR", "/nowhere")
    commands = {finding.what: finding.remedy for finding in inputs(cfg) if finding.state == FAILS}
    vg = "python tools/get_data.py vg --data-dir /nowhere"
    assert commands == {
        "VG-SGG-with-attri.h5": vg,
        "VG-SGG-dicts-with-attri.json": vg,
        "image_data.json": vg,
        "images": "python tools/get_data.py vg-images --data-dir /nowhere",
    }
    with pytest.raises(InputError, match=r"/nowhere/vg/VG-SGG-with-attri\.h5 does not exist; python .*3 more"):
        check_start(cfg)


def test_damaged_data(config, tmp_path):
    vg = tmp_path / "data" / "vg"
    (vg / "VG_100K").mkdir(parents=True)
    (vg / "VG-SGG-with-attri.h5").write_bytes(b"\x89HDF\r\n\x1a\nno more")
    (vg / "VG-SGG-dicts-with-attri.json").write_text(json.dumps({"label_to_idx": {"cat": 1}, "predicate_to_idx": {}}))
    (vg / "image_data.json").write_text("[]")
    cfg = config("DATASETS.DATA_DIR", tmp_path / "data")
    assert "cut short or no h5" in found(cfg, "VG-SGG-with-attri.h5").found
    assert (
        "NUM_CLASSES is 151, but the data set's dictionary names 2" in found(cfg, "VG-SGG-dicts-with-attri.json").found
    )
    assert "is empty" in found(cfg, "images").found
    (vg / "VG-SGG-dicts-with-attri.json").write_text("{")
    assert "no json" in found(cfg, "VG-SGG-dicts-with-attri.json").found


def test_the_test_set_counts_only_where_there_is_a_test(config):
    cfg = config("DATASETS.TEST", "('GQA_200_test',)")
    with pytest.raises(InputError, match=r"GQA-SGG\.h5 does not exist; python tools/get_data\.py gqa"):
        check_start(cfg)
    check_start(cfg, with_test=False)


def test_a_data_set_that_the_catalog_lacks(config):
    assert found(config("DATASETS.TRAIN", "('VG_train',)"), "data set").state == FAILS


def test_word_vectors(config, tmp_path):
    options = (HEAD + "WORD_EMBEDDING", "glove", "GLOVE_DIR", tmp_path / "glove", HEAD + "EMBED_DIM", 200)
    finding = found(config(*options), "word vectors")
    assert finding.state == FAILS and finding.remedy.startswith("python tools/get_data.py glove --data-dir")
    assert finding.remedy.endswith(f"then add GLOVE_DIR {tmp_path / 'datasets' / 'glove'}")
    (tmp_path / "glove").mkdir()
    (tmp_path / "glove" / "glove.6B.200d.txt").write_text("cat 1")
    assert found(config(*options), "word vectors").state == OK
    assert not [
        one for one in inputs(config(*options, HEAD + "PREDICTOR", "IMPPredictor")) if one.what == "word vectors"
    ]


def test_zero_shot_triplets(config, tmp_path):
    key = "TEST.RELATION.ZERO_SHOT_TRIPLETS"
    place = tmp_path / "datasets" / "vg" / "zeroshot_triplet.pytorch"
    missing = found(config(key, place), "zero-shot triplets")
    assert missing.state == FAILS and missing.remedy.startswith("python tools/get_data.py vg --data-dir")
    assert "leave the key out" in found(config(key, "/nowhere.json"), "zero-shot triplets").remedy


def test_weights(config, tmp_path, monkeypatch):
    key = "MODEL.PRETRAINED_DETECTOR_CKPT"
    assert found(config(key, ""), "detector").state == WRONG
    finding = found(config(key, tmp_path / "no.pth"), "detector")
    assert finding.state == FAILS and f"no.pth ({key}) does not exist" in finding.found
    published = found(config(key, "checkpoints/pretrained_faster_rcnn/model_final.pth"), "detector")
    assert (
        published.remedy.startswith("python tools/get_data.py detector --data-dir") and "--source" in published.remedy
    )
    assert found(config(key, "hf://someone/model/model.safetensors"), "detector").state == NOTE
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cfg = config(key, "catalog://ImageNetPretrained/MSRA/R-50")
    assert found(cfg, "detector").state == NOTE
    offline = found(cfg, "detector", can_reach=lambda address: False)
    assert offline.state == FAILS and offline.remedy.endswith(f"put it at {tmp_path / 'models' / 'R-50.pkl'}")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "R-50.pkl").touch()
    assert found(cfg, "detector").state == OK


def test_what_would_be_silently_wrong_is_logged_when_a_training_begins(config, caplog):
    logging.getLogger("maskrcnn_benchmark").propagate = True
    with caplog.at_level(logging.WARNING, logger="maskrcnn_benchmark"):
        check_start(config("MODEL.PRETRAINED_DETECTOR_CKPT", ""))
    assert "MODEL.PRETRAINED_DETECTOR_CKPT is empty: it starts from random weights" in caplog.text


def test_the_run_folder(config, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    cfg = config()
    torch.save({"model": {}, "run": run_identity(cfg)}, output / "model_0000002.pth")
    (output / "last_checkpoint").write_text(str(output / "model_0000002.pth"))
    (tmp_path / "detector.pth").unlink()
    findings = {finding.what: finding for finding in inputs(cfg)}
    assert findings["run folder"].state == OK and "goes on from" in findings["run folder"].found
    assert "detector" not in findings, "a run that goes on needs none"
    other = found(config(HEAD + "PREDICTOR", "IMPPredictor"), "run folder")
    assert other.state == FAILS and "PREDICTOR is IMPPredictor now and was MotifPredictor" in other.found
    with pytest.raises(InputError, match="is of another run"):
        check_start(config(HEAD + "PREDICTOR", "IMPPredictor"))
    (output / "model_0000002.pth").write_bytes(b"cut")
    assert found(cfg, "run folder").state == FAILS


def test_phrases(config, tmp_path, monkeypatch):
    options = (HEAD + "PREDICTOR", "RelCLIPPredictor", LANGUAGE + "CACHE_DIR", tmp_path / "cache")
    missing = found(config(*options, LANGUAGE + "BANK_FILE", tmp_path / "bank.npz"), "text encoder")
    assert missing.state == FAILS and "bank.npz does not exist" in missing.found
    (tmp_path / "bank.npz").touch()
    assert found(config(*options, LANGUAGE + "BANK_FILE", tmp_path / "bank.npz"), "text encoder").state == OK
    wrong = found(config(*options, LANGUAGE + "NAME", tmp_path / "clip.pt"), "text encoder")
    assert wrong.state == FAILS and "there is no file" in wrong.found
    monkeypatch.setenv("HOME", str(tmp_path))
    cfg = config(*options)
    assert found(cfg, "text encoder").state == OK and found(cfg, "its weights").state == NOTE
    offline = found(cfg, "its weights", can_reach=lambda address: False)
    assert offline.state == FAILS and offline.remedy == "python tools/get_data.py clip"
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "ViT-B-32.pt").touch()
    assert "its weights" not in {finding.what for finding in inputs(cfg)}
    place = "maskrcnn_benchmark.doctor.language.are_phrases_cached"
    monkeypatch.setattr(place, lambda cfg, names: len(names.classes) == 151)
    cached = found(cfg, "text encoder", can_reach=lambda address: False)
    assert cached.state == OK and "embeddings of all phrases are in" in cached.found
    monkeypatch.setattr(place, lambda cfg, names: False)
    absent = found(config(*options, LANGUAGE + "LIBRARY", "open_clip"), "text encoder")
    assert absent.state == FAILS and absent.remedy == "pip install open_clip_torch"


def test_a_file_that_no_manifest_knows_has_no_command():
    assert command_for("/elsewhere/x.h5", "datasets") == ""
    assert command_for("datasets/vg/VG_100K", "datasets") == "python tools/get_data.py vg-images"


def test_the_table_puts_remedies_below_what_they_mend():
    findings = [Finding("a", OK, "fine"), Finding("long name", FAILS, "word " * 40, "do this")]
    lines = table(findings).splitlines()
    assert lines[0] == "ok     a          fine" and lines[-1] == " " * 18 + "-> do this"
    assert all(len(line) <= 110 for line in lines) and table([]) == ""
