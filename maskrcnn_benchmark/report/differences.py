"""What a reference has more than others: paired by seed, and over resamples of the test images; and the fair table.

A comparison is fair between rows that got the same help (tag `help`): the frequency prior of phrases, CLIP's image
tower as a second opinion, both, or nothing.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from maskrcnn_benchmark.data.datasets.evaluation.vg.bootstrap import LEVEL, mean_difference_intervals
from maskrcnn_benchmark.utils.json_schemas import HELP

from .cells import NAMES, NOTHING, TAG_COLUMNS, Cells, interval_text, percentages, plain_cells, tags_of
from .grouping import Setting, Table, called, statistic

_METRICS = ("R", "mR", "zR", "F")
_FAIR_TAGS = ("model", "help", "labels", "text", "seeds")
_WITH = {"": "", "nothing": "without help", "prior": "with the prior", "second opinion": "with the second opinion",
         "both": "with both"}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """The reference less another row of its supervision and help, over the seeds that both have.

    Attributes:
        values: {metric: the difference of each seed, as fractions; None where one of the two has no value}.
        intervals: {metric: of the mean over seeds, over resamples of the test images}; {} where ranks are missing.
    """

    reference: Setting
    other: Setting
    values: dict[str, list[float | None]]
    intervals: dict[str, list[float] | None]

    def known(self, metric: str) -> list[float]:
        """The differences of all seeds; [] where one is missing."""
        found = [value for value in self.values[metric] if value is not None]
        return found if len(found) == len(self.values[metric]) else []


def differences(table: Table) -> dict[str, list[Difference]]:
    """Of each reference, by its name, and every other row of its supervision that got the same help."""
    return {name: _differences(table, name) for name in table.references}


def _differences(table: Table, reference: str) -> list[Difference]:
    found, k = [], str(table.main_k)
    for setting in table.settings:
        fair = [s for s in table.settings if (s.supervision, s.help) == (setting.supervision, setting.help)]
        chosen = next(iter(called(fair, reference)), setting)
        if chosen is setting:
            continue
        ours, theirs = ({run.seed: run for run in each.runs} for each in (chosen, setting))
        both = [(ours[seed], theirs[seed]) for seed in theirs if seed in ours]
        values: dict[str, list[float | None]] = {}
        for name in _METRICS:
            pairs = [(one.metrics[name][k], other.metrics[name][k]) for one, other in both]
            values[name] = [None if a is None or b is None else a - b for a, b in pairs]
        intervals: dict[str, list[float] | None] = {}
        if both and all(run.ranks_file.exists() for pair in both for run in pair):
            files = [(a.ranks_file, b.ranks_file) for a, b in both]
            intervals = mean_difference_intervals(files, table.protocol, table.main_k)
        found.append(Difference(chosen, setting, values, intervals))
    return found


def difference_cells(table: Table, reference: str, found: Sequence[Difference]) -> Cells | None:
    """A row for each difference of a reference; None where there is none."""
    if not found:
        return None
    with_interval = all(each.intervals for each in found)
    columns = ("difference", *(["95%"] if with_interval else []), "above")
    rows = []
    for each in found:
        row = list(tags_of(each.other))
        for name in _METRICS:
            values = each.known(name)
            mean = statistic(values)
            row.append(NOTHING if mean is None else mean.text(sign="+"))
            if with_interval:
                row.append(interval_text(each.intervals[name], "+"))
            row.append(f"{sum(value > 0 for value in values)} of {len(values)}" if values else NOTHING)
        rows.append(tuple(row))
    fair = " and help" if any(each.other.help for each in found) else ""
    return plain_cells(
        title=f"What {reference} has more",
        note=f"{reference} of the same supervision{fair} less the model of the row, in percentage points at "
        f"{table.main_k}: the mean of the differences of each seed, their spread, and in how many seeds it is above."
        + (
            " 95%: the interval of that mean over resamples of the test images, both models on the same ones."
            if with_interval
            else ""
        ),
        groups=tuple((f"{NAMES[name]}@{table.main_k}", len(columns)) for name in _METRICS),
        columns=(*TAG_COLUMNS, *(columns * len(_METRICS))),
        rows=rows,
    )


# -- under fair conditions -------------------------------------------------------------------------------------------
def fair_cells(table: Table, found: Mapping[str, Sequence[Difference]]) -> Cells | None:
    """The rows that say which help they got, those with the same help together; None where no row says it.

    Args:
        found: see `differences`; those to the table's baseline are said in a sentence.
    """
    place = {setting.supervision: number for number, setting in reversed(list(enumerate(table.settings)))}
    rows = [setting for setting in table.settings if setting.help]
    if not rows:
        return None
    rows.sort(key=lambda setting: (place[setting.supervision], HELP.index(setting.help)))
    k = table.main_k
    cells = percentages(
        table,
        rows,
        f"With the same help, at {k}",
        "In %. Rows between two lines got the same help: nothing; the prior, how often training shows each phrase; the "
        "second opinion of CLIP's image tower in the test; or both. The best of them stands out. F: harmonic mean of R "
        "and mR.",
        tuple((NAMES[name], 1) for name in _METRICS),
        [f"@{k}" for _ in _METRICS],
        [[table.metric(setting, name, k) for name in _METRICS] for setting in rows],
        lambda s: (s.label, s.help, s.supervision, s.text, str(len(s.runs))),
        _FAIR_TAGS,
        lambda s: (s.supervision, s.help),
    )
    sentences = _sentences(table, found)
    if not sentences:
        return cells
    rule = (
        f" More or less is said where all of this leaves out zero: the {LEVEL:.0%} interval of the mean over seeds "
        "(Student's t) and, where ranks are kept, that over resamples of the test images; of many numbers one in "
        "twenty passes one of these by chance."
    )
    return Cells(cells.title, cells.note + rule, cells.groups, cells.columns, cells.rows, cells.best, sentences)


def _sentences(table: Table, found: Mapping[str, Sequence[Difference]]) -> tuple[str, ...]:
    """What each reference itself brought over the baseline with the same help, for each supervision."""
    supervisions = dict.fromkeys(setting.supervision for setting in table.settings)
    sentences = []
    for supervision, reference in itertools.product(supervisions, found):
        rows = [setting for setting in table.settings if setting.supervision == supervision and setting.help]
        said = []
        for help_given in HELP:
            base = next(iter(called([s for s in rows if s.help == help_given], table.baseline)), None)
            said += [each for each in found[reference] if each.other is base]
        if not said:
            continue
        numbers = sorted({len(each.values["R"]) for each in said})
        seeds = " or ".join(map(str, numbers)) + (" seed" if numbers == [1] else " seeds")
        parts = "; ".join(f"{_WITH[each.other.help]}: {finding(each)}" for each in said)
        sentences.append(
            f"What {reference} itself brought ({reference} less {table.baseline} with the same help, "
            f"{supervision} labels, points at {table.main_k}, {seeds}): {parts}."
        )
    return tuple(sentences)


def finding(difference: Difference) -> str:
    """A difference in words that are no stronger than its numbers."""
    kinds: dict[str, list[str]] = {"more": [], "less": [], "": []}
    for name in _METRICS:
        values = difference.known(name)
        mean = statistic(values)
        if mean is None:
            continue
        kind = ""
        if told_apart(values, difference.intervals.get(name)):
            kind = "more" if mean.mean > 0 else "less"
        kinds[kind].append(f"{NAMES[name]} ({mean.text(sign='+')})")
    parts = [f"{kind} {_listed(kinds[kind])}" for kind in ("more", "less") if kinds[kind]]
    if kinds[""]:
        nothing = "nothing that can be told from chance"
        parts.append(f"in {_listed(kinds[''])} {nothing}")
    return ", and ".join(parts) if parts else "nothing that was measured"


def told_apart(values: Sequence[float], interval: Sequence[float] | None) -> bool:
    """Whether the mean of paired differences differs from zero: by Student's t over seeds and, where there is one, by
    an interval over test images. One seed tells nothing about another."""
    if len(values) < 2:
        return False
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * spread / math.sqrt(len(values))
    return abs(mean) > half and (interval is None or interval[0] > 0 or interval[1] < 0)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
