"""The plugin runs in an original SGB too: it imports and calls only what SGB offers, in the language of old forks.

The plugin is relclip/ and the room that it shares with the host, language/.

Each file's syntax tree is walked. Names imported from the host must be in `sgb_interface.json`, which was recorded from
SGB; calls of them, and of the context modules, must fit the recorded arguments.
"""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import PARITY

from maskrcnn_benchmark.modeling import language
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.roi_heads.relation_head import relclip
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.predictor import relclip_on
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import MotifPredictor
from maskrcnn_benchmark.utils.errors import InputError

FOLDERS = (Path(relclip.__file__).parent, Path(language.__file__).parent)
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))
OWN = "maskrcnn_benchmark.modeling.language"  # what the plugin brings along
INTERFACE = json.loads((PARITY / "sgb_interface.json").read_text())
HOST = "maskrcnn_benchmark"
# The recorded interface has classes and functions; the configuration is an object, which every script of SGB imports.
OBJECTS = {("maskrcnn_benchmark.config", "cfg")}
ALLOWED_LIBRARIES = {"torch", "numpy", "yacs", "clip", "open_clip"}
MODULES = [pytest.param(ast.parse(path.read_text()), id=path.name) for path in FILES]


def imports(tree):
    """(module, name) of every import of a file; the name is None for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module, alias.name) for alias in node.names)


def arguments(module: str, name: str):
    """Recorded argument names of a class or function, None for other values."""
    entry = INTERFACE[module][name]
    if isinstance(entry, dict):
        entry = entry.get("__init__", ["self"])[1:]
    return None if entry == "value" else entry


def check_call(call: ast.Call, accepted: list, what: str):
    assert not any(isinstance(a, ast.Starred) for a in call.args) and all(k.arg for k in call.keywords), what
    assert len(call.args) <= len(accepted), f"{what}: {len(call.args)} arguments, SGB takes {accepted}"
    for keyword in call.keywords:
        assert keyword.arg in accepted[len(call.args) :], f"{what}: SGB has no argument {keyword.arg}"


@pytest.mark.parametrize("tree", MODULES)
def test_only_what_sgb_offers_is_imported(tree):
    for module, name in imports(tree):
        top = module.split(".")[0]
        if module.startswith(OWN):
            continue
        if top == HOST:
            known = (module, name) in OBJECTS or name in INTERFACE.get(module, {})
            assert known, f"SGB has no {module}.{name}"
        else:
            assert top in ALLOWED_LIBRARIES or top in sys.stdlib_module_names | {"__future__"}, module
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.ImportFrom) and node.level > 1), "relative imports stay inside the plugin"


def test_the_walk_finds_the_imports():
    found = {pair for path in FILES for pair in imports(ast.parse(path.read_text())) if pair[0].startswith(HOST)}
    assert ("maskrcnn_benchmark.modeling.registry", "ROI_RELATION_PREDICTOR") in found
    assert ("maskrcnn_benchmark.config", "cfg") in found and len(found) > 10


@pytest.mark.parametrize("tree", MODULES)
def test_the_host_is_called_with_the_arguments_that_sgb_takes(tree):
    accepted = {
        name: arguments(module, name)
        for module, name in imports(tree)
        if module.startswith(HOST)
        and not module.startswith(OWN)
        and (module, name) not in OBJECTS
        and arguments(module, name) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in accepted:
            check_call(node, accepted[node.func.id], node.func.id)


BOXLIST = INTERFACE["maskrcnn_benchmark.structures.bounding_box"]["BoxList"]


@pytest.mark.parametrize("tree", MODULES)
def test_proposals_are_used_as_sgb_has_them(tree):
    """Their attributes exist in SGB, and methods are called with SGB's arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "proposal":
            assert node.attr in BOXLIST or node.attr in ("bbox", "size", "mode", "extra_fields"), node.attr
        called = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        if called is not None and ast.unparse(called.value) == "proposal" and called.attr in BOXLIST:
            check_call(node, BOXLIST[called.attr][1:], ast.unparse(node))


def test_the_base_is_called_with_the_arguments_that_sgbs_predictors_take():
    recorded = INTERFACE["maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors"]
    forward = inspect.signature(relclip_on(MotifPredictor).forward).parameters
    needed = [name for name in forward if forward[name].default is inspect.Parameter.empty or name == "logger"]
    assert [*forward][: len(needed)] == needed
    for name in ("Motif", "VCTree", "Transformer", "CausalAnalysis", "IMP"):
        assert recorded[f"{name}Predictor"]["forward"] == needed


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in FILES])
def test_the_language_is_that_of_python_3_8(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Call) or "strict" not in [keyword.arg for keyword in node.keywords]
    annotated = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AnnAssign))]
    if annotated:
        future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        assert future or path.name in ("defaults.py", "errors.py"), "annotations are not evaluated on Python 3.8"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "first",
    [
        "from maskrcnn_benchmark.modeling import registry",
        "from maskrcnn_benchmark.modeling.roi_heads.relation_head import relclip",
        "from maskrcnn_benchmark.modeling.language import text_encoder",
        "from maskrcnn_benchmark.modeling.roi_heads.relation_head import roi_relation_predictors",
    ],
)
def test_whatever_is_imported_first_the_predictor_and_its_node_are_there(first):
    code = (
        f"{first}\n"
        "from maskrcnn_benchmark.config import cfg\n"
        "from maskrcnn_benchmark.modeling.roi_heads.relation_head import relation_head\n"
        "from maskrcnn_benchmark.modeling.registry import ROI_RELATION_PREDICTOR\n"
        "print('RelCLIPPredictor' in ROI_RELATION_PREDICTOR, cfg.MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT)"
    )
    assert run_python(code) == "True motifs\n"


def test_neither_clip_nor_open_clip_is_imported_before_it_is_needed():
    code = (
        "import sys, maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip\n"
        "print({'clip', 'open_clip'} & set(sys.modules))"
    )
    assert run_python(code) == "set()\n"


def test_errors_are_marked_like_the_hosts():
    assert LanguageError.user_input is InputError.user_input is True
