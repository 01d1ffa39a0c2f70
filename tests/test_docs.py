"""What README and docs name is there: tools with their options, configuration keys with their defaults, files, anchors.

Prose is passed over. What is looked at: code blocks, words in backticks, links, and tables with a column of defaults.
"""

import argparse
import ast
import functools
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.node import dotted_keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Words in capitals that are no configuration keys: variables of the environment and of commands, parts of a
# data set's names.
OTHER_WORDS = {
    "OMP_NUM_THREADS",
    "TORCH_DETECTRON_ENV_MODULE",
    "CUBLAS_WORKSPACE_CONFIG",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "CLASSES",
    "VG_100K",
    "GQA_200",
}
# Ends of names of files, which look like names in modules.
SUFFIXES = (
    "csv", "h5", "html", "json", "jsonl", "log", "md", "npz", "png", "pt", "pth", "py", "pytorch", "txt", "yaml", "yml",
    "zip",
)  # fmt: skip
# Records of measurements: they name keys and sections as they were then.
RECORDS = ("experiments.md", "results.md")
CODE_FOLDERS = ("maskrcnn_benchmark", "tools", "demo", "benchmarks", "tests")


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request):
    return request.param


class ParsedError(Exception):
    """Carries a tool's parser out of the tool."""

    def __init__(self, parser):
        super().__init__()
        self.parser = parser


@functools.cache
def parser_of(tool: str) -> argparse.ArgumentParser:
    """The parser that a tool makes, as it is when it begins to read its arguments."""
    spec = importlib.util.spec_from_file_location(f"docs_{tool}", ROOT / "tools" / f"{tool}.py")
    module = importlib.util.module_from_spec(spec)

    def stop(self, *args, **kwargs):
        raise ParsedError(self)

    kept = argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args, sys.path[:], sys.argv[:]
    argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = stop
    sys.path.insert(0, str(ROOT / "tools"))
    sys.argv[1:] = []
    try:
        spec.loader.exec_module(module)
        module.main()
    except ParsedError as found:
        return found.parser
    finally:
        argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args, sys.path[:], sys.argv[:] = kept
    raise AssertionError(f"tools/{tool}.py reads no arguments")


def actions_of(parser: argparse.ArgumentParser, word: str = "") -> dict[str, argparse.Action]:
    """Options by their names; with sub-commands those of `word`, or of all."""
    found = {}
    for action in parser._actions:
        found |= dict.fromkeys(action.option_strings, action)
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                if word in ("", name):
                    found |= actions_of(sub)
    return found


def code_of(page: Path) -> list[str]:
    """Lines of the indented and fenced code blocks, continued ones joined."""
    lines, fenced = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def words_of(page: Path) -> list[str]:
    """What stands in backticks outside of code blocks."""
    text = "\n".join(line for line in page.read_text().split("```")[::2])
    return re.findall(r"`([^`\n]+)`", "\n".join(line for line in text.splitlines() if not line.startswith("    ")))


@functools.cache
def configuration() -> dict[str, object]:
    """Every configuration key, groups among them, with its default."""
    config = load_config("", ["MODEL.DEVICE", "cpu"])

    def value(key):
        return functools.reduce(lambda node, part: node[part], key.split("."), config)

    return {key: value(key) for key in dotted_keys(config)} | {"MODEL.DEVICE": "cuda"}


def keys_called(name: str) -> list[str]:
    """The configuration keys that a name of the docs may mean: whole keys, or the end of one."""
    return [key for key in configuration() if key == name or key.endswith("." + name)]


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """(tool, its arguments) of every command in code blocks and backticks."""
    found = []
    for line in [*code_of(page), *words_of(page)]:
        if match := re.search(r"\btools/(\w+)\.py\b(.*)", line):
            arguments = shlex.split(match[2].split("     #")[0], comments=True) if match[2].count("'") % 2 == 0 else []
            found.append((match[1], arguments))
    return found


def test_every_tool_that_is_named_exists_and_has_the_options(page):
    for tool, arguments in commands(page):
        assert (ROOT / "tools" / f"{tool}.py").is_file(), f"{page.name} names tools/{tool}.py"
        known = actions_of(parser_of(tool), next((one for one in arguments[:1] if one.islower()), ""))
        for option in (one.split("=")[0] for one in arguments if one.startswith("--")):
            assert option in known, f"{page.name}: tools/{tool}.py has no {option}"


def test_every_option_in_backticks_belongs_to_a_tool(page):
    known = {one for path in (ROOT / "tools").glob("*.py") if path.stem != "checkout" for one in options_of(path.stem)}
    for word in words_of(page):
        for option in re.findall(r"(?:^|\s)(--[a-z][a-z-]+)", word):
            if not any(name in word for name in ("pip ", "torchrun", "ruff", "benchmarks/", "make ")):
                assert option in known | {"--nproc_per_node"}, f"{page.name}: no tool has {option}"


@functools.cache
def options_of(tool: str) -> frozenset[str]:
    return frozenset(actions_of(parser_of(tool)))


def test_every_configuration_key_that_is_named_exists(page):
    if page.name in RECORDS:
        return
    text = "\n".join([*code_of(page), *words_of(page)])
    for key in set(re.findall(r"(?<![\w./$-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?:\.[A-Z0-9_]+)+(?![\w/.*-])", text)):
        assert keys_called(key), f"{page.name} names the configuration key {key}"
    for word in words_of(page):
        name = word.split(" ")[0]
        if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name) and name not in OTHER_WORDS:
            assert keys_called(name) or is_constant(name), f"{page.name} names the configuration key {name}"


@functools.cache
def constants() -> set[str]:
    """Names of constants of modules."""
    found = set()
    for folder in CODE_FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                targets = node.targets if isinstance(node, ast.Assign) else []
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def is_constant(name: str) -> bool:
    return name in constants()


def as_typed(value: object) -> str:
    """A default as the docs write it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_defaults_of_keys_are_those_of_the_code(page):
    text = " ".join(page.read_text().split())
    claims = re.findall(r"`([A-Z][\w.]+)` \(default `([^`]*)`\)", text)
    claims += re.findall(r"`([A-Z][A-Z0-9_.]+) ([^`]+)`, the default", text)
    for name, default in claims:
        values = {as_typed(configuration()[key]) for key in keys_called(name)}
        assert default.strip("\"'") in values, f"{page.name}: {name} is {values} by default, not {default}"


def tables(page: Path) -> list[list[list[str]]]:
    """Tables as rows of cells."""
    found, rows = [], []
    for line in [*page.read_text().splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            found.append(rows)
            rows = []
    return found


def test_defaults_in_tables_are_those_of_the_code(page):
    for head, _, *rows in tables(page):
        if "default" not in head[1:]:
            continue
        for row in rows:
            name = re.split("[`, ]", row[0].strip("`"))[0]
            cell = row[head.index("default")]
            default = cell.strip("`").split("`")[0]
            if not re.match(r"`|[\d.]+$|$", cell):
                continue  # prose
            if name.startswith("--"):
                actions = [action for tool in tools() if (action := actions_of(parser_of(tool)).get(name))]
                values = {"" if action.default in (None, []) else as_typed(action.default) for action in actions}
            else:
                values = {as_typed(configuration()[key]) for key in keys_called(name)}
            assert default in values, f"{page.name}: {name} is {values} by default, not {default!r}"


@functools.cache
def tools() -> list[str]:
    return sorted(path.stem for path in (ROOT / "tools").glob("*.py") if path.stem != "checkout")


def test_every_file_of_this_project_that_is_named_exists(page):
    for word in {*words_of(page), *(part for line in code_of(page) for part in line.split())}:
        path = word.strip(",.;:()'\"").split("#")[0]
        if not re.fullmatch(r"(configs|tools|tests|docs|benchmarks|demo|maskrcnn_benchmark)/[\w./*-]+", path):
            continue
        assert path.rstrip("/") and list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


@functools.cache
def names_of_modules() -> dict[str, set[str]]:
    """What is defined in the modules of a name, and in their classes: functions, classes and variables."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "maskrcnn_benchmark").rglob("*.py"):
        names = found.setdefault(path.stem, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return found


def test_names_in_modules_that_are_named_exist(page):
    if page.name in RECORDS:
        return
    for word in words_of(page):
        if match := re.fullmatch(r"(?:\w+\.)*(\w+)\.(\w+)(?:\(.*\))?", word):
            module, name = match.groups()
            if module in names_of_modules() and name not in SUFFIXES:
                known = names_of_modules()[module] | set(names_of_modules())
                assert name in known, f"{page.name} names {word}, but {module}.py has no {name}"


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor and page.name not in RECORDS:
            assert anchor in anchors(path), f"{page.name} links to {target}"


def test_modules_and_names_that_python_examples_import_exist(page):
    for line in code_of(page):
        if match := re.fullmatch(r"from (maskrcnn_benchmark[\w.]*) import ([\w, ]+)", line.split("  #")[0].strip()):
            module = importlib.import_module(match[1])
            for name in match[2].split(","):
                assert hasattr(module, name.strip()), f"{page.name}: {match[1]} has no {name.strip()}"
