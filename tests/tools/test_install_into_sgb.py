"""RelCLIP goes into a checkout with SGB's layout, works there, and comes out again without a trace."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import PARITY

from maskrcnn_benchmark.config.load import load_config

ROOT = Path(__file__).resolve().parents[2]
STANDIN = ROOT / "tests" / "data" / "sgb_standin"
TOOL = ROOT / "tools" / "install_into_sgb.py"
HEAD = Path("maskrcnn_benchmark/modeling/roi_heads/relation_head")
REGISTERS = HEAD / "roi_relation_predictors.py"


@pytest.fixture
def sgb(tmp_path):
    """A small stand-in for an SGB checkout."""
    folder = tmp_path / "Scene-Graph-Benchmark.pytorch"
    shutil.copytree(STANDIN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_defaults(folder, json.loads((PARITY / "sgb_config_defaults.json").read_text()))
    return folder


def write_defaults(folder, values):
    """SGB's defaults as they were recorded, in the way in which it writes them."""

    def lines(group, prefix):
        for key, value in group.items():
            yield f"{prefix}.{key} = {'CN()' if isinstance(value, dict) else repr(value)}"
            if isinstance(value, dict):
                yield from lines(value, f"{prefix}.{key}")

    text = "\n".join(("from yacs.config import CfgNode as CN", "_C = CN()", *lines(values, "_C"))) + "\n"
    (folder / "maskrcnn_benchmark" / "config" / "defaults.py").write_text(text)


def run(*arguments, status=0, **kwargs):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **kwargs)
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout if status == 0 else done.stdout + done.stderr


def snapshot(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_the_standin_has_sgbs_arguments():
    """Functions and methods of the stand-in take what was recorded from SGB, so that calls of them prove something."""
    interface = json.loads((PARITY / "sgb_interface.json").read_text())
    compared = 0
    for path in STANDIN.rglob("*.py"):
        module = ".".join(path.relative_to(STANDIN).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            recorded = interface.get(module, {}).get(getattr(node, "name", None))
            if isinstance(node, ast.FunctionDef) and recorded is not None:
                assert [a.arg for a in node.args.args] == recorded, (module, node.name)
                compared += 1
            elif isinstance(node, ast.ClassDef) and recorded is not None:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name in recorded:
                        expected = [a for a in recorded[method.name] if not a.startswith("*")]
                        assert [a.arg for a in method.args.args] == expected, (module, node.name, method.name)
                        compared += 1
    assert compared > 25


def test_installed_it_trains_and_predicts(sgb):
    run(TOOL, sgb)
    configurations = sorted((sgb / "configs" / "relclip").glob("*.yaml"))
    assert len(configurations) == len(list((ROOT / "configs" / "relclip").glob("*.yaml"))) > 0
    environment = {**os.environ, "PYTHONPATH": str(sgb), "OMP_NUM_THREADS": "1"}
    out = run(sgb / "use_plugin.py", *configurations, env=environment, cwd=sgb)
    assert len(out.splitlines()) == len(configurations) + 15


def test_configurations_are_flat_and_say_the_same(sgb):
    run(TOOL, sgb)
    for path in (sgb / "configs" / "relclip").glob("*.yaml"):
        text = path.read_text()
        assert "_BASE_" not in text and "# pixels of the shorter side" in text
        one_image = ["TEST.IMS_PER_BATCH", 1]  # SGB's decoder of Motifs takes one at a time
        assert load_config(str(path)) == load_config(str(ROOT / "configs" / "relclip" / path.name), one_image)


def test_a_second_run_changes_nothing(sgb):
    before = snapshot(sgb)
    assert "files copied" in run(TOOL, sgb)
    after = snapshot(sgb)
    added = {path for path in after if path not in before}
    changed = {path for path in before if after[path] != before[path]}
    assert changed == {REGISTERS} and HEAD / "relclip" / "predictor.py" in added
    assert Path("maskrcnn_benchmark/modeling/language/vg150_synonyms.txt") in added
    assert after[REGISTERS].startswith(before[REGISTERS])
    assert len(after[REGISTERS].splitlines()) == len(before[REGISTERS].splitlines()) + 1
    assert "has everything already" in run(TOOL, sgb)
    assert snapshot(sgb) == after


@pytest.mark.parametrize("ending", [b"\n", b"", b"\r\n"])
def test_uninstalled_the_checkout_is_what_it_was(sgb, ending):
    source = (sgb / REGISTERS).read_bytes().rstrip(b"\n")
    source = source.replace(b"\n", b"\r\n") if ending == b"\r\n" else source
    (sgb / REGISTERS).write_bytes(source + ending)
    before = snapshot(sgb)
    run(TOOL, sgb)
    assert b"from . import relclip" in (sgb / REGISTERS).read_bytes().splitlines()[-1]
    run(TOOL, sgb, "--uninstall")
    assert snapshot(sgb) == before
    assert not (sgb / HEAD / "relclip").exists() and not (sgb / "configs" / "relclip").exists()
    assert "0 files removed" in run(TOOL, sgb, "--uninstall")


def test_check_only_reports(sgb):
    before = snapshot(sgb)
    out = run(TOOL, sgb, "--check", status=1)
    assert f"missing: {HEAD / 'relclip' / 'predictor.py'}" in out and "does not register" in out
    assert snapshot(sgb) == before
    run(TOOL, sgb)
    assert "registers RelCLIPPredictor" in run(TOOL, sgb, "--check")


def test_a_file_that_differs_is_overwritten_with_force_only(sgb):
    run(TOOL, sgb)
    changed = sgb / HEAD / "relclip" / "loss.py"
    changed.write_text("mine = 1\n")
    before = snapshot(sgb)
    for action in ([], ["--uninstall"]):
        out = run(TOOL, sgb, *action, status=1)
        assert out.startswith("error: ") and "relclip/loss.py" in out and "--force" in out
        assert snapshot(sgb) == before
    assert "different: " in run(TOOL, sgb, "--check", status=1)
    run(TOOL, sgb, "--force")
    assert changed.read_bytes() == (ROOT / HEAD / "relclip" / "loss.py").read_bytes()


def test_a_file_of_the_users_own_beside_the_plugin_stays(sgb):
    run(TOOL, sgb)
    (sgb / HEAD / "relclip" / "mine.py").write_text("")
    run(TOOL, sgb, "--uninstall")
    assert [path.name for path in (sgb / HEAD / "relclip").iterdir()] == ["mine.py"]


def test_a_folder_that_is_no_checkout_gets_a_sentence(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        out = run(TOOL, folder, status=1)
        assert out.startswith(f"error: {folder} is no checkout of Scene-Graph-Benchmark.pytorch: there is no maskrcnn_")
        assert out.count("\n") == 1


HEAD_FILE, PREDICTORS = HEAD / "relation_head.py", HEAD / "roi_relation_predictors.py"


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        (
            HEAD_FILE,
            "relation_logits, add_losses =",
            "relation_logits, add_losses, add_data =",
            r"takes 4 results from the predictor (refine_logits, relation_logits, add_losses, add_data), RelCLIPP",
        ),
        (
            HEAD_FILE,
            "union_features, logger\n",
            "union_features, targets, logger\n",
            "rel_labels, rel_binarys, roi_features, union_features, targets, logger), SGB gives it (proposals, rel_",
        ),
        (HEAD_FILE, "self.predictor(\n", "self.model(\n", "it does not call self.predictor"),
        (HEAD_FILE, "= self.loss_evaluator(", "= evaluate(", "it never calls self.loss_evaluator"),
        (
            PREDICTORS,
            "cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR",
            "cfg.GLOBAL_SETTING.RELATION_PREDICTOR",
            "does not choose by MODEL.ROI_RELATION_HEAD.PREDICTOR, but by GLOBAL_SETTING.RELATION_PREDICTOR",
        ),
        (
            Path("maskrcnn_benchmark/config/defaults.py"),
            "_C.MODEL.ROI_BOX_HEAD.NUM_CLASSES",
            "_C.MODEL.ROI_BOX_HEAD.VG_NUM_CLASSES",
            "it has no MODEL.ROI_BOX_HEAD.NUM_CLASSES",
        ),
        (HEAD / "utils_motifs.py", "def to_onehot", "def one_hot", "utils_motifs has no to_onehot, which"),
        (HEAD_FILE, "class", "klass", "relation_head.py cannot be read as Python 3"),
    ],
)
def test_a_fork_that_the_plugin_does_not_fit_is_refused(sgb, file, before, after, message):
    text = (sgb / file).read_text()
    assert before in text
    (sgb / file).write_text(text.replace(before, after))
    found = snapshot(sgb)
    for action in ([], ["--check"]):
        out = run(TOOL, sgb, *action, status=1)
        assert out.startswith("error: ") and message in out and out.count("\n") == 1
    assert snapshot(sgb) == found


def test_it_needs_nothing_but_the_standard_library(sgb):
    """As SGB's own environment has it: no package of this project can be imported."""
    assert "files copied" in run("-S", "-E", TOOL, sgb)
    nodes = list(ast.walk(ast.parse(TOOL.read_text(), feature_version=(3, 7))))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names)


def test_this_project_itself_is_refused():
    assert "is this project itself" in run(TOOL, ROOT, status=1)
