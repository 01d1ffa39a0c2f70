"""The README of a shared model, written from its configuration, its names and its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import task_of

_TASKS = {
    "predcls": "PredCls: boxes and classes of the objects are given, predicates are predicted",
    "sgcls": "SGCls: boxes of the objects are given, classes and predicates are predicted",
    "sgdet": "SGDet: objects and predicates are found in the image alone",
    "detection": "detection: objects without relations",
}
_LONGEST = 20  # names or fields in a row; what is longer stands in evaluation.json alone


def model_card(cfg, names, title: str, evaluation: Mapping[str, Any] | None) -> str:
    """A model card in Markdown, with the front matter that the hub reads.

    Args:
        names: of classes and predicates, background first.
        title: of the model; the name of its folder.
        evaluation: content of its evaluation.json; None where it was not tested.
    """
    task = task_of(cfg) if cfg.MODEL.RELATION_ON else "detection"
    parts = [
        "---\nlibrary_name: relclip-sgb\ntags:\n- scene-graph-generation\n- visual-relationship-detection\n---",
        f"# {title}",
        _description(cfg, names, task),
        "## Use\n\n" + _use(title, task),
        "## Results\n\n" + (_results(evaluation) if evaluation else "The model was shared without a test."),
        "## Files\n\n"
        "`model.safetensors` holds the weights, `config.yml` the configuration, `names.json` the names of classes and "
        "predicates,\n`phrases.npz`, where there is one, the embedded phrases (no text encoder is needed), and "
        "`evaluation.json`, where there\nis one, all that was measured.",
    ]
    return "\n\n".join(parts) + "\n"


def _description(cfg, names, task: str) -> str:
    head = cfg.MODEL.ROI_RELATION_HEAD
    rows = {"task": _TASKS[task]}
    if cfg.MODEL.RELATION_ON:
        rows["predictor"] = f"`{head.PREDICTOR}`"
    rows["backbone"] = f"`{cfg.MODEL.BACKBONE.CONV_BODY}`"
    rows["object classes"] = f"{len(names.classes) - 1}: {_some(names.classes[1:])}"
    if cfg.MODEL.RELATION_ON:
        rows["predicates"] = f"{len(names.predicates) - 1}: {_some(names.predicates[1:])}"
    rows["trained on"] = ", ".join(f"`{name}`" for name in cfg.DATASETS.TRAIN) or "not known"
    return _table(("", ""), rows.items())


def _use(title: str, task: str) -> str:
    lines = [
        "    from maskrcnn_benchmark.engine.pretrained import load_pretrained",
        "",
        f'    cfg, model, names = load_pretrained("{title}")    # this folder, or owner/name of the hub',
    ]
    if task in ("sgdet", "detection"):
        lines[:0] = [f"    python tools/predict.py photos/ --checkpoint {title}", ""]
    return "\n".join(lines)


def _results(evaluation: Mapping[str, Any]) -> str:
    """What was measured and how: metrics by rank, other metrics, then every named field of the evaluation."""
    by_name: dict[str, dict[int, Any]] = {}
    single = {}
    for name, value in evaluation.get("metrics", {}).items():
        stem, _, rank = name.rpartition("@")
        if stem and rank.isdigit():
            by_name.setdefault(stem, {})[int(rank)] = value
        else:
            single[name] = value
    parts = []
    if by_name:
        ranks = sorted({rank for values in by_name.values() for rank in values})
        rows = [(name, *(_number(values[k]) if k in values else "" for k in ranks)) for name, values in by_name.items()]
        parts.append(_table(("", *(f"@{k}" for k in ranks)), rows))
    if single:
        parts.append(_table(("", ""), [(name, _number(value)) for name, value in single.items()]))
    listed = [row for name, value in evaluation.items() if name != "metrics" for row in _fields(name, value)]
    parts.append("How it was measured:\n\n" + _table(("", ""), listed))
    return "\n\n".join(parts)


def _fields(name: str, value: Any) -> list[tuple[str, str]]:
    """Rows of a field; those of a card of fields one by one."""
    label = name.replace("_", " ")
    if isinstance(value, (Mapping, list, tuple)) and len(value) > _LONGEST:
        return []
    if isinstance(value, Mapping):
        return [(f"{label}: {inner}", text) for key, one in value.items() for inner, text in _fields(str(key), one)]
    if isinstance(value, (list, tuple)):
        return [(label, ", ".join(map(str, value)))]
    return [(label, _number(value))]


def _number(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _some(names: list[str], count: int = 12) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _table(header, rows) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)
