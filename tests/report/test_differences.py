"""Comparisons between rows that got the same help, and words that are no stronger than their numbers."""

import re

import numpy as np
import pytest
from run_folders import write_run

from maskrcnn_benchmark.report import comparison_tables, markdown, read_run
from maskrcnn_benchmark.report.differences import told_apart
from maskrcnn_benchmark.report.tables import all_cells
from maskrcnn_benchmark.utils.errors import InputError

# recall at 50, in %, of three seeds, by (model, help)
RECALLS = {
    ("Motifs", "nothing"): (30, 31, 32),
    ("Motifs", "prior"): (40, 41, 42),
    ("RelCLIP", "nothing"): (35.1, 36, 36.9),  # +5.1, +5.0, +4.9
    ("RelCLIP", "prior"): (46, 40, 42.6),  # +6, -1, +0.6
}


@pytest.fixture
def runs(tmp_path):
    """Both models with two kinds of help, a part of RelCLIP, and a model that is in no fair table."""
    folders = [
        write_run(tmp_path / f"{model} {kind} {seed}", recall=value / 100 - 0.1, seed=seed,
                  tags={"model": model, "help": kind})
        for (model, kind), values in RECALLS.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    control = {"model": "RelCLIP", "part": "text-free control", "help": "prior"}
    folders += [write_run(tmp_path / f"control {seed}", recall=0.32, seed=seed, tags=control) for seed in range(3)]
    folders.append(write_run(tmp_path / "plain", recall=0.7, tags={"model": "IMP"}))
    return [read_run(folder) for folder in folders]


def test_the_first_table_puts_rows_with_the_same_help_together(runs):
    (table,) = comparison_tables(runs)
    cells = all_cells(table)[0]
    assert [row[:2] for row in cells.rows] == [
        ("Motifs", "nothing"),
        ("RelCLIP", "nothing"),
        ("Motifs", "prior"),
        ("RelCLIP", "prior"),
        ("RelCLIP (text-free control)", "prior"),
    ]
    assert cells.columns == ("model", "help", "labels", "text", "seeds", *["@50"] * 4)
    assert cells.rows[0][5:] == ("31.0 ± 1.0",) * 4
    assert [row[5] for row in cells.best] == [False, True, False, True, False]  # the best with the same help
    assert cells.findings == ()


def test_differences_are_of_the_same_help(runs):
    (table,) = comparison_tables(runs, references=["RelCLIP"])
    cells = next(cells for cells in all_cells(table) if cells.title == "What RelCLIP has more")
    assert [(row[0], row[5]) for row in cells.rows] == [
        ("Motifs", "+5.0 ± 0.1"),
        ("Motifs (with prior)", "+1.9 ± 3.7"),
        ("RelCLIP (text-free control, with prior)", "+0.9 ± 3.0"),
    ]


def test_one_sentence_says_what_the_reference_brought_and_no_more_than_that(runs):
    (table,) = comparison_tables(runs, references=["RelCLIP"], baseline="Motifs")
    (sentence,) = all_cells(table)[0].findings
    assert sentence == (
        "What RelCLIP itself brought (RelCLIP less Motifs with the same help, full labels, points at 50, 3 seeds): "
        "without help: more R (+5.0 ± 0.1), mR (+5.0 ± 0.1), zR (+5.0 ± 0.1) and F (+5.0 ± 0.1); with the prior: in R "
        "(+1.9 ± 3.7), mR (+1.9 ± 3.7), zR (+1.9 ± 3.7) and F (+1.9 ± 3.7) nothing that can be told from chance."
    )
    assert f"**{sentence}**" in markdown([table])
    (table,) = comparison_tables(runs, references=["Motifs"], baseline="RelCLIP")
    assert "without help: less R (-5.0 ± 0.1), mR" in all_cells(table)[0].findings[0]


def test_a_part_of_a_model_can_be_a_reference_beside_it(runs):
    """It is compared where rows got the help that it got, with the model that it is a part of too."""
    control = "RelCLIP (text-free control)"
    (table,) = comparison_tables(runs, references=["RelCLIP", control], baseline="Motifs")
    found = {cells.title: cells.rows for cells in all_cells(table)}
    assert [(row[0], row[5]) for row in found[f"What {control} has more"]] == [
        ("Motifs (with prior)", "+1.0 ± 1.0"),
        ("RelCLIP (with prior)", "-0.9 ± 3.0"),
    ]
    whole, part = all_cells(table)[0].findings
    assert whole.startswith("What RelCLIP itself brought (RelCLIP less Motifs")
    assert part.startswith(f"What {control} itself brought ({control} less Motifs") and "without help" not in part
    with pytest.raises(InputError, match="no model 'text-free control'"):
        comparison_tables(runs, references=["RelCLIP", "text-free control"])


def test_what_differs_from_chance():
    values = [0.01, 0.02, 0.03, 0.02]
    assert told_apart(values, None) and told_apart(values, [0.001, 0.04]) and not told_apart(values, [-0.001, 0.04])
    assert not told_apart([0.5], None)  # one seed says nothing of another
    # three seeds above zero can still be chance: by Student's t, against its textbook quantile
    for values in ([0.01, 0.03, 0.05], [0.02, 0.03, 0.04], [-0.1, -0.11, -0.12]):
        t = abs(np.mean(values)) / (np.std(values, ddof=1) / 3**0.5)
        assert told_apart(values, None) == (t > 4.303)
    assert not told_apart([0.0, 0.0], None)


def test_another_kind_of_help_is_one_sentence(tmp_path):
    folder = write_run(tmp_path / "a", tags={"help": "luck"})
    message = "help: expected nothing, prior, second opinion or both, found 'luck'"
    with pytest.raises(InputError, match=re.escape(message)):
        read_run(folder)
