"""Which runs are the same setting under several seeds, and whether runs may stand in one table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import differing_field
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_schemas import HELP

from .runs import KIND_METRICS, PLACES, Run
from .tags import file_stem

TASKS = {"predcls": "PredCls", "sgcls": "SGCls", "sgdet": "SGDet"}
_MOST_DIFFERENCES = 3
_DATA_PER_SEED = "where every seed has data of its own, say so with --data-per-seed"


@dataclass(frozen=True)
class Statistic:
    """Mean and sample standard deviation over seeds; the latter is None for a single run."""

    mean: float
    std: float | None

    def text(self, scale: float = 100, digits: int = 1, sign: str = "") -> str:
        """`61.2 ± 0.4`; `sign` "+" shows that of positive means too."""
        start = f"{round(scale * self.mean, digits) + 0.0:{sign},.{digits}f}"  # + 0.0: no minus before a zero
        return start if self.std is None else f"{start} ± {scale * self.std:,.{digits}f}"


def statistic(values: Iterable[float | None]) -> Statistic | None:
    """None where a value is missing."""
    numbers = list(values)
    if not numbers or any(value is None for value in numbers):
        return None
    return Statistic(statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None)


@dataclass(frozen=True)
class Setting:
    """A row: the runs that differ in nothing but their seeds.

    Attributes:
        variant: the settings in which it differs from most others with the same tags, `""` where it differs in none.
        runs: by seed.
    """

    model: str
    supervision: str
    bias: bool
    text: str
    help: str
    part: str
    curve: float | None
    variant: str
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The name, whatever help it got."""
        return _named(self.model, self.part, self.variant)

    @property
    def name(self) -> str:
        help_given = "" if self.help in ("", HELP[0]) else f"with {self.help}"
        return _named(self.model, self.part, help_given, self.variant)

    @property
    def seeds(self) -> list[int | None]:
        return [run.seed for run in self.runs]

    def metric(self, name: str, k: int | str) -> Statistic | None:
        return statistic(run.metrics[name][str(k)] for run in self.runs)

    def over_runs(self, value: Callable[[Run], float | None]) -> Statistic | None:
        return statistic(value(run) for run in self.runs)


def _named(model: str, *details: str) -> str:
    told = ", ".join(filter(None, details))
    return f"{model} ({told})" if told else model


@dataclass(frozen=True)
class Table:
    """What may be compared: one task, one protocol, the same test sets.

    Attributes:
        datasets: their names in the catalog.
        test_sets: fingerprints of the annotations, one, or one per seed.
        settings: those of full supervision first, otherwise in the order in which the runs were given.
        curve_points: those that are points of a model's curve, by rising strength.
        kinds_comparable: the two kinds of zero-shot triplets are the same for all runs.
        references: the models that are compared with every other one, seed by seed.
        baseline: the model that the references are to beat: a sentence says what each brought, and points are held
            against its curve; "" for none.
    """

    task: str
    protocol: dict[str, Any]
    datasets: tuple[str, ...]
    test_sets: tuple[str, ...]
    settings: tuple[Setting, ...]
    curve_points: tuple[Setting, ...]
    kinds_comparable: bool
    references: tuple[str, ...]
    baseline: str

    @property
    def k(self) -> tuple[int, ...]:
        """At how many predictions recalls were taken."""
        return tuple(self.protocol["k"])

    @property
    def main_k(self) -> int:
        """The one that is shown where only one is: 50, or else the largest."""
        return 50 if 50 in self.k else self.k[-1]

    @property
    def title(self) -> str:
        return TASKS.get(self.task, self.task)

    def metric(self, setting: Setting, name: str, k: int | str) -> Statistic | None:
        """A cell; None where nothing was measured, or not the same by all."""
        if name in KIND_METRICS and not self.kinds_comparable:
            return None
        return setting.metric(name, k)

    @property
    def most_seeds(self) -> int:
        """How many seeds the row has that has most."""
        return max(len(setting.runs) for setting in self.settings)

    def legend(self, settings: Sequence[Setting]) -> list[str]:
        """Names that tell these rows apart, for legends."""
        parts = [(s.supervision + " labels", "bias" if s.bias else "no bias", "text: " + s.text) for s in settings]
        names = []
        for setting, own in zip(settings, parts, strict=True):
            same = [other for s, other in zip(settings, parts, strict=True) if s.name == setting.name]
            names.append(", ".join([setting.name, *(p for i, p in enumerate(own) if len({o[i] for o in same}) > 1)]))
        return names


def comparison_tables(
    runs: Sequence[Run], data_per_seed: bool = False, references: Sequence[str] = (), baseline: str = ""
) -> list[Table]:
    """Put runs into one table per task.

    Runs whose tags and settings agree are one row. Where tags agree and settings do not, the rows are named by the
    settings in which they differ from most.

    Args:
        data_per_seed: every seed has a test set of its own. Then the runs of a seed must share it.
        references, baseline: see `Table`.

    Raises:
        InputError: runs that must not stand in one table, the same run twice, or a reference or a baseline that is none
            of them.
    """
    if not runs:
        raise InputError("there is no run to compare")
    folders = [run.folder.resolve() for run in runs]
    for place, folder in enumerate(folders):
        if folder in folders[:place]:
            raise InputError(f"{runs[place].folder} is given twice")
    order = [*TASKS, *sorted({run.task for run in runs} - TASKS.keys())]
    by_task = {task: [run for run in runs if run.task == task] for task in order}
    tables = [_table(task, chosen, data_per_seed, references, baseline) for task, chosen in by_task.items() if chosen]
    check_names(tables, [*references, *([baseline] if baseline else [])])
    return tables


def called(settings: Iterable[Setting], name: str) -> list[Setting]:
    """The rows of a name or of a model of this name, those first whose whole name it is, or is but for the help."""
    found = [s for s in settings if name in _names_of(s)]
    return sorted(found, key=lambda s: name not in (s.name, s.label))


def check_names(tables: Sequence[Table], names: Sequence[str]) -> None:
    """Raise `InputError` where a name is that of no row."""
    known = {name for table in tables for setting in table.settings for name in _names_of(setting)}
    for name in names:
        if name not in known:
            raise InputError(f"there is no model {name!r} to show; there are {', '.join(sorted(known))}")


def _names_of(setting: Setting) -> tuple[str, str, str]:
    return setting.name, setting.label, setting.model


def _table(task: str, runs: list[Run], data_per_seed: bool, references: Sequence[str], baseline: str) -> Table:
    _check_protocols(runs)
    settings = _settings(runs)
    if all(setting.curve is not None for setting in settings):
        raise InputError(f"all {task} runs have the tag curve; a curve needs its model too, without that tag")
    if data_per_seed:
        _check_seeds(settings)
    seeds = sorted({run.seed for run in runs}) if data_per_seed else [None]
    for seed in seeds:
        same = [run for run in runs if not data_per_seed or run.seed == seed]
        advice = f"the seed {seed} must have one" if data_per_seed else _DATA_PER_SEED
        _check_same(same, "test_set", "were tested on different images or annotations, with the fingerprints", advice)
        _check_same(
            same, "zero_shot", "count different zero-shot triplets, with the fingerprints",
            "test them with the same file as TEST.RELATION.ZERO_SHOT_TRIPLETS",
        )  # fmt: skip
    kinds = {
        seed: {run.evaluation.get("zero_shot_kinds") for run in runs if not data_per_seed or run.seed == seed}
        for seed in seeds
    }
    return Table(
        task=task,
        protocol=_common_card(runs),
        datasets=tuple(dict.fromkeys(run.dataset for run in runs)),
        test_sets=tuple(dict.fromkeys(run.evaluation["test_set"] for run in runs)),
        settings=tuple(setting for setting in settings if setting.curve is None),
        curve_points=tuple(sorted((s for s in settings if s.curve is not None), key=lambda s: s.curve or 0.0)),
        kinds_comparable=all(len(found) == 1 for found in kinds.values()),
        references=tuple(references),
        baseline=baseline,
    )


def _check_protocols(runs: Sequence[Run]) -> None:
    """All fields of the protocol are the same; the card's name does not matter."""
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = first.evaluation["protocol"], run.evaluation["protocol"]
        if field := differing_field(ours, theirs):
            raise InputError(
                f"{first.folder} and {run.folder} were evaluated by the protocols {ours['name']} and {theirs['name']}, "
                f"whose {field} is {ours.get(field)} and {theirs.get(field)}, so their numbers must not stand in one "
                "table; set TEST.RELATION alike and test again"
            )


def _common_card(runs: Sequence[Run]) -> dict[str, Any]:
    """The protocol card of the first run, with what is measured (zero-shot list, split) where all runs agree in it."""
    cards = [run.evaluation["protocol"] for run in runs]
    return {
        key: value
        for key, value in cards[0].items()
        if all(card.get(key) == value for card in cards[1:]) or key == "name"
    }


def _check_same(runs: Sequence[Run], key: str, what: str, advice: str) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.evaluation[key] != first.evaluation[key]:
            raise InputError(
                f"{first.folder} and {run.folder} {what} {first.evaluation[key]} and {run.evaluation[key]}, so their "
                f"numbers must not stand in one table; {advice}"
            )


def _check_seeds(settings: Sequence[Setting]) -> None:
    """Every run says its seed."""
    for setting in settings:
        for run in setting.runs:
            if run.seed is None:
                raise InputError(f"{run.folder} has no seed; with --data-per-seed every run needs one (in run.json)")


# -- rows ------------------------------------------------------------------------------------------------------------
def _settings(runs: Sequence[Run]) -> tuple[Setting, ...]:
    groups: dict[tuple, dict[str, list[Run]]] = {}
    for run in runs:
        tags = (run.model, run.supervision, run.bias, run.text, run.help, run.part, run.curve)
        groups.setdefault(tags, {}).setdefault(repr(sorted(_identity(run).items())), []).append(run)
    rows = []
    for tags, group in groups.items():
        members = list(group.values())
        variants = _variants(members) if len(members) > 1 else [""]
        for variant, same in zip(variants, members, strict=True):
            _check_distinct_seeds(same)
            same = sorted(same, key=lambda run: (run.seed is None, run.seed or 0))
            rows.append(Setting(*tags, variant, tuple(same)))
    first = {id(run): place for place, run in enumerate(runs)}
    return tuple(
        sorted(rows, key=lambda s: (s.supervision != "full", s.supervision, min(first[id(r)] for r in s.runs)))
    )


def _identity(run: Run) -> dict[str, Any]:
    """The settings that make a run what it is; of files only the names, for every seed has its own."""
    return {
        key: file_stem(value) if isinstance(value, str) else value
        for key, value in run.config.items()
        if key not in PLACES
    }


def _variants(groups: Sequence[Sequence[Run]]) -> list[str]:
    """What tells groups with the same tags apart: the settings in which one differs from most, or their folders."""
    identities = [_identity(group[0]) for group in groups]
    names: list[list[str]] = [[] for _ in groups]
    for key in sorted(set().union(*identities)):
        values = [repr(identity.get(key)) for identity in identities]
        ((usual, number),) = Counter(values).most_common(1)
        for name, identity, value in zip(names, identities, values, strict=True):
            if value != usual or number <= len(groups) / 2:
                name.append(f"{key.rsplit('.', 1)[-1]} {identity.get(key)}")
    if max(map(len, names)) > _MOST_DIFFERENCES:
        return [group[0].folder.name for group in groups]
    return [", ".join(name) for name in names]


def _check_distinct_seeds(runs: Sequence[Run]) -> None:
    seeds: dict[int | None, Run] = {}
    for run in runs:
        if run.seed in seeds:
            what = "no seed" if run.seed is None else f"the same seed {run.seed}"
            raise InputError(
                f"{seeds[run.seed].folder} and {run.folder} are the same setting with {what}, so they give no spread; "
                "leave one out, or tell them apart by tags in their run.json"
            )
        seeds[run.seed] = run
