"""The rule of synonyms reaches the loss of a whole predictor, and the log says what it found."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank

OBJECTS = 7
NAMES = ["above", "below", "wearing", "wears", "on"]
ABOVE, BELOW, WEARING, WEARS, ON = range(1, 6)


@pytest.fixture
def world(statistics):
    """Statistics in which annotators gave wearing and wears to one pair of boxes, above and below by a slip."""
    found = statistics(NAMES)
    pairs = torch.zeros(6, 6, dtype=torch.int64)
    for p, q, count in ((WEARING, WEARS, 5), (ABOVE, BELOW, 1), (ABOVE, ON, 9), (WEARING, ON, 1)):
        pairs[p, q] = pairs[q, p] = count
    return {**found, "predicate_pairs": pairs}


@pytest.fixture
def make(predictor, world, tmp_path):
    """Factory of predictors of which above and below are as alike as wearing and wears, in the text encoder's eyes."""
    rng = np.random.default_rng(0)
    topics = rng.standard_normal((3, 32))[[0, 0, 1, 1, 2]]
    arrays = {}
    for level in ("sp", "po"):
        vectors = 5 * rng.standard_normal((OBJECTS, 1, 32)) + topics + 0.1 * rng.standard_normal((OBJECTS, 5, 32))
        arrays[level] = vectors if level == "sp" else vectors.swapaxes(0, 1)
    PhraseBank(world["obj_classes"][1:], NAMES, {}, arrays).save(str(tmp_path / "bank.npz"))

    def build(statistics=world, **options):
        language = {"BANK_FILE": str(tmp_path / "bank.npz")}
        return predictor(statistics=statistics, language=language, DICTIONARY="full", **options)

    return build


def negatives_of(model, level, *positive):
    """Components of the phrases that are negatives of one."""
    loss = model.relclip.rcl[level]
    return set(map(tuple, loss.dictionary[loss.mask(torch.tensor([positive]), loss.dictionary)[0]].tolist()))


def test_antonyms_are_negatives_and_synonyms_are_not(make, plugin_log):
    model = make()
    table = model.relclip.targets.sp[3]
    assert (
        table[ABOVE] @ table[BELOW] > 0.92 and table[WEARING] @ table[WEARS] > 0.92
    )  # what a cosine cannot tell apart
    for level in ("sp", "po"):
        assert (3, BELOW) in negatives_of(model, level, 3, ABOVE)
        assert (3, WEARS) not in negatives_of(model, level, 3, WEARING)
        assert {(3, ON), (3, ABOVE), (2, WEARING)} <= negatives_of(model, level, 3, WEARING)
    assert "RELCLIP.SYNONYMS judged): wearing, wears" in plugin_log.text


def test_another_class_with_a_synonym_is_a_negative(make):
    """Of all phrases, only what names the same classes is a synonym of one."""
    found = negatives_of(make(NEGATIVES="all"), "sp", 3, WEARING)
    assert (3, WEARS) not in found and (2, WEARS) in found


def test_rules(make, world, tmp_path, plugin_log):
    path = tmp_path / "list.txt"
    path.write_text("above, on\n", encoding="utf-8")
    assert (3, ON) not in negatives_of(make(SYNONYMS=str(path)), "sp", 3, ABOVE)
    assert f"SYNONYMS {path}): above, on" in plugin_log.text
    assert (3, WEARS) not in negatives_of(make(SYNONYMS="vg150"), "sp", 3, WEARING)
    assert (3, WEARS) in negatives_of(make(SYNONYMS="none"), "sp", 3, WEARING)
    assert (3, WEARS) in negatives_of(make(SYNONYM_SIMILARITY=1.0), "sp", 3, WEARING)
    assert "RELCLIP.SYNONYMS judged): none" in plugin_log.text


@pytest.mark.parametrize("pairs", ["missing", "uncounted"])
def test_without_counts_nothing_is_judged_and_the_log_names_the_list(make, world, plugin_log, pairs):
    """SGB's statistics have no such entry; data whose labels no annotator gave have none."""
    del world["predicate_pairs"]
    model = make(statistics=world if pairs == "missing" else {**world, "predicate_pairs": None})
    assert model.relclip.rcl["sp"].synonyms is None and (3, WEARS) in negatives_of(model, "sp", 3, WEARING)
    assert "no predicates are taken for synonyms" in plugin_log.text and "SYNONYMS vg150" in plugin_log.text
    assert (3, WEARS) not in negatives_of(make(statistics=world, SYNONYMS="vg150"), "sp", 3, WEARING)


def test_without_a_contrastive_loss_no_list_is_read(make, tmp_path):
    missing = str(tmp_path / "none.txt")
    make(SYNONYMS=missing, USE_RCL=False)
    make(SYNONYMS=missing, TARGETS="learnt")
    with pytest.raises(LanguageError, match=r"judged, none, vg150"):
        make(SYNONYMS=missing)
