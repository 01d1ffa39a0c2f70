"""How noisy labels are: their numbers, and how they agree with what people labelled."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .labels import Labels


@dataclass(frozen=True)
class Agreement:
    """Noisy labels against human ones; shares are between 0 and 1, nan of nothing.

    People label few of the pairs that are related, so precision is taken on the pairs that they labelled.

    Attributes:
        human_pairs, human_labels: different pairs, and (pair, predicate), that people labelled.
        pairs: those of these pairs that have noisy labels.
        coverage: `pairs` / `human_pairs`.
        recall: human labels that are among the noisy ones.
        precision: noisy labels of `pairs` that are right.
        drawn: right labels among those that training draws on `pairs`, one of each pair by weight.
        best: pairs of `pairs` whose label of most weight is right (ties count in part).
        choices: pairs of `pairs` with right and wrong labels: where weights can help.
        best_of_choices, chance: as `best` on these, and what a draw without weights would give.
        precision_of_all: noisy labels that are right, where those of pairs that nobody labelled count as wrong.
    """

    human_pairs: int
    human_labels: int
    pairs: int
    coverage: float
    recall: float
    precision: float
    drawn: float
    best: float
    choices: int
    best_of_choices: float
    chance: float
    precision_of_all: float

    def as_json(self) -> dict:
        """The same with None for what is not a number."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    def lines(self) -> list[str]:
        """As a tool prints it."""

        def percent(value: float) -> str:
            return "-" if value != value else f"{100 * value:.1f}%"

        return [
            f"people labelled {self.human_pairs} pairs of these images with {self.human_labels} predicates; "
            f"{self.pairs} of the pairs have noisy labels ({percent(self.coverage)}), "
            f"and of the predicates {percent(self.recall)} are among them (recall)",
            f"on these pairs {percent(self.precision)} of the labels are right (precision), {percent(self.drawn)} of "
            f"those drawn by weight, and {percent(self.best)} of those of most weight",
            f"{self.choices} pairs have right and wrong labels: the one of most weight is right for "
            f"{percent(self.best_of_choices)}, one at random for {percent(self.chance)}",
            f"of all labels {percent(self.precision_of_all)} were given by people too",
        ]


def agreement(noisy: Labels, human: Labels) -> Agreement:
    """Compare labels of the same file; (pair, predicate) counts once however often it is repeated."""
    both = np.concatenate([noisy.pairs, human.pairs])
    _, pair = np.unique(both, axis=0, return_inverse=True)
    pair = pair.reshape(-1)
    noisy_pair, human_pair = pair[: len(noisy)], pair[len(noisy) :]
    number = int(pair.max(initial=-1)) + 1
    width = 1 + max(noisy.predicates.max(initial=0), human.predicates.max(initial=0))
    human_codes = np.unique(human_pair * width + human.predicates)
    noisy_codes = noisy_pair * width + noisy.predicates
    right = np.isin(noisy_codes, human_codes)
    annotated = np.zeros(number, dtype=bool)
    annotated[human_pair] = True
    labelled = np.zeros(number, dtype=bool)
    labelled[noisy_pair] = True
    both_have = annotated & labelled

    def per_pair(values: np.ndarray) -> np.ndarray:
        return np.bincount(noisy_pair, values, minlength=number)

    weights = noisy.weights
    largest = np.zeros(number)
    np.maximum.at(largest, noisy_pair, weights)
    top = (weights == largest[noisy_pair]).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = per_pair(weights * right) / per_pair(weights)
        best = per_pair(top * right) / per_pair(top)
        even = per_pair(right) / per_pair(np.ones(len(noisy)))
    choices = both_have & (even > 0) & (even < 1)
    return Agreement(
        human_pairs=int(annotated.sum()),
        human_labels=len(human_codes),
        pairs=int(both_have.sum()),
        coverage=_share(both_have.sum(), annotated.sum()),
        recall=_share(np.isin(human_codes, noisy_codes).sum(), len(human_codes)),
        precision=_share(right.sum(), both_have[noisy_pair].sum()),
        drawn=_mean(drawn[both_have]),
        best=_mean(best[both_have]),
        choices=int(choices.sum()),
        best_of_choices=_mean(best[choices]),
        chance=_mean(even[choices]),
        precision_of_all=_share(right.sum(), len(noisy)),
    )


def count_lines(labels: Labels) -> list[str]:
    """How many labels there are, as a tool prints it."""
    per_pair = np.bincount(labels.pair_index())
    images = len(np.unique(labels.image))
    most = ", ".join(f"{np.count_nonzero(per_pair == k)} with {k}" for k in range(1, 4))
    return [
        f"{len(labels)} labels of {len(per_pair)} pairs in {images} images ({len(per_pair) / images:.1f} per image)",
        f"{per_pair.mean():.2f} predicates per pair (median {np.median(per_pair):.0f}, most {per_pair.max()}; "
        f"{most}, {np.count_nonzero(per_pair > 3)} with more)",
        f"{len(np.unique(labels.predicates))} different predicates",
    ]


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
