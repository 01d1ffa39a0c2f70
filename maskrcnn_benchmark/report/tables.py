"""The tables of a report as rows of text; Markdown and HTML lay them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.data.datasets.evaluation.vg.bootstrap import mean_difference_intervals
from maskrcnn_benchmark.data.datasets.evaluation.vg.predicates import frequency_groups
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import card_text

from .grouping import Setting, Statistic, Table, called, statistic
from .runs import KIND_METRICS, Run

NOTHING = "–"
_NAMES = {"R": "R", "mR": "mR", "zR": "zR", "ngR": "ng-R", "ngmR": "ng-mR", "ngzR": "ng-zR",
          "zR_seen_pair": "zR seen pair", "zR_new_pair": "zR new pair", "zR_unseen": "zR unseen", "F": "F", "M": "M",
          "PR": "PR"}  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """A table of text.

    Attributes:
        title, note: above and below it.
        groups: (heading, number of columns) over the columns of numbers.
        columns: headings of the tags, then of the numbers.
        rows: tags, then numbers.
        best: for each row, which of its cells are the best of their supervision.
    """

    title: str
    note: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: tuple[tuple[bool, ...], ...]


TAG_COLUMNS = ("model", "labels", "bias", "text", "seeds")


def all_cells(table: Table) -> list[Cells]:
    """Recalls with graph constraint, differences, zero-shot by kind, without constraint, by frequency; and cost."""
    kinds_note = "" if table.kinds_comparable else (
        " The kinds are not the same for all runs, which were trained on different triplets: test them with one "
        "zero_shot_kinds.json as TEST.RELATION.ZERO_SHOT_TRIPLETS."
    )  # fmt: skip
    tables = [
        _recalls(table, "Recall, mean recall and zero-shot recall", ("R", "mR", "zR"), "With graph constraint, in %."),
        _differences(table),
        _intervals(table),
        _recalls(
            table,
            "Recall and mean recall in one number, and the ceiling",
            ("F", "M", "PR"),
            "In %. F: harmonic mean of R and mR; M: their mean; PR: recall of pairs, whatever the predicate.",
        ),
        _recalls(
            table,
            "Zero-shot recall by kind",
            ("zR_unseen", *KIND_METRICS, "ngzR"),
            "In %. Unseen: the triplets of the list that training really lacks. Seen pair: training shows the two "
            "classes with other predicates; new pair: it does not. ng-zR: the list, without graph constraint."
            + kinds_note,
        ),
        _recalls(
            table, "Recall without graph constraint", ("ngR", "ngmR"), "In %. A pair may have several predicates."
        ),
        _by_frequency(table),
        _cost(table),
    ]
    return [cells for cells in tables if cells is not None]


def conditions(table: Table) -> str:
    """What the numbers of a table were measured under, in a sentence."""
    images = {run.evaluation["num_images"] for setting in table.settings for run in setting.runs}
    sets = "one test set" if len(table.test_sets) == 1 else f"{len(table.test_sets)} test sets, one per seed"
    spread = any(len(setting.runs) > 1 for setting in table.settings)
    return (
        f"{', '.join(table.datasets)} ({sets}, {' or '.join(f'{n:,}' for n in sorted(images))} images). Protocol: "
        f"{card_text(table.protocol)}." + (" ± is the sample standard deviation over seeds." if spread else "")
    )


def _recalls(table: Table, title: str, metrics: tuple[str, ...], note: str) -> Cells:
    values = [[table.metric(s, name, k) for name in metrics for k in table.k] for s in table.settings]
    groups = tuple((_NAMES[name], len(table.k)) for name in metrics)
    return _cells(table, title, note, groups, [f"@{k}" for _ in metrics for k in table.k], values)


def _differences(table: Table) -> Cells | None:
    """What the reference has more than the other rows of its supervision, over the seeds that both have."""
    metrics, k, with_interval, rows = ("R", "mR", "zR"), str(table.main_k), True, []
    pairs_of: list[list[tuple[Run, Run]]] = []
    for setting in table.settings:
        same = [other for other in table.settings if other.supervision == setting.supervision]
        chosen = next(iter(called(same, table.reference)), setting)
        if chosen is setting:
            continue
        ours, theirs = ({run.seed: run for run in each.runs} for each in (chosen, setting))
        both = [(ours[seed], theirs[seed]) for seed in theirs if seed in ours]
        cells = []
        for name in metrics:
            pairs = [(one.metrics[name][k], other.metrics[name][k]) for one, other in both]
            found = statistic(None if None in pair else pair[0] - pair[1] for pair in pairs)
            above = sum(None not in pair and pair[0] > pair[1] for pair in pairs)
            cells.append([NOTHING, NOTHING] if found is None else [found.text(sign="+"), f"{above} of {len(pairs)}"])
        rows.append((setting, cells))
        pairs_of.append(both)
        with_interval &= bool(both) and all(run.ranks_file.exists() for pair in both for run in pair)
    if not rows:
        return None
    if with_interval:
        for (_, cells), both in zip(rows, pairs_of, strict=True):
            found = mean_difference_intervals(
                [(a.ranks_file, b.ranks_file) for a, b in both], table.protocol, table.main_k
            )
            for name, cell in zip(metrics, cells, strict=True):
                cell.insert(1, _interval_text(found[name], "+"))
    columns = ("difference", *(["95%"] if with_interval else []), "above")
    return Cells(
        title=f"What {table.reference} has more",
        note=f"{table.reference} of the same supervision less the model of the row, in percentage points at {k}: the "
        "mean of the differences of each seed, their spread, and in how many seeds it is above."
        + (
            " 95%: the interval of that mean over resamples of the test images, both models on the same ones."
            if with_interval
            else ""
        ),
        groups=tuple((f"{_NAMES[name]}@{k}", len(columns)) for name in metrics),
        columns=(*TAG_COLUMNS, *(columns * len(metrics))),
        rows=tuple((*_tags(setting), *(text for cell in cells for text in cell)) for setting, cells in rows),
        best=tuple((False,) * (len(TAG_COLUMNS) + len(columns) * len(metrics)) for _ in rows),
    )


def _intervals(table: Table) -> Cells | None:
    """95% intervals over test images; None where an evaluation has none."""
    names, k = ("R", "mR", "zR", "F"), table.main_k
    rows = []
    for setting in table.settings:
        found = [run.evaluation.get("intervals", {}).get("metrics") for run in setting.runs]
        if not all(found):
            return None
        ends = [[each.get(f"{name}@{k}") for each in found] for name in names]
        means = [None if None in each else np.mean(each, 0).tolist() for each in ends]
        rows.append((*_tags(setting), *(_interval_text(mean) for mean in means)))
    return Cells(
        title="95% intervals over the test images",
        note="In %: between which numbers 95% of the resamples of the test images lie; with several seeds the mean of "
        "their intervals. How much another training would move them is the spread over seeds.",
        groups=tuple((f"{_NAMES[name]}@{k}", 1) for name in names),
        columns=(*TAG_COLUMNS, *("95%" for _ in names)),
        rows=tuple(rows),
        best=tuple((False,) * len(row) for row in rows),
    )


def _interval_text(ends: list[float] | None, sign: str = "") -> str:
    return NOTHING if ends is None else " to ".join(f"{100 * end:{sign}.1f}" for end in ends)


def training_frequency(table: Table, supervision: str | None = None) -> dict[str, float]:
    """How often each predicate occurs in training, mean over the runs; {} where an evaluation does not tell.

    Args:
        supervision: only runs of this; None: of the first setting's.
    """
    chosen = supervision or table.settings[0].supervision
    runs = [run for setting in table.settings if setting.supervision == chosen for run in setting.runs]
    counts = [run.evaluation.get("training_frequency") for run in runs]
    if not counts or not all(counts):
        return {}
    return {name: float(np.mean([each[name] for each in counts])) for name in counts[0]}


def recall_by_predicate(setting: Setting, k: int) -> dict[str, float]:
    """Recall@k of each predicate, mean over the runs."""
    found = [run.evaluation["recall_by_predicate"][f"mR@{k}"] for run in setting.runs]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _by_frequency(table: Table) -> Cells | None:
    frequency = training_frequency(table)
    if not frequency:
        return None
    rule, groups = frequency_groups(frequency)
    per_predicate = f"mR@{table.main_k}"
    values = []
    for setting in table.settings:
        recalls = [run.evaluation["recall_by_predicate"][per_predicate] for run in setting.runs]
        means = [[_mean(each, names) for each in recalls] for names in groups.values()]
        values.append([_statistic(row) for row in means])
    sizes = ", ".join(f"{group} {len(names)} ({_range(frequency, names)})" for group, names in groups.items())
    return _cells(
        table,
        f"{per_predicate} by frequency of the predicate",
        f"In %. Predicates by their number of {table.settings[0].supervision} training labels ({rule}): {sizes}.",
        ((per_predicate, 3),),
        list(groups),
        values,
    )


def _mean(recalls: dict[str, float], names: list[str]) -> float:
    return float(np.mean([recalls[name] for name in names])) if names else float("nan")


def _range(frequency: dict[str, float], names: list[str]) -> str:
    counts = [frequency[name] for name in names]
    return f"{max(counts):,.0f} to {min(counts):,.0f}" if counts else "none"


def _cost(table: Table) -> Cells:
    rows = []
    for setting in table.settings:
        params = setting.over_runs(lambda run: run.params)
        times = [setting.over_runs(lambda run: run.step_ms), setting.over_runs(lambda run: run.inference_ms)]
        iterations = setting.over_runs(lambda run: max((i for i, _ in run.curves.get("loss", [])), default=None))
        rows.append((
            *_tags(setting),
            NOTHING if params is None else f"{params.mean / 1e6:.2f} M",
            NOTHING if iterations is None else f"{iterations.mean:,.0f}",
            *(NOTHING if value is None else value.text(scale=1, digits=0) for value in times),
        ))  # fmt: skip
    devices = sorted({run.device for setting in table.settings for run in setting.runs if run.device})
    return Cells(
        title="Cost",
        note="Parameters of the relation predictor; median time of a training iteration; time of the whole model for a "
        f"test image ({', '.join(devices) or 'device not recorded'}). Times compare only where nothing else ran on the "
        "machine.",
        groups=(("size", 1), ("training", 2), ("test", 1)),
        columns=(*TAG_COLUMNS, "parameters", "iterations", "ms an iteration", "ms an image"),
        rows=tuple(rows),
        best=tuple((False,) * len(row) for row in rows),
    )


def _statistic(values: list[float]) -> Statistic:
    return Statistic(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _tags(setting: Setting) -> tuple[str, ...]:
    return (
        setting.name, setting.supervision, "yes" if setting.bias else "no", setting.text, str(len(setting.runs))
    )  # fmt: skip


def _cells(
    table: Table,
    title: str,
    note: str,
    groups: tuple[tuple[str, int], ...],
    columns: list[str],
    values: list[list[Statistic | None]],
) -> Cells:
    """Percentages, the best mean of each supervision marked where not all are alike."""
    best = [[False] * len(columns) for _ in values]
    for supervision in {setting.supervision for setting in table.settings}:
        places = [i for i, setting in enumerate(table.settings) if setting.supervision == supervision]
        for column in range(len(columns)):
            # as printed: what looks equal is equally good
            shown = {i: round(100 * v.mean, 1) for i in places if (v := values[i][column]) is not None}
            for i in shown:
                best[i][column] = shown[i] == max(shown.values()) != min(shown.values())
    return Cells(
        title=title,
        note=note,
        groups=groups,
        columns=(*TAG_COLUMNS, *columns),
        rows=tuple(
            (*_tags(setting), *(NOTHING if value is None else value.text() for value in row))
            for setting, row in zip(table.settings, values, strict=True)
        ),
        best=tuple((*(False,) * len(TAG_COLUMNS), *row) for row in best),
    )
