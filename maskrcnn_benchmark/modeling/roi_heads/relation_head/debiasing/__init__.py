"""Wrappers against the bias towards frequent predicates; each works with every predictor (docs/debiasing.md)."""

from .build import make_predicate_loss, make_test_adjustment

__all__ = ["make_predicate_loss", "make_test_adjustment"]
