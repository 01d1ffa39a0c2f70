"""Phrases read as English, stand in the order of the arrays, and bad templates are refused."""

import pytest

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrases import (
    fill_template,
    level_phrases,
    spell,
    with_article,
)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("man", "a man"),
        ("elephant", "an elephant"),
        ("umbrella", "an umbrella"),
        ("unicycle", "a unicycle"),
        ("hour hand", "an hour hand"),
        ("people", "people"),
        ("young women", "young women"),
        ("Airplane", "an Airplane"),
    ],
)
def test_the_article_follows_the_sound(name, expected):
    assert with_article(name) == expected


def test_class_names_are_spelt_as_words():
    assert spell("traffic_light ") == "traffic light"
    phrase = fill_template(
        "a photo of an {subject} {predicate} a {object}", subject="cat", predicate="in", object="oven"
    )
    assert phrase == "a photo of a cat in an oven"
    assert fill_template("the {subject} {predicate} it", subject="ear", predicate="part_of") == "the ear part of it"


def test_names_are_taken_as_they_are():
    names = {"subject": "{brace}", "predicate": "100% \\1 of", "object": "a {subject} {{x}} $5 'bill'"}
    phrase = fill_template("{{a}} {subject} {predicate} a {object}", **names)
    assert phrase == "{a} {brace} 100% \\1 of an a {subject} {{x}} $5 'bill'"
    assert fill_template("a {object}", object="{object}") == "a {object}"


def test_phrases_stand_in_the_order_of_the_arrays():
    objects, predicates = ["ear", "cat"], ["on", "of", "in"]
    sp = level_phrases("sp", ["a {subject} {predicate} x", "{predicate} {subject}"], objects, predicates)
    assert sp[0] == ["an ear on x", "an ear of x", "an ear in x", "a cat on x", "a cat of x", "a cat in x"]
    assert sp[1][4] == "of cat"
    po = level_phrases("po", ["x {predicate} a {object}"], objects, predicates)
    assert po == [["x on an ear", "x on a cat", "x of an ear", "x of a cat", "x in an ear", "x in a cat"]]
    spo = level_phrases("spo", ["{subject} {predicate} {object}"], objects, predicates)[0]
    assert len(spo) == 12 and spo[2 * 3 * 1 + 2 * 1 + 0] == "cat of ear"


@pytest.mark.parametrize("template", ["a {subject}", "{subject} {predicate} {object}", "{subject} {predicate", "{} {}"])
def test_a_template_must_name_the_words_of_its_level(template):
    with pytest.raises(LanguageError, match=r"TEMPLATES.SP.*\{subject\} and \{predicate\}"):
        level_phrases("sp", [template], ["cat"], ["on"])


def test_a_level_needs_a_template():
    with pytest.raises(LanguageError, match=r"TEMPLATES.PO is empty"):
        level_phrases("po", [], ["cat"], ["on"])
