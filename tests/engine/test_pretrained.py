"""Shared models: what is written reads back as the same model, on a machine that has nothing but the folder."""

import json

import numpy as np
import pytest
import torch
import yaml
from loopback import hub
from PIL import Image
from small_run import write_config
from support import HEAD, fill

from maskrcnn_benchmark.api import SceneGraphModel
from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.engine.pretrained import (
    Names,
    build_without_data,
    is_pretrained,
    load_pretrained,
    names_of,
    save_pretrained,
)
from maskrcnn_benchmark.engine.shared_phrases import needs_phrases
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.download import is_reachable
from maskrcnn_benchmark.utils.errors import InputError

NAMES = Names(
    ["__background__", *(f"thing {i}" for i in range(1, 6))], ["__background__", *(f"does {i}" for i in range(1, 4))]
)
EVALUATION = {
    "dataset": "some_test",
    "protocol": {"name": "sgb", "k": [20, 50, 100]},
    "metrics": {"R@20": 0.25, "R@50": 0.5, "R@100": None, "mAP": 0.125},
    "recall_by_predicate": {"mR@20": {f"does {i}": 0.5 for i in range(50)}},
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Configuration and model of a RelCLIP for SGDet with random phrases."""
    folder = tmp_path_factory.mktemp("original")
    rng = np.random.default_rng(0)
    arrays = {"sp": rng.normal(size=(5, 3, 8)), "po": rng.normal(size=(3, 5, 8))}
    PhraseBank(NAMES.classes[1:], NAMES.predicates[1:], {}, arrays).save(str(folder / "bank.npz"))
    path = write_config(folder, "sgdet", "RelCLIPPredictor", DATASETS__DATA_DIR="/nowhere", GLOVE_DIR="/nowhere/glove")
    options = ["MODEL.LANGUAGE.BANK_FILE", str(folder / "bank.npz"), "MODEL.DEVICE", "cpu"]
    cfg, model = build_without_data(load_config(str(path), options), NAMES)
    return cfg, fill(model)


@pytest.fixture(scope="module")
def shared(original, tmp_path_factory):
    return save_pretrained(original[1], original[0], tmp_path_factory.mktemp("shared") / "mine", NAMES, EVALUATION)


def predictions(model):
    torch.manual_seed(0)
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        (found,) = model(images)
    return found


def test_the_model_comes_back(original, shared):
    cfg, model, names = load_pretrained(shared, ["MODEL.DEVICE", "cpu"])
    assert names == NAMES and not model.training
    for name, value in original[1].state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    expected, found = predictions(original[1]), predictions(model)
    assert len(expected) > 1
    for field in ("pred_labels", "rel_pair_idxs", "pred_rel_labels"):
        assert torch.equal(expected.get_field(field), found.get_field(field))
    # phrases are kept in half precision
    torch.testing.assert_close(
        expected.get_field("pred_rel_scores"), found.get_field("pred_rel_scores"), atol=2e-3, rtol=0
    )
    assert not torch.equal(expected.get_field("pred_rel_scores"), found.get_field("pred_rel_scores"))
    assert cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR == "RelCLIPPredictor" and cfg.is_frozen()


def test_the_folder_names_no_place_on_this_machine(shared):
    text = (shared / "config.yml").read_text()
    assert "/nowhere" not in text and str(shared.parent) not in text and "PATHS_CATALOG" not in text
    assert "DEVICE" not in yaml.safe_load(text)["MODEL"]
    assert {path.name for path in shared.iterdir()} == {
        "README.md", "config.yml", "evaluation.json", "model.safetensors", "names.json", "phrases.npz"
    }  # fmt: skip
    with np.load(shared / "phrases.npz") as bank:
        assert bank["subject_predicate"].dtype == bank["predicate_object"].dtype == np.float16
    assert json.loads((shared / "evaluation.json").read_text()) == EVALUATION


def test_the_card_tells_what_was_measured_and_how(shared):
    card = (shared / "README.md").read_text()
    assert "| R | 0.25 | 0.5 | none |" in card and "| mAP | 0.125 |" in card
    assert "| protocol: name | sgb |" in card and "| protocol: k | 20, 50, 100 |" in card
    assert "does 7" not in card, "fifty rows are too many"
    assert "thing 1, thing 2" in card and "SGDet" in card and "RelCLIPPredictor" in card


def test_an_existing_folder_is_kept(original, shared):
    before = (shared / "README.md").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        save_pretrained(original[1], original[0], shared, NAMES)
    assert (shared / "README.md").read_bytes() == before


def test_what_is_no_shared_model_is_named(shared, tmp_path):
    with pytest.raises(InputError, match=r"neither a folder nor a model of the hub"):
        load_pretrained(tmp_path / "nothing" / "at" / "all")
    with pytest.raises(InputError, match=r"has no config\.yml"):
        load_pretrained(tmp_path)
    for file in shared.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((shared / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors is cut short"):
        load_pretrained(tmp_path)
    assert is_pretrained(shared) and is_pretrained("owner/name") and not is_pretrained(tmp_path.parent)


def test_a_shared_model_predicts_images(shared, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    model = SceneGraphModel.from_pretrained(shared, device="cpu")
    graph = model(tmp_path / "a.png")
    assert graph.objects and graph.relations and model.classes == NAMES.classes[1:]
    for missing in ("model.pth", "no/such/folder"):
        with pytest.raises(InputError, match="does not exist"):
            SceneGraphModel.from_pretrained(tmp_path / missing)


def test_a_model_of_the_hub_is_that_of_its_folder(original, shared, tmp_path, monkeypatch):
    contents = {path.name: path.read_bytes() for path in shared.iterdir()}
    with hub({"someone/model": contents}, monkeypatch, tmp_path) as site:
        for source in ("someone/model", "hf://someone/model"):
            _, model, names = load_pretrained(source, ["MODEL.DEVICE", "cpu"])
            assert names == NAMES
            for name, value in original[1].state_dict().items():
                assert torch.equal(value, model.state_dict()[name]), name
        downloads = [path for method, path, _ in site.asked if method == "GET"]
        assert len(downloads) == len(set(downloads)), "the second time everything comes from the cache"
        with pytest.raises(InputError, match=r"^hf://someone/other/config\.yml cannot be downloaded"):
            load_pretrained("hf://someone/other")
        with pytest.raises(InputError, match=r"^someone/other is neither a folder in .* nor a model of the hub: hf://"):
            SceneGraphModel.from_pretrained("someone/other")
    is_reachable.cache_clear()  # the hub is gone
    with pytest.raises(InputError, match=r"^output/no-run is neither a folder in .*the hub cannot be reached$"):
        SceneGraphModel.from_pretrained("output/no-run")
    _, model, _ = load_pretrained("someone/model", ["MODEL.DEVICE", "cpu"])
    assert torch.equal(next(model.parameters()), next(original[1].parameters()))


def test_a_file_of_the_hub_is_a_checkpoint(original, shared, tmp_path, monkeypatch):
    cfg, model = original
    contents = {path.name: path.read_bytes() for path in shared.iterdir()}
    with hub({"someone/model": contents}, monkeypatch, tmp_path):
        _, other = build_without_data(cfg, NAMES)
        checkpointer = DetectronCheckpointer(cfg, other)
        checkpointer.load("hf://someone/model/model.safetensors")
        assert checkpointer.report.complete
        for name, value in model.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
        assert names_of("hf://someone/model/model.safetensors") == NAMES
        with pytest.raises(InputError, match=r"hf://someone/model/no\.pth cannot be downloaded"):
            checkpointer.load("hf://someone/model/no.pth")
        with pytest.raises(InputError, match="is no file of the hub"):
            checkpointer.load("hf://someone")


def test_a_model_with_an_image_tower_is_refused(original, tmp_path):
    cfg = original[0].clone()
    cfg.defrost()
    cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT = 0.5
    with pytest.raises(InputError, match="asks CLIP's image tower"):
        save_pretrained(original[1], cfg, tmp_path / "no", NAMES)
    assert not list(tmp_path.iterdir())


PRIOR = HEAD + "PHRASE_PRIOR."


@pytest.mark.parametrize(
    ("predictor", "options", "needed"),
    [
        ("RelCLIPPredictor", [], True),
        ("RelCLIPPredictor", [HEAD + "RELCLIP.TARGETS", "learnt"], False),
        ("MotifPredictor", [], False),
        ("MotifPredictor", [PRIOR + "ON", True], True),
        ("MotifPredictor", [PRIOR + "ON", True, PRIOR + "WIDTH", 0.0], False),
        ("MotifPredictor", [PRIOR + "ON", True, HEAD + "PREDICT_USE_BIAS", False], False),
        ("MotifPredictor", [HEAD + "SECOND_OPINION.WEIGHT", 1.0], True),
    ],
)
def test_phrases_are_shared_with_the_models_that_are_built_with_them(predictor, options, needed, tmp_path):
    """A model that needs phrases cannot be built without; one that does not, can."""
    nowhere = ["MODEL.LANGUAGE.BANK_FILE", str(tmp_path / "nothing.npz"), "MODEL.DEVICE", "cpu"]
    cfg = load_config(str(write_config(tmp_path, "sgdet", predictor)), [*nowhere, *options])
    assert needs_phrases(cfg) == needed
    if needed:
        with pytest.raises(ValueError, match="BANK_FILE"):
            build_without_data(cfg, NAMES)
    else:
        build_without_data(cfg, NAMES)
