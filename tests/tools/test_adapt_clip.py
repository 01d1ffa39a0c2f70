"""CLIP's image side adapted by RCL, by the tools that users have, on the reference data set and a tiny CLIP."""

import json

import pytest
import torch
from small_run import NAME, write_config
from support import HEAD
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

RELCLIP = HEAD + "RELCLIP."
ON = (HEAD + "PREDICTOR", "RelCLIPPredictor", RELCLIP + "VISION", "clip")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    model = pytest.importorskip("clip.model")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.save(model.CLIP(16, 32, 1, 64, 32, 24, 49408, 64, 1, 1).state_dict(), path)
    return path


@pytest.fixture
def run(run_here, clip, tmp_path):
    """Run a tool with RelCLIP on Motifs, VISION clip: (exit status, standard output, standard error)."""
    config = write_config(tmp_path, SOLVER__MAX_ITER=2, SOLVER__BASE_LR=0.0001)
    small = {"NEGATIVES": "weighted", "ADAPTER_STEPS": 20, "ADAPTER_BATCH": 32, "PROJECTION_DIM": 16}
    options = ["MODEL.LANGUAGE.NAME", clip, "MODEL.LANGUAGE.CACHE_DIR", tmp_path / "cache"]
    options += [word for key, value in small.items() for word in (RELCLIP + key, value)]

    def call(tool, *opts):
        return run_here(tool, "--config-file", config, *options, *opts)

    return call


def metrics(folder):
    return json.loads((folder / "inference" / f"{NAME}_test" / "evaluation.json").read_text())["metrics"]


def test_a_training_ends_with_the_adapter_and_is_tested_with_it(run, tmp_path):
    """The predictor itself learns what it learns without; the adapter of another run serves it as well."""
    status, out, error = run("relation_train_net", *ON, "OUTPUT_DIR", tmp_path / "joined")
    assert status == 0, error
    assert "CLIP's image side, adapted on" in out
    status, _, error = run("relation_train_net", "OUTPUT_DIR", tmp_path / "motifs")
    assert status == 0, error
    joined, motifs = (torch.load(tmp_path / x / "model_final.pth", weights_only=True) for x in ("joined", "motifs"))
    assert joined["model"].keys() == motifs["model"].keys()
    assert all(torch.equal(value, joined["model"][name]) for name, value in motifs["model"].items())
    weights = ("MODEL.WEIGHT", tmp_path / "motifs" / "model_final.pth")
    adapter = tmp_path / "joined" / "clip_adapter.pth"
    found = {}
    for name, opts in {
        "the same": (*ON, RELCLIP + "ADAPTER", adapter),
        "left out": (*ON, RELCLIP + "USE_ALIGNMENT", False),
        "shrunk to CLIP as it is": (*ON, RELCLIP + "ADAPTER", adapter, RELCLIP + "SHRINKAGE", 1e9),
        "CLIP as it is": (HEAD + "SECOND_OPINION.WEIGHT", 1.0),
    }.items():
        status, _, error = run("relation_test_net", *opts, *weights, "OUTPUT_DIR", tmp_path / name)
        assert status == 0, error
        found[name] = metrics(tmp_path / name)
    assert found["the same"] == pytest.approx(metrics(tmp_path / "joined"), nan_ok=True)
    assert found["left out"] == pytest.approx(metrics(tmp_path / "motifs"), nan_ok=True)
    assert found["shrunk to CLIP as it is"] == pytest.approx(found["CLIP as it is"], nan_ok=True)
    assert found["the same"] != pytest.approx(found["CLIP as it is"], nan_ok=True)


def test_it_is_the_same_with_the_same_seed_and_learns_vectors_without_text(run, tmp_path):
    files = []
    controls = {
        "learnt": (RELCLIP + "TARGETS", "learnt"),
        "blind": (RELCLIP + "PICTURE", False),
        "phrases as they are": (RELCLIP + "ADAPT_TEXT", False),
    }
    for name, opts in {"a": (), "b": (), **controls}.items():
        status, _, error = run("adapt_clip", *ON, *opts, "OUTPUT_DIR", tmp_path / name)
        assert status == 0, error
        files.append(torch.load(tmp_path / name / "clip_adapter.pth", weights_only=True))
    first, again, learnt, blind, plain = files
    assert all(torch.equal(value, again["adapter"][name]) for name, value in first["adapter"].items())
    assert {value.shape[1] for value in learnt["targets"].values()} == {16} and not plain["targets"]
    assert first["targets"].keys() == {f"moves.{name}" for name in learnt["targets"]}
    for name, value in first["targets"].items():
        assert torch.equal(value, again["targets"][name]) and value[1:].abs().max() > 0
        assert not value[0].any()  # background's
    assert first["facts"]["pairs"] > 10
    assert ["constant" in file["adapter"] for file in (first, blind)] == [False, True]


def test_without_the_picture_no_crop_is_embedded(run, tmp_path):
    for name, seen in {"without": False, "with": True}.items():
        cache = ("MODEL.LANGUAGE.CACHE_DIR", tmp_path / name / "cache")
        status, _, error = run("adapt_clip", *ON, RELCLIP + "PICTURE", seen, *cache, "OUTPUT_DIR", tmp_path / name)
        assert status == 0, error
        assert (tmp_path / name / "cache" / "crops").exists() == seen


def test_its_training_is_in_metrics_and_tensorboard(run, tmp_path):
    """Beside its file, and anew where it is trained again."""
    for _ in range(2):
        status, out, error = run("adapt_clip", *ON, "OUTPUT_DIR", tmp_path)
        assert status == 0, error
    assert "step 20/20  loss_rcl_sp: " in out
    lines = (tmp_path / "clip_adapter_metrics.json").read_text().splitlines()
    rows = {row["iteration"]: row for row in map(json.loads, lines)}
    assert list(rows) == list(range(1, 21)) and len(lines) == 20
    events = EventAccumulator(str(tmp_path / "tensorboard" / "clip_adapter"))
    events.Reload()
    for name in ("tau", "alignment_accuracy", "loss_rcl_sp", "loss_rcl_po", "loss"):
        written = [(event.step, event.value) for event in events.Scalars(name)]
        assert written == [(step, pytest.approx(row[name])) for step, row in rows.items()], name
    assert rows[20]["loss"] < rows[1]["loss"]


def test_what_is_wrong_gets_one_sentence(run, tmp_path):
    for opts, message in {
        (RELCLIP + "LEVELS", "('sp',)"): "needs the levels sp and po",
        (RELCLIP + "USE_RCL", False): "trained by RCL alone",
        (RELCLIP + "ADAPTER_STEPS", 0): "ADAPTER_STEPS is 0; it must be more than 0",
        (RELCLIP + "VISION", "both"): "VISION is 'both'; it can be detector, clip",
    }.items():
        status, _, error = run("adapt_clip", *ON, *opts, "OUTPUT_DIR", tmp_path / "x")
        assert status == 1 and message in error and error.strip().count("\n") == 0, error
    status, _, error = run("relation_train_net", "OUTPUT_DIR", tmp_path / "motifs")
    assert status == 0, error
    weights = ("MODEL.WEIGHT", tmp_path / "motifs" / "model_final.pth")
    status, _, error = run("relation_test_net", *ON, *weights, "OUTPUT_DIR", tmp_path / "none")
    assert status == 1 and "is not there" in error and "tools/adapt_clip.py" in error
    (tmp_path / "none" / "clip_adapter.pth").write_bytes((tmp_path / "motifs" / "model_final.pth").read_bytes())
    status, _, error = run("relation_test_net", *ON, *weights, "OUTPUT_DIR", tmp_path / "none")
    assert status == 1 and "is no adapter that tools/adapt_clip.py wrote" in error
