"""From class names and prompt templates to phrases: "a photo of an elephant standing on something"."""

from __future__ import annotations

import re
from itertools import product
from string import Formatter
from typing import List, Sequence

from .defaults import KEY
from .errors import LanguageError

# level -> (key of its templates, the words that a phrase of it names)
LEVELS = {
    "sp": ("SP", ("subject", "predicate")),
    "po": ("PO", ("predicate", "object")),
    "spo": ("SPO", ("subject", "predicate", "object")),
}
# Names whose first letter misleads: "a uniform", "an hour".
CONSONANT_SOUND = ("uni", "use", "usu", "eu", "one", "ewe")
VOWEL_SOUND = ("hour", "honest", "heir", "x-ray")
WITHOUT_ARTICLE = ("people", "men", "women", "children")


def spell(name: str) -> str:
    """A class name as words: "traffic_light" -> "traffic light"."""
    return " ".join(name.replace("_", " ").split())


def with_article(name: str) -> str:
    """The name after "a" or "an", as it sounds; plurals that data sets use as class names stay bare.

    >>> [with_article(name) for name in ("man", "umbrella", "unicycle", "people")]
    ['a man', 'an umbrella', 'a unicycle', 'people']
    """
    lower = name.lower()
    if lower.split(" ")[-1] in WITHOUT_ARTICLE:
        return name
    vowel = lower.startswith(VOWEL_SOUND) or (lower[:1] in "aeiou" and not lower.startswith(CONSONANT_SOUND))
    return ("an " if vowel else "a ") + name


def check_templates(level: str, templates: Sequence[str]) -> None:
    """Refuse templates that do not name exactly the words of their level.

    Raises:
        LanguageError: with the configuration key, the template and what it should name.
    """
    key, words = LEVELS[level]
    if not templates:
        raise LanguageError(f"{KEY}.TEMPLATES.{key} is empty; it needs at least one template.")
    expected = " and ".join("{%s}" % word for word in words)
    for template in templates:
        try:
            found = sorted(field for _, field, _, _ in Formatter().parse(template) if field is not None)
        except ValueError:
            found = []
        if found != sorted(words):
            raise LanguageError(f"{KEY}.TEMPLATES.{key}: {template!r} must name {expected}, each once.")


def fill_template(template: str, **names: str) -> str:
    """Put names into a template; an article before a noun follows the noun.

    >>> fill_template("a photo of a {subject} {predicate} something", subject="ear", predicate="attached_to")
    'a photo of an ear attached to something'
    """
    parts = []
    for literal, field, _, _ in Formatter().parse(template):
        word = "" if field is None else spell(names[field])
        article = re.search(r"\b(an?) $", literal)
        if article and field in ("subject", "object"):
            literal, word = literal[: article.start()], with_article(word)
        parts += [literal, word]
    return "".join(parts)


def level_phrases(
    level: str, templates: Sequence[str], objects: Sequence[str], predicates: Sequence[str]
) -> List[List[str]]:
    """All phrases of a level, one list per template.

    The order is that of an array [O, R] (sp, by subject), [R, O] (po, by object) or [O, R, O] (spo), read row by row.

    Args:
        level: sp, po or spo.
        templates: prompts with {subject}, {predicate} and {object} as the level has them.
        objects: O object names.
        predicates: R predicate names.

    Raises:
        LanguageError: where a template does not fit the level.
    """
    check_templates(level, templates)
    words = LEVELS[level][1]
    values = {"subject": objects, "predicate": predicates, "object": objects}
    return [
        [fill_template(template, **dict(zip(words, names))) for names in product(*(values[word] for word in words))]
        for template in templates
    ]
