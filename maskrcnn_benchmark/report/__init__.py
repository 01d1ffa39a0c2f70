"""Comparison of trained models: reads output directories, and writes tables, plots and scene graphs side by side."""

from .grouping import Table, comparison_tables
from .runs import Run, read_run
from .write import markdown, write_report

__all__ = ["Run", "Table", "comparison_tables", "markdown", "read_run", "write_report"]
