"""Puts the tensors of a checkpoint into a model whose names may have further prefixes, and reports what fitted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from .errors import InputError
from .retired import retired_tensors
from .safe_pickle import state_dict_of

_NAMES_SHOWN = 8


@dataclass
class LoadingReport:
    """Names by what became of them: of the model's tensors, except `unused`, which are the file's."""

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    # name -> (shape in the model, shape in the file); such a tensor is left as it was
    other_shape: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model came from the file."""
        return not self.missing and not self.other_shape

    def shapes(self, part: str = "") -> list[str]:
        """Those of another shape in a part of the model, in words."""
        return [f"{name} {here} (file: {there})" for name, (here, there) in self.other_shape.items() if part in name]

    def __str__(self) -> str:
        text = (
            f"{len(self.matched)} tensors matched, {len(self.missing)} of the model are missing in the file, "
            f"{len(self.unused)} of the file are unused, {len(self.other_shape)} have another shape"
        )
        for what, names in (("missing", self.missing), ("unused", self.unused), ("other shape", self.shapes())):
            if names:
                more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
                text += f"; {what}: {', '.join(names[:_NAMES_SHOWN])}{more}"
        return text


def part_of(name: str) -> str:
    """The part of the model that a tensor belongs to, such as `backbone` or `roi_heads.relation`."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "roi_heads" else 1])


def strip_prefix_if_present(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take `prefix` (such as `module.`) off all names where every name has it."""
    if not all(name.startswith(prefix) for name in state_dict):
        return dict(state_dict)
    return {name.removeprefix(prefix): value for name, value in state_dict.items()}


def _suffixes(name: str) -> Iterator[str]:
    """The name and what is left of it when its first components are taken off one by one."""
    yield name
    while "." in name:
        name = name.split(".", 1)[1]
        yield name


def align_and_update_state_dicts(
    model_state_dict: dict[str, Tensor],
    loaded_state_dict: Mapping[str, Tensor],
    load_mapping: Mapping[str, str] | None = None,
) -> LoadingReport:
    """Replace each entry of `model_state_dict` by the file's whose name is its longest suffix.

    `backbone.body.layer1.0.conv1.weight` takes `layer1.0.conv1.weight` of an ImageNet file, for example. Suffixes begin
    at a dot, so one look-up per component finds the longest.

    Args:
        load_mapping: {part of a name in the model: part of a name in the file}: names of the model that hold the first
            are looked for with the second in its place (relation extractors start from the box head's, for example).

    Returns:
        what matched and what did not. A tensor of another shape is left as it is.
    """
    report = LoadingReport()
    used: set[str] = set()
    for name in sorted(model_state_dict):
        wanted = name
        for here, there in (load_mapping or {}).items():
            if here in name:
                wanted = name.replace(here, there)
        source = next((suffix for suffix in _suffixes(wanted) if suffix in loaded_state_dict), None)
        if source is None:
            report.missing.append(name)
            continue
        used.add(source)
        if model_state_dict[name].shape != loaded_state_dict[source].shape:
            shapes = (model_state_dict[name], loaded_state_dict[source])
            report.other_shape[name] = tuple(list(t.shape) for t in shapes)
            continue
        model_state_dict[name] = loaded_state_dict[source]
        report.matched.append(name)
    report.unused = sorted(set(loaded_state_dict) - used)
    return report


def _is_needed(name: str, needs: Sequence[str], spares: Sequence[str]) -> bool:
    return name.startswith(tuple(needs)) and not name.startswith(tuple(spares))


def load_state_dict(
    model: nn.Module,
    loaded_state_dict: Mapping[str, Tensor],
    load_mapping: Mapping[str, str] | None = None,
    source: str = "the checkpoint",
    needs: Sequence[str] = (),
    spares: Sequence[str] = (),
) -> LoadingReport:
    """Load what matches by name, and log the counts.

    Parts that have to match are: with `load_mapping`, what it maps and the parts that the file has too; without, every
    part of the model, unless the file shares no part with it (as an ImageNet backbone), where something has to match.

    Args:
        source: what the messages call the file.
        needs: parts of the model whose tensors must all come from the file, each in its shape; "" is the whole model.
        spares: parts of them that may be missing all the same.

    Raises:
        InputError: no state dict, nothing matched of a part that was to be loaded, or nothing at all; a tensor that is
            needed is missing, of another shape or kind, or not finite.
    """
    model_state_dict = model.state_dict()
    loaded_state_dict = state_dict_of(source, loaded_state_dict)
    loaded = strip_prefix_if_present(loaded_state_dict, prefix="module.")
    if why := retired_tensors(loaded):
        raise InputError(f"{source} cannot be loaded: {why}")
    report = align_and_update_state_dicts(model_state_dict, loaded, load_mapping)
    if not report.matched:
        raise InputError(
            f"no tensor of {source} fits the model: the first name in the file is {next(iter(loaded), 'none')}, "
            f"in the model {next(iter(model_state_dict), 'none')}"
        )
    parts = {part_of(name) for name in model_state_dict}
    shared = parts & {part_of(name) for name in loaded}
    required = parts if shared and not load_mapping else shared
    empty = sorted(required - {part_of(name) for name in report.matched})
    for mapped in load_mapping or {}:
        if any(mapped in name for name in model_state_dict) and not any(mapped in name for name in report.matched):
            empty.append(mapped)
    if empty:
        shapes = [shape for part in empty for shape in report.shapes(part)]
        held = ", ".join(sorted({part_of(name) for name in loaded}))
        raise InputError(
            f"no tensor of {source} fits the model's {', '.join(empty)}: "
            + (f"other shape: {', '.join(shapes[:_NAMES_SHOWN])}" if shapes else f"the file holds {held}")
            + "; is it the right file, and does the configuration fit it?"
        )
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not model_state_dict[name].is_floating_point():
            raise InputError(
                f"weights file {source}: {name} is of {model_state_dict[name].dtype}, expected real numbers"
            )
    unfit = LoadingReport(
        matched=report.matched,
        missing=[name for name in report.missing if _is_needed(name, needs, spares)],
        other_shape={name: shapes for name, shapes in report.other_shape.items() if _is_needed(name, needs, spares)},
        unused=report.unused,
    )
    if not unfit.complete:
        raise InputError(f"{source} does not fit the model: {unfit}; is it of this model and of this data set?")
    model.load_state_dict(model_state_dict)
    log = logging.getLogger("maskrcnn_benchmark")
    log.log(logging.WARNING if report.other_shape else logging.INFO, "%s: %s", source, report)
    return report
