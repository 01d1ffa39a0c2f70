"""Scoring of predictions that other programs made; tools/score_predictions.py is the command, docs/evaluation.md tells
more."""

from .annotated_set import AnnotatedSet, read_annotated_set
from .score import Score, parse_fields, score_predictions, zero_shot_of

__all__ = ["AnnotatedSet", "Score", "parse_fields", "read_annotated_set", "score_predictions", "zero_shot_of"]
