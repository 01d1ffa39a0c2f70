#!/usr/bin/env python3
"""Bring RelCLIP into an existing checkout of Scene-Graph-Benchmark.pytorch, or take it out again.

    python tools/install_into_sgb.py PATH_TO_SGB              # copy the plugin and its configurations, register it
    python tools/install_into_sgb.py PATH_TO_SGB --check      # only report; exit status 1 where something is to do
    python tools/install_into_sgb.py PATH_TO_SGB --uninstall

It runs in SGB's own environment: Python 3.7 or newer, and nothing but its standard library. Besides new files in
`modeling/language/`, `relation_head/relclip/` and `configs/relclip/`, one line is added, at the end of SGB's
`roi_relation_predictors.py`. SGB's configurations cannot inherit from one another, so what a configuration has from its
bases is written into it. A fork of SGB that calls its predictors in another way, or lacks what the plugin needs, is
refused with what was found. Existing files that differ are left alone without --force.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELATION_HEAD = Path("maskrcnn_benchmark/modeling/roi_heads/relation_head")
PLUGIN = {  # a folder's own before the folder that it is in
    RELATION_HEAD / "relclip" / "controls": ("*.py",),
    RELATION_HEAD / "relclip": ("*.py",),
    Path("maskrcnn_benchmark/modeling/language"): ("*.py", "*.txt"),
}
FOLDERS = {**PLUGIN, Path("configs/relclip"): ("*.yaml",)}
REGISTERS = RELATION_HEAD / "roi_relation_predictors.py"
CALLS = RELATION_HEAD / "relation_head.py"
DEFAULTS = Path("maskrcnn_benchmark/config/defaults.py")
IMPORT = b"from . import relclip"
LINE = IMPORT + b"  # noqa: E402,F401  RelCLIPPredictor (tools/install_into_sgb.py)"
# What the plugin is built on; a folder without these is no SGB checkout, or an older one than it needs.
NEEDED = [
    DEFAULTS,
    Path("maskrcnn_benchmark/data/build.py"),
    REGISTERS,
    CALLS,
    *(RELATION_HEAD / f"model_{name}.py" for name in ("motifs", "vctree", "transformer", "vtranse")),
]
# How SGB's relation head calls a predictor, and what it does with the results.
ARGUMENTS = ["proposals", "rel_pair_idxs", "rel_labels", "rel_binarys", "roi_features", "union_features", "logger"]
RESULTS = 3  # logits of objects, logits of relations, further losses
KEY = "MODEL.ROI_RELATION_HEAD.PREDICTOR"
OWN_KEYS = "MODEL.ROI_RELATION_HEAD.RELCLIP"  # the plugin adds these itself
# What a configuration says in an SGB checkout, whatever it says here.
IN_SGB = {"TEST": {"IMS_PER_BATCH": "1  # an image for each GPU: SGB's decoder of Motifs takes one at a time"}}


class InputError(ValueError):
    """One sentence for the user: what was found, what was expected, what to do."""


def plugin_files() -> list[Path]:
    """Files of the plugin, relative to the root of either checkout."""
    kinds = [(folder, names) for folder, several in FOLDERS.items() for names in several]
    return sorted(path.relative_to(ROOT) for folder, names in kinds for path in (ROOT / folder).glob(names))


def content(path: Path) -> bytes:
    """What a file of the plugin holds in an SGB checkout."""
    if path.suffix == ".yaml":
        return flat_config(ROOT / path).encode()
    return (ROOT / path).read_bytes()


def flat_config(path: Path) -> str:
    """The text of a configuration with the values of its bases in it, and the comments on them.

    It reads what configs/ holds, no YAML at large: a line for each key, groups indented by two spaces, comments on
    values behind them or in the lines above.
    """
    head = list(itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines()))
    tree = {}
    _add_config(tree, path)
    for group, values in IN_SGB.items():
        tree.setdefault(group, {}).update({key: [f"{key}: {value}"] for key, value in values.items()})

    def written(node: dict, indent: str) -> list[str]:
        found = []
        for key, value in node.items():
            if isinstance(value, dict):
                found += [f"{indent}{key}:", *written(value, indent + "  ")]
            else:
                found += [indent + line for line in value]
        return found

    return "\n".join(head + written(tree, "")) + "\n"


def _add_config(tree: dict, path: Path) -> None:
    """Put the lines of each value of a configuration, after those of its bases, into nested dictionaries."""
    comments, group = [], []
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            comments += [text] if text else []
            continue
        key, value = (part.strip() for part in text.split(":", 1))
        group = [*group[: (len(line) - len(line.lstrip())) // 2], key]
        if key == "_BASE_":
            bases = ast.literal_eval(value)
            for base in [bases] if isinstance(bases, str) else bases:
                _add_config(tree, path.parent / base)
        elif value and not value.startswith("#"):
            node = tree
            for part in group[:-1]:
                node = node.setdefault(part, {})
            node[key] = [*comments, text]
        comments = []


def check_checkout(sgb: Path) -> None:
    """Refuse a folder that is no SGB checkout, or a fork that the plugin does not fit.

    Raises:
        InputError: with the first file that it lacks, or what is different there.
    """
    for path in NEEDED:
        if not (sgb / path).is_file():
            raise InputError(
                f"{sgb} is no checkout of Scene-Graph-Benchmark.pytorch: there is no {path}; "
                f"give the folder into which SGB was cloned"
            )
    init = sgb / RELATION_HEAD / "__init__.py"
    if init.is_file() and IMPORT in init.read_bytes():
        raise InputError(f"{sgb} is this project itself, which has RelCLIP already; give the folder of an SGB checkout")
    for check in (check_call, check_key, check_config_keys, check_imports):
        check(sgb)


def parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise InputError(
            f"{path} cannot be read as Python {sys.version_info[0]}.{sys.version_info[1]}: {error}"
        ) from error


def dotted(node: ast.AST) -> str:
    """An expression such as `a.b.c` as text; `...` for other kinds."""
    if isinstance(node, ast.Attribute):
        return dotted(node.value) + "." + node.attr
    return node.id if isinstance(node, ast.Name) else "..."


def check_call(sgb: Path) -> None:
    """Whether the relation head hands its predictor what SGB does, and takes the same from it."""
    tree, fault = parse(sgb / CALLS), f"{sgb / CALLS} is a fork's that RelCLIP does not fit: "
    results = {}  # of a call, the names that it is unpacked into
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target = node.targets[0]
            results[node.value] = [dotted(one) for one in getattr(target, "elts", [target])]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    predictions = [call for call in calls if dotted(call.func) == "self.predictor"]
    if not predictions:
        raise InputError(fault + "it does not call self.predictor")
    for call in predictions:
        arguments = [*map(dotted, call.args), *(keyword.arg or "**" for keyword in call.keywords)]
        if arguments != ARGUMENTS:
            raise InputError(
                f"{fault}line {call.lineno} gives the predictor ({', '.join(arguments)}), "
                f"SGB gives it ({', '.join(ARGUMENTS)})"
            )
        found = results.get(call, [])
        if len(found) != RESULTS:
            raise InputError(
                f"{fault}line {call.lineno} takes {len(found)} results from the predictor ({', '.join(found)}), "
                f"RelCLIPPredictor gives {RESULTS}"
            )
    if not any(dotted(call.func) == "self.loss_evaluator" for call in calls):
        raise InputError(fault + "it never calls self.loss_evaluator, so nothing would train the predictor's logits")


def check_key(sgb: Path) -> None:
    """Whether the predictor is chosen by SGB's key."""
    functions = [node for node in ast.walk(parse(sgb / REGISTERS)) if isinstance(node, ast.FunctionDef)]
    makers = [node for node in functions if node.name == "make_roi_relation_predictor"]
    read = {dotted(node) for maker in makers for node in ast.walk(maker) if isinstance(node, ast.Attribute)}
    if not any(one.endswith("." + KEY) for one in read):
        keys = sorted(one.split(".", 1)[1] for one in read if one.count(".") > 1 and one.split(".")[-1].isupper())
        raise InputError(
            f"{sgb / REGISTERS} is a fork's that RelCLIP does not fit: make_roi_relation_predictor does not choose by "
            f"{KEY}, but by {', '.join(keys) or 'something else'}; another predictor would train"
        )


def check_config_keys(sgb: Path) -> None:
    """Whether the checkout has the keys that the plugin's configurations set."""
    known = set()
    for node in ast.walk(parse(sgb / DEFAULTS)):
        if isinstance(node, ast.Assign):
            known.update(dotted(target).partition("_C.")[2] for target in node.targets)
    known.discard("")
    if not known:
        return  # defaults that are made in another way: nothing to compare with

    def keys(tree: dict, prefix: str) -> list:
        groups = ((f"{prefix}{key}", value) for key, value in tree.items())
        return [one for key, value in groups for one in (keys(value, key + ".") if isinstance(value, dict) else [key])]

    needed = {KEY}
    for path in plugin_files():
        if path.suffix == ".yaml":
            tree = {}
            _add_config(tree, ROOT / path)
            needed.update(keys(tree, ""))
    missing = sorted(key for key in needed - known if not key.startswith(OWN_KEYS))
    if missing:
        raise InputError(
            f"{sgb / DEFAULTS} is a fork's that RelCLIP does not fit: it has no {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more keys" if len(missing) > 5 else "")
        )


def check_imports(sgb: Path) -> None:
    """Whether the checkout has the names that the plugin takes from it when it is imported."""
    own = {path.with_suffix("").parts for path in plugin_files()} | {folder.parts for folder in PLUGIN}
    for path in plugin_files():
        if path.suffix != ".py":
            continue
        for node in parse(ROOT / path).body:
            if not isinstance(node, ast.ImportFrom):
                continue
            package = path.parent.parts[: len(path.parent.parts) - node.level + 1] if node.level else ()
            module = (*package, *(node.module or "").split(".")) if node.module else package
            if module[0] != "maskrcnn_benchmark" or module in own:
                continue
            for name in (alias.name for alias in node.names):
                if (*module, name) not in own and not defines(sgb, module, name):
                    raise InputError(
                        f"{sgb} is a fork that RelCLIP does not fit: {'.'.join(module)} has no {name}, which "
                        f"{path.name} takes from it"
                    )


def defines(sgb: Path, module: tuple, name: str) -> bool:
    """Whether a module of the checkout has a name: a function, a class, a variable, an import or a module."""
    folder = sgb.joinpath(*module)
    if (folder / name).is_dir() or folder.joinpath(name + ".py").is_file():
        return True
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    if not file.is_file():
        return False
    for node in ast.walk(parse(file)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any((alias.asname or alias.name) in (name, "*") for alias in node.names):
                return True
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return True
    return False


def states(sgb: Path) -> dict[Path, str]:
    """For each file of the plugin: `missing`, `same` or `different` in the checkout."""
    found = {}
    for path in plugin_files():
        target = sgb / path
        if not target.exists():
            found[path] = "missing"
        else:
            same = target.is_file() and target.read_bytes() == content(path)
            found[path] = "same" if same else "different"
    return found


def is_registered(sgb: Path) -> bool:
    return any(line.startswith(IMPORT) for line in (sgb / REGISTERS).read_bytes().splitlines())


def refuse_changed(sgb: Path, files: dict[Path, str], what: str) -> None:
    """Stop before anything is touched where the checkout has files that differ from the plugin's."""
    changed = [str(path) for path, state in files.items() if state == "different"]
    if changed:
        raise InputError(
            f"{sgb} has {len(changed)} files that differ from this project's: {', '.join(changed)}; --force {what} them"
        )


def install(sgb: Path, force: bool) -> None:
    files = states(sgb)
    if not force:
        refuse_changed(sgb, files, "overwrites")
    copied = [path for path, state in files.items() if state != "same"]
    for path in copied:
        (sgb / path).parent.mkdir(parents=True, exist_ok=True)
        write(sgb / path, content(path))
    registers = not is_registered(sgb)
    if registers:
        source = (sgb / REGISTERS).read_bytes()
        newline = b"\r\n" if b"\r\n" in source else b"\n"
        ends = source.endswith(newline) or not source
        write(sgb / REGISTERS, source + (LINE + newline if ends else newline + LINE))
    print(f"{len(copied)} files copied into {sgb}" if copied or registers else f"{sgb} has everything already")
    if registers:
        print(f"one line added to {REGISTERS}")
    print(f"choose it with {KEY} RelCLIPPredictor, or a file of configs/relclip")
    print(
        "only this project's own host has further keys, such as DATASETS.DATA_DIR, its other tools, and data sets of "
        "one's own: SGB asserts that there are the 108,073 images of Visual Genome"
    )


def uninstall(sgb: Path, force: bool) -> None:
    files = {path: state for path, state in states(sgb).items() if state != "missing"}
    if not force:
        refuse_changed(sgb, files, "removes")
    if is_registered(sgb):
        lines = (sgb / REGISTERS).read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(IMPORT)]
        if kept and lines[-1].startswith(IMPORT) and not lines[-1].endswith(b"\n"):
            kept[-1] = kept[-1].rstrip(b"\r\n")  # the file did not end with a new line before either
        write(sgb / REGISTERS, b"".join(kept))
        print(f"one line taken out of {REGISTERS}")
    for path in files:
        (sgb / path).unlink()
    for folder in FOLDERS:
        shutil.rmtree(sgb / folder / "__pycache__", ignore_errors=True)
        if (sgb / folder).is_dir() and not any((sgb / folder).iterdir()):
            (sgb / folder).rmdir()
    print(f"{len(files)} files removed from {sgb}")


def write(path: Path, content: bytes) -> None:
    """Write a file that is either whole or as it was before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        if path.exists():
            shutil.copymode(str(path), str(temporary))
        os.replace(str(temporary), str(path))
    finally:
        if temporary.exists():
            temporary.unlink()


def check(sgb: Path) -> int:
    """Report what an installation would find; 0 where there is nothing to do."""
    files = states(sgb)
    for path, state in files.items():
        if state != "same":
            print(f"{state}: {path}")
    registered = is_registered(sgb)
    print(f"{REGISTERS} {'registers' if registered else 'does not register'} RelCLIPPredictor")
    up_to_date = sum(state == "same" for state in files.values())
    print(f"{up_to_date} of {len(files)} files are there and the same")
    return 0 if registered and up_to_date == len(files) else 1


def main() -> int | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sgb", metavar="PATH_TO_SGB", type=Path)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="report, change nothing")
    action.add_argument("--uninstall", action="store_true", help="take the plugin out")
    parser.add_argument("--force", action="store_true", help="overwrite or remove files that differ, too")
    args = parser.parse_args()
    check_checkout(args.sgb)
    if args.check:
        return check(args.sgb)
    (uninstall if args.uninstall else install)(args.sgb, args.force)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
