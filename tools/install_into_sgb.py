"""Bring RelCLIP into an existing checkout of Scene-Graph-Benchmark.pytorch, or take it out again.

    python tools/install_into_sgb.py PATH_TO_SGB              # copy the plugin and its configurations, register it
    python tools/install_into_sgb.py PATH_TO_SGB --check      # only report; exit status 1 where something is to do
    python tools/install_into_sgb.py PATH_TO_SGB --uninstall

Besides new files in `relation_head/relclip/`, `modeling/language/` and `configs/relclip/`, one line is added at the end
of SGB's `roi_relation_predictors.py`. SGB's configurations cannot inherit from one another, so what a configuration has
from its bases is written into it. Existing files that differ are left alone without --force.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import shutil
from pathlib import Path

from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RELATION_HEAD = Path("maskrcnn_benchmark/modeling/roi_heads/relation_head")
LANGUAGE = Path("maskrcnn_benchmark/modeling/language")
FOLDERS = {  # a folder's own before the folder that it is in
    RELATION_HEAD / "relclip" / "controls": "*.py",
    RELATION_HEAD / "relclip": "*.py",
    LANGUAGE: "*.py",
    Path("configs/relclip"): "*.yaml",
}
REGISTERS = RELATION_HEAD / "roi_relation_predictors.py"
IMPORT = b"from . import relclip"
LINE = IMPORT + b"  # noqa: E402,F401  RelCLIPPredictor (tools/install_into_sgb.py)"
# What the plugin is built on; a folder without these is no SGB checkout, or an older one than it needs.
NEEDED = [
    Path("maskrcnn_benchmark/config/defaults.py"),
    Path("maskrcnn_benchmark/data/build.py"),
    REGISTERS,
    *(RELATION_HEAD / f"model_{name}.py" for name in ("motifs", "vctree", "transformer", "vtranse")),
]


def plugin_files() -> list[Path]:
    """Files of the plugin, relative to the root of either checkout."""
    return sorted(path.relative_to(ROOT) for folder, names in FOLDERS.items() for path in (ROOT / folder).glob(names))


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
    """Refuse a folder that is no SGB checkout.

    Raises:
        InputError: with the first file that it lacks.
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
        with atomic_write(sgb / path) as temporary:
            Path(temporary).write_bytes(content(path))
    registers = not is_registered(sgb)
    if registers:
        source = (sgb / REGISTERS).read_bytes()
        newline = b"\r\n" if b"\r\n" in source else b"\n"
        ends = source.endswith(newline) or not source
        write(sgb / REGISTERS, source + (LINE + newline if ends else newline + LINE))
    print(f"{len(copied)} files copied into {sgb}" if copied or registers else f"{sgb} has everything already")
    if registers:
        print(f"one line added to {REGISTERS}")
    print("choose it with MODEL.ROI_RELATION_HEAD.PREDICTOR RelCLIPPredictor, or a file of configs/relclip")


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
    with atomic_write(path) as temporary:
        Path(temporary).write_bytes(content)
        shutil.copymode(path, temporary)


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
    run(main)
