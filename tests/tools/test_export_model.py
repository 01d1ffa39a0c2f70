"""The model of a training as a folder to share, and pushed to a hub."""

import base64
import json

import pytest
import torch
import yaml
from loopback import hub
from small_run import write_config
from support import fill

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.engine.pretrained import Names, build_without_data, load_pretrained
from maskrcnn_benchmark.utils.files import atomic_write

NAMES = Names(["__background__", "cat", "mat"], ["__background__", "on"])
EVALUATION = {"dataset": "d", "metrics": {"R@20": 0.5}}


@pytest.fixture
def run_folder(tmp_path):
    """The output folder of a training of Motifs for SGDet, tested."""
    config = write_config(tmp_path, "sgdet", OUTPUT_DIR=str(tmp_path / "run"), MODEL__DEVICE="cpu")
    cfg = load_config(str(config))
    cfg, model = build_without_data(cfg, NAMES)
    run = tmp_path / "run"
    results = run / "inference" / cfg.DATASETS.TEST[0]
    results.mkdir(parents=True)
    (run / "config.yml").write_text(config.read_text())
    content = {"model": fill(model).state_dict(), "obj_classes": NAMES.classes, "rel_classes": NAMES.predicates}
    torch.save(content, run / "model_0000004.pth")
    (run / "last_checkpoint").write_text("/moved/model_0000004.pth")
    with atomic_write(results / "evaluation.json") as path:
        path.write_text(json.dumps(EVALUATION))
    return run


def test_a_run_becomes_a_folder_to_share(run_here, run_folder, tmp_path):
    status, _, error = run_here("export_model", run_folder, "--output", tmp_path / "shared")
    assert status == 0, error
    cfg, model, names = load_pretrained(tmp_path / "shared", ["MODEL.DEVICE", "cpu"])
    trained = torch.load(run_folder / "model_0000004.pth", weights_only=True)["model"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained[name]), name
    assert names == NAMES and cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR == "MotifPredictor"
    assert json.loads((tmp_path / "shared" / "evaluation.json").read_text()) == EVALUATION
    assert "phrases.npz" not in {path.name for path in (tmp_path / "shared").iterdir()}
    status, _, error = run_here("export_model", run_folder, "--output", tmp_path / "shared")
    assert status == 1 and "exists already" in error


def test_what_is_missing_is_named(run_here, run_folder, tmp_path):
    status, _, error = run_here("export_model", tmp_path, "--output", tmp_path / "no")
    assert status == 1 and "has no config.yml" in error
    torch.save({"model": {}}, tmp_path / "nameless.pth")
    arguments = ("export_model", run_folder, "--output", tmp_path / "no")
    status, _, error = run_here(*arguments, "--checkpoint", tmp_path / "nameless.pth")
    assert status == 1 and "holds no names of classes" in error
    status, _, error = run_here(*arguments, "--push", "no-owner")
    assert status == 1 and "owner/name" in error
    assert not (tmp_path / "no").exists()


def test_a_push_uploads_every_file(run_here, run_folder, tmp_path, monkeypatch):
    uploaded = {}

    def commit(body: bytes):
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                uploaded[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return {"commitUrl": f"{site.url}/someone/cats/commit/{'c' * 40}", "commitOid": "c" * 40}

    def preupload(body: bytes):
        files = json.loads(body)["files"]
        return {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}

    def push(folder: str):
        return run_here("export_model", run_folder, "--output", tmp_path / folder, "--push", "someone/cats")

    monkeypatch.setenv("HF_TOKEN", "token")
    with hub({}, monkeypatch, tmp_path / "cache") as site:
        site.posts["/api/repos/create"] = lambda body: {"url": f"{site.url}/{json.loads(body)['organization']}/cats"}
        site.posts["/api/validate-yaml"] = lambda body: {"warnings": [], "errors": []}
        site.posts["/api/models/someone/cats/preupload/main"] = preupload
        site.posts["/api/models/someone/cats/commit/main"] = commit
        status, _, error = run_here(
            "export_model", run_folder, "--output", tmp_path / "shared", "--push", "someone/cats"
        )
        assert status == 0, error
        assert uploaded == {path.name: path.read_bytes() for path in (tmp_path / "shared").iterdir()}
        assert "# someone/cats" in uploaded["README.md"].decode()
        assert yaml.safe_load(uploaded["config.yml"])["OUTPUT_DIR"] == "."
        del site.posts["/api/repos/create"]
        status, _, error = run_here(
            "export_model", run_folder, "--output", tmp_path / "again", "--push", "someone/cats"
        )
        assert status == 1 and "cannot be pushed to someone/cats" in error and (tmp_path / "again").is_dir()
