"""The E-step: how likely each candidate of a pair is the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.utils.errors import InputError

from .labels import Labels


@dataclass(frozen=True)
class Expectation:
    """Weights the candidates of a pair: q ~ exp(score / temperature) * weight ^ prior, over these candidates alone.

    Attributes:
        temperature: of the scores; below 1 the likeliest candidate takes more, towards endless all take the same.
        prior: exponent of the weights that the candidates have: 1 is Bayes' rule, with 0 they do not count, except
            that none stays none.
        threshold: candidates with a smaller q are dropped and the others weighted anew; the likeliest one of a pair
            stays in any case.
    """

    temperature: float = 1.0
    prior: float = 1.0
    threshold: float = 0.0

    def check(self) -> None:
        """Raise `InputError` for values that make no distribution."""
        if not self.temperature > 0:
            raise InputError(f"--temperature is {self.temperature}; it must be above 0")
        if not self.prior >= 0:
            raise InputError(f"--prior is {self.prior}; it must be 0 or more")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"--threshold is {self.threshold}; it must be 0 to 1")

    def apply(self, labels: Labels, scores: np.ndarray) -> Labels:
        """Labels with new weights, those of a pair summing to 1; candidates without weight are gone.

        Args:
            scores: logits or logarithms of probabilities, any constant for each pair added, float [M].
        """
        self.check()
        if not len(labels):
            return labels
        first, pair = labels.first_of_pair(), labels.pair_index()
        with np.errstate(divide="ignore"):
            prior = self.prior * np.log(labels.weights) if self.prior else np.zeros(len(labels))
        logits = np.where(labels.weights > 0, scores / self.temperature + prior, -np.inf)
        highest = np.maximum.reduceat(logits, first)[pair]
        possible = highest > -np.inf
        q = np.exp(np.where(possible, logits, 0) - np.where(possible, highest, 0)) * possible
        total = np.add.reduceat(q, first)[pair]
        likeliest = possible & (logits == highest)
        keep = likeliest | ((q > 0) & (q >= self.threshold * total))
        total = np.bincount(pair, q * keep, minlength=len(first))[pair]
        return labels.take(keep, q[keep] / total[keep])
