"""What the files of configs/ that inherit from others come to, as data/resolved_configs.yaml keeps it: what a change of
a base file does to each of them shows there.

    python tests/resolved_configs.py    # write it anew after a change that was meant, then look at the difference
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from maskrcnn_benchmark.config.load import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RECORD = Path(__file__).with_name("data") / "resolved_configs.yaml"
GROUPS = ("baselines relclip", "demo")  # folders whose files have much in common


def leaves(node: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything in nested dictionaries; tuples as lists."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def resolved() -> dict[str, dict[str, dict]]:
    """Of each group of files the values that most of them have, and of each file those in which it differs.

    A key counts where any file of the group has another value than the default.
    """
    defaults = dict(leaves(load_config()))
    groups = {}
    for group in GROUPS:
        paths = [path for folder in group.split() for path in sorted((CONFIGS / folder).glob("*.yaml"))]
        files = {f"{path.parent.name}/{path.name}": dict(leaves(load_config(str(path)))) for path in paths}
        most, own = {}, {name: {} for name in files}
        for key, default in defaults.items():
            found = {name: values[key] for name, values in files.items()}
            if any(value != default for value in found.values()):
                common, number = Counter(map(repr, found.values())).most_common(1)[0]
                for name, value in found.items():
                    if repr(value) == common and number > 1:
                        most[key] = value
                    else:
                        own[name][key] = value
        groups[group] = {"most files": most, **own}
    return groups


class _Lines(yaml.SafeDumper):
    """A line for each key, lists among them."""


_Lines.add_representer(list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, True))

if __name__ == "__main__":
    with open(RECORD, "w") as file:
        file.write("# Written by tests/resolved_configs.py.\n")
        yaml.dump(resolved(), file, _Lines, sort_keys=False, width=120)
