"""Comparison of trained models: reads output directories, and writes tables, plots and scene graphs side by side."""

from .compare import Table, compare
from .runs import Run, read_run
from .write import markdown, write_report

__all__ = ["Run", "Table", "compare", "markdown", "read_run", "write_report"]
