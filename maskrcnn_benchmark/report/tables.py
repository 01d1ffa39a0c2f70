"""The tables of a report, in their order."""

from __future__ import annotations

import numpy as np

from maskrcnn_benchmark.data.datasets.evaluation.vg.predicates import frequency_groups
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import card_text

from .cells import NAMES, NOTHING, TAG_COLUMNS, Cells, interval_text, percentages, plain_cells, tags_of
from .differences import difference_cells, differences, fair_cells
from .grouping import Setting, Statistic, Table
from .runs import KIND_METRICS
from .tradeoff import tradeoff_cells


def all_cells(table: Table) -> list[Cells]:
    """The main numbers (under fair conditions where runs say which help they got), differences and the R-mR curve;
    recalls at every k, zero-shot by kind, without constraint, by frequency; and cost."""
    kinds_note = "" if table.kinds_comparable else (
        " The kinds are not the same for all runs, which were trained on different triplets: test them with one "
        "zero_shot_kinds.json as TEST.RELATION.ZERO_SHOT_TRIPLETS."
    )  # fmt: skip
    found = differences(table)
    tables = [
        fair_cells(table, found) or _main(table),
        *(difference_cells(table, name, found[name]) for name in found),
        tradeoff_cells(table),
        _recalls(table, "Recall, mean recall and zero-shot recall", ("R", "mR", "zR"), "With graph constraint, in %."),
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
    fewer = len(table.test_sets) > 1 and any(len(setting.runs) < table.most_seeds for setting in table.settings)
    return (
        f"{', '.join(table.datasets)} ({sets}, {' or '.join(f'{n:,}' for n in sorted(images))} images). Protocol: "
        f"{card_text(table.protocol)}."
        + (" ± is the sample standard deviation over seeds." if spread else "")
        + (
            " Rows with fewer seeds are means over fewer test sets: they are best in nothing, and their differences "
            "are of the seeds that both have."
            if fewer
            else ""
        )
    )


def _main(table: Table) -> Cells:
    names, k = ("R", "mR", "zR", "F"), table.main_k
    return percentages(
        table,
        table.settings,
        f"The main numbers, at {k}",
        "With graph constraint, in %: recall, mean recall, zero-shot recall, and F, the harmonic mean of R and mR.",
        tuple((NAMES[name], 1) for name in names),
        [f"@{k}" for _ in names],
        [[table.metric(setting, name, k) for name in names] for setting in table.settings],
    )


def _recalls(table: Table, title: str, metrics: tuple[str, ...], note: str) -> Cells:
    values = [[table.metric(s, name, k) for name in metrics for k in table.k] for s in table.settings]
    groups = tuple((NAMES[name], len(table.k)) for name in metrics)
    return percentages(table, table.settings, title, note, groups, [f"@{k}" for _ in metrics for k in table.k], values)


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
        rows.append((*tags_of(setting), *(interval_text(mean) for mean in means)))
    return plain_cells(
        title="95% intervals over the test images",
        note="In %: between which numbers 95% of the resamples of the test images lie; with several seeds the mean of "
        "their intervals. How much another training would move them is the spread over seeds.",
        groups=tuple((f"{NAMES[name]}@{k}", 1) for name in names),
        columns=(*TAG_COLUMNS, *("95%" for _ in names)),
        rows=rows,
    )


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
    return percentages(
        table,
        table.settings,
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
            *tags_of(setting),
            NOTHING if params is None else f"{params.mean / 1e6:.2f} M",
            NOTHING if iterations is None else f"{iterations.mean:,.0f}",
            *(NOTHING if value is None else value.text(scale=1, digits=0) for value in times),
        ))  # fmt: skip
    devices = sorted({run.device for setting in table.settings for run in setting.runs if run.device})
    return plain_cells(
        title="Cost",
        note="Parameters of the relation predictor; median time of a training iteration; time of the whole model for a "
        f"test image ({', '.join(devices) or 'device not recorded'}). Times compare only where nothing else ran on the "
        "machine.",
        groups=(("size", 1), ("training", 2), ("test", 1)),
        columns=(*TAG_COLUMNS, "parameters", "iterations", "ms an iteration", "ms an image"),
        rows=rows,
    )


def _statistic(values: list[float]) -> Statistic:
    return Statistic(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)
