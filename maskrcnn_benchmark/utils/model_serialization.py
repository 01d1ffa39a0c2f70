"""Puts the tensors of a checkpoint into a model whose names may have other prefixes."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field

from torch import Tensor, nn

from .errors import InputError


@dataclass
class LoadingReport:
    """Names by what became of them."""

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = (
            f"{len(self.matched)} tensors matched, {len(self.missing)} of the model are missing in the file, "
            f"{len(self.unused)} of the file are unused, {len(self.other_shape)} have another shape"
        )
        for what in ("missing", "unused", "other_shape"):
            names = getattr(self, what)
            if names:
                more = f" and {len(names) - 8} more" if len(names) > 8 else ""
                text += f"\n  {what.replace('_', ' ')}: {', '.join(names[:8])}{more}"
        return text


def strip_prefix_if_present(state_dict: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take `prefix` (such as `module.`) off all names where every name has it."""
    if not state_dict or not all(name.startswith(prefix) for name in state_dict):
        return state_dict
    return {name[len(prefix) :]: value for name, value in state_dict.items()}


def _suffixes(name: str):
    parts = name.split(".")
    return (".".join(parts[i:]) for i in range(len(parts)))


def align_and_update_state_dicts(
    model_state_dict: dict[str, Tensor],
    loaded_state_dict: dict[str, Tensor],
    load_mapping: dict[str, str] | None = None,
) -> LoadingReport:
    """Replace entries of `model_state_dict` by those of the file whose name is its longest suffix, as SGB does.

    Args:
        load_mapping: {part of the model's name: part of the file's name}: names of the model that hold the first are
            looked for with the second in its place (relation extractors start from the box head's, for example).

    Returns:
        what matched and what did not. A tensor of another shape is left as it is.
    """
    report = LoadingReport()
    used: set[str] = set()
    mapping = load_mapping or {}
    for name in sorted(model_state_dict):
        part = next((part for part in mapping if part in name), None)
        wanted = name if part is None else name.replace(part, mapping[part])
        source = next((suffix for suffix in _suffixes(wanted) if suffix in loaded_state_dict), None)
        if source is None:
            report.missing.append(name)
        elif model_state_dict[name].shape != loaded_state_dict[source].shape:
            report.other_shape.append(
                f"{name} {list(model_state_dict[name].shape)} (file: {list(loaded_state_dict[source].shape)})"
            )
            used.add(source)
        else:
            model_state_dict[name] = loaded_state_dict[source]
            report.matched.append(name)
            used.add(source)
    report.unused = sorted(set(loaded_state_dict) - used)
    return report


def _empty_parts(model_state_dict: dict[str, Tensor], report: LoadingReport, loaded: dict[str, Tensor]) -> list[str]:
    """Parts of the model (by the first component of the names) that the file has too, and where nothing matched."""
    in_file = {name.split(".", 1)[0] for name in loaded}
    matched: defaultdict[str, int] = defaultdict(int)
    for name in report.matched:
        matched[name.split(".", 1)[0]] += 1
    parts = {name.split(".", 1)[0] for name in model_state_dict}
    return sorted(part for part in parts & in_file if not matched[part])


def load_state_dict(
    model: nn.Module,
    loaded_state_dict: dict[str, Tensor],
    load_mapping: dict[str, str] | None = None,
    source: str = "the checkpoint",
) -> LoadingReport:
    """Load what matches by name and log the counts.

    Raises:
        InputError: nothing matched, or nothing of a part of the model that the file has too.
    """
    model_state_dict = model.state_dict()
    loaded = strip_prefix_if_present(loaded_state_dict, prefix="module.")
    report = align_and_update_state_dicts(model_state_dict, loaded, load_mapping)
    if not report.matched:
        example = next(iter(loaded), "none")
        raise InputError(f"no tensor of {source} fits the model; its first name is {example}")
    if empty := _empty_parts(model_state_dict, report, loaded):
        raise InputError(f"no tensor of {', '.join(empty)} in {source} fits the model's part of that name")
    model.load_state_dict(model_state_dict)
    logging.getLogger("maskrcnn_benchmark").info("%s: %s", source, report)
    return report
