"""Triplets from sentences: a light parser over a data set's own names, their inflections and synonyms.

It looks for noun, predicate, noun with nothing but articles, adjectives or auxiliaries between them: "two men are
riding a big brown horse" is (man, riding, horse). What it does not understand it leaves out; it is made to be right
rather than complete, for captions are many.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import json_lines, read_json

from .knowledge_base import spell

_IRREGULAR_PLURALS = {
    "child": ("children",),
    "foot": ("feet",),
    "goose": ("geese",),
    "man": ("men",),
    "mouse": ("mice",),
    "person": ("people", "persons"),
    "sheep": ("sheep",),
    "tooth": ("teeth",),
    "woman": ("women",),
}
# infinitive -> past, participle; others end in -ed
_IRREGULAR_VERBS = {
    "eat": ("ate", "eaten"),
    "fly": ("flew", "flown"),
    "grow": ("grew", "grown"),
    "hang": ("hung", "hung"),
    "have": ("had", "had"),
    "hold": ("held", "held"),
    "lay": ("laid", "laid"),
    "lie": ("lay", "lain"),
    "make": ("made", "made"),
    "ride": ("rode", "ridden"),
    "say": ("said", "said"),
    "sit": ("sat", "sat"),
    "stand": ("stood", "stood"),
    "use": ("used", "used"),
    "wear": ("wore", "worn"),
}
# Other words for names of VG-150; those whose name a data set lacks do nothing. A file of synonyms adds to them.
SYNONYMS = {
    "airplane": ("aeroplane", "aircraft", "airliner", "jet"),
    "bag": ("backpack", "handbag", "purse"),
    "bike": ("bicycle", "cycle"),
    "boat": ("ship", "canoe", "sailboat"),
    "boy": ("little boy", "young boy"),
    "car": ("automobile", "taxi", "cab"),
    "cat": ("kitten", "kitty"),
    "child": ("toddler", "infant"),
    "cup": ("mug",),
    "desk": ("writing table",),
    "dog": ("puppy", "pup"),
    "girl": ("little girl", "young girl"),
    "guy": ("dude", "fellow"),
    "hill": ("hillside",),
    "jacket": ("blazer",),
    "jean": ("jeans", "denims"),
    "lady": ("madam",),
    "man": ("gentleman",),
    "motorcycle": ("motorbike", "scooter"),
    "pant": ("pants", "trousers"),
    "person": ("human", "somebody", "someone"),
    "phone": ("cell phone", "cellphone", "mobile phone", "telephone"),
    "plane": ("aeroplane", "aircraft"),
    "racket": ("racquet", "tennis racket", "tennis racquet"),
    "rock": ("boulder", "stone"),
    "shoe": ("sneaker",),
    "short": ("shorts",),
    "sidewalk": ("pavement",),
    "street": ("road",),
    "truck": ("lorry",),
    "above": ("up above",),
    "behind": ("in back of",),
    "has": ("have", "having", "had"),
    "in": ("inside", "inside of", "within"),
    "in front of": ("before",),
    "looking at": ("staring at", "gazing at"),
    "lying on": ("lies across",),
    "near": ("next to", "beside", "close to", "nearby", "alongside", "by"),
    "on": ("on top of", "atop", "upon"),
    "over": ("up over",),
    "sitting on": ("seated on", "sits atop", "sitting atop"),
    "standing on": ("stands atop", "standing atop"),
    "under": ("below", "beneath", "underneath"),
    "with": ("along with",),
}
_AUXILIARIES = frozenset(
    ("is", "are", "was", "were", "be", "been", "being", "that", "which", "who", "has", "have", "had", "'s", "also")
)
_BREAKS = frozenset(("and", "or", "but", "while", "as", "when", "where", "because", "if", "then", "than", "not", "no"))
_VERBS = frozenset(("has", "says", "wears"))  # beside those in -ing
_MOST_BETWEEN = 3  # articles and adjectives between a predicate and its object
_VOWELS = "aeiou"


class _Mention(NamedTuple):
    """A name found in a sentence, from word `start` to before word `end`."""

    start: int
    end: int
    kind: str  # object, predicate, or passive: object and subject change places
    name: str


class CaptionParser:
    """Finds triplets of a data set's names.

    Args:
        classes, predicates: names, without background.
        synonyms: further words for names, beside `SYNONYMS`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        predicates: Sequence[str],
        synonyms: Mapping[str, Iterable[str]] | None = None,
    ):
        self._forms: dict[str, tuple[str, str]] = {}
        # what comes first wins: names, then synonyms as they are, then inflections of either
        words: dict[str, list[str]] = {name: [spell(name)] for name in (*classes, *predicates)}
        for name, own in words.items():
            for table in (synonyms or {}, SYNONYMS):
                own += [spell(other) for other in table.get(spell(name), table.get(name, ()))]
        for rank in range(max(map(len, words.values()), default=0)):
            for kind, names in (("object", classes), ("predicate", predicates)):
                for name in names:
                    for word in words[name][rank : rank + 1]:
                        self._forms.setdefault(word, (kind, name))
        for name in classes:
            for word in words[name]:
                for form in plurals(word):
                    self._forms.setdefault(form, ("object", name))
        for name in predicates:
            for word in words[name]:
                for form, kind in inflections(word):
                    self._forms.setdefault(form, (kind, name))
        self._verbs = {name for name in predicates if spell(name) in _VERBS or inflections(spell(name))}
        self._longest = max((len(form.split()) for form in self._forms), default=0)

    def lookup(self, words: str, kind: str) -> str | None:
        """The class ("object") or "predicate" that words stand for, None where there is none."""
        found = self._forms.get(spell(words))
        return found[1] if found and found[0] == kind else None

    def triplets(self, sentence: str) -> list[tuple[str, str, str]]:
        """(subject, predicate, object) by name, in the order of the sentence, each once."""
        found: dict[tuple[str, str, str], None] = {}
        for part in re.split(r"[.;:!?()\n]+", sentence.lower()):
            words = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*|'s|,", part.replace("_", " "))
            found.update(dict.fromkeys(self._of_words(words)))
        return list(found)

    def _of_words(self, words: list[str]) -> Iterator[tuple[str, str, str]]:
        mentions = self._mentions(words)
        root: dict[int, int] = {}  # noun that is an object -> the first subject of the chain that leads to it
        for place, middle in enumerate(mentions):
            if middle.kind == "object" or not 0 < place < len(mentions) - 1:
                continue
            subject = mentions[place - 1]
            between = words[subject.end : middle.start]
            if subject.kind != "object" or not all(w in _AUXILIARIES or w.endswith("ly") for w in between):
                continue
            # in "a woman in a coat holding a cup" the woman holds it, in "a woman in a coat on a bed" the coat is there
            first = self._actor(mentions, place - 1, root, words) if middle.name in self._verbs else place - 1
            objects = self._list_after(mentions, place, words)
            if not _is_and(middle, words):
                root.update(dict.fromkeys(objects, root.get(first, first)))
            for subject_place in self._list_before(mentions, first, words):
                for object_place in objects:
                    pair = mentions[subject_place].name, mentions[object_place].name
                    if middle.kind == "passive":
                        pair = pair[::-1]
                    yield pair[0], middle.name, pair[1]

    def _mentions(self, words: list[str]) -> list[_Mention]:
        """Names in a sentence, the longest first wherever several begin; of adjacent nouns the last, their head."""
        mentions: list[_Mention] = []
        start = 0
        while start < len(words):
            for end in range(min(len(words), start + self._longest), start, -1):
                found = self._forms.get(" ".join(words[start:end]))
                if found:
                    mention = _Mention(start, end, *found)
                    if mentions and mention.kind == mentions[-1].kind == "object" and mentions[-1].end == start:
                        mentions[-1] = mention._replace(start=mentions[-1].start)
                    else:
                        mentions.append(mention)
                    start = end
                    break
            else:
                start += 1
        return mentions

    def _actor(self, mentions: list[_Mention], noun: int, root: dict[int, int], words: list[str]) -> int:
        """The place of the noun that acts: the root of the chain that a noun, or one joined to it, is an object of."""
        seek: int | None = noun
        while seek is not None and seek not in root:
            seek = self._joined(mentions, seek, -1, words)
        return noun if seek is None else root[seek]

    def _list_before(self, mentions: list[_Mention], first: int, words: list[str]) -> list[int]:
        """Places of a subject and of the nouns before it that "and" or a comma joins to it."""
        places = [first]
        while (earlier := self._joined(mentions, places[-1], -1, words)) is not None:
            # a noun that is the object of another predicate is no subject of this one
            if earlier > 0 and mentions[earlier - 1].kind != "object" and not _is_and(mentions[earlier - 1], words):
                break
            places.append(earlier)
        return places

    def _list_after(self, mentions: list[_Mention], place: int, words: list[str]) -> list[int]:
        """Places of the noun behind a predicate and of those joined to it, unless these begin a new clause."""
        object_ = mentions[place + 1]
        between = words[mentions[place].end : object_.start]
        if object_.kind != "object" or len(between) > _MOST_BETWEEN or any(w in _BREAKS or w == "," for w in between):
            return []
        places = [place + 1]
        while (later := self._joined(mentions, places[-1], 1, words)) is not None:
            follows = mentions[later + 1] if later + 1 < len(mentions) else None
            if follows and follows.kind != "object" and not _is_and(follows, words):
                break
            places.append(later)
        return places

    @staticmethod
    def _joined(mentions: list[_Mention], place: int, step: int, words: list[str]) -> int | None:
        """The place of the noun that "and" or a comma joins to a noun, before (-1) or behind it (1)."""
        other = place + step
        if 0 <= other < len(mentions) and _is_and(mentions[other], words):  # "and" is a predicate of VG-150
            other += step
        if not 0 <= other < len(mentions) or mentions[other].kind != "object":
            return None
        left, right = sorted((mentions[place], mentions[other]))
        between = words[left.end : right.start]
        joins = [word for word in between if word in ("and", ",")]
        others = [word for word in between if word not in ("and", ",")]
        return other if joins and len(others) <= _MOST_BETWEEN and not _BREAKS & set(others) else None


def _is_and(mention: _Mention, words: list[str]) -> bool:
    return words[mention.start : mention.end] == ["and"]


def plurals(name: str) -> list[str]:
    """Plural forms of a noun, of its last word where it has several.

    >>> plurals("bus"), plurals("shelf"), plurals("young man")
    (['buses'], ['shelfs', 'shelves'], ['young men'])
    """
    start, _, last = name.rpartition(" ")
    if last in _IRREGULAR_PLURALS:
        forms = list(_IRREGULAR_PLURALS[last])
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        forms = [last + "es"]
    elif last.endswith("y") and last[-2:-1] not in _VOWELS:
        forms = [last[:-1] + "ies"]
    else:
        forms = [last + "s"]
        if last.endswith("f"):
            forms.append(last[:-1] + "ves")
        elif last.endswith("fe"):
            forms.append(last[:-2] + "ves")
    return [f"{start} {form}" if start else form for form in forms]


def inflections(predicate: str) -> list[tuple[str, str]]:
    """Other forms of a predicate that begins with a verb in -ing: ("rides", "predicate"), ("ridden by", "passive").

    Passives only of predicates that are one word.
    """
    verb, _, rest = predicate.partition(" ")
    if not verb.endswith("ing") or len(verb) < 5:
        return []
    forms: dict[tuple[str, str], None] = {}
    for infinitive in _infinitives(verb[:-3]):
        past, participle = _IRREGULAR_VERBS.get(infinitive, (_regular_past(infinitive),) * 2)
        for form in (infinitive, plurals(infinitive)[0], past):  # verbs take -s as nouns do
            forms[f"{form} {rest}".strip(), "predicate"] = None
        if not rest:
            forms[f"{participle} by", "passive"] = None
    return list(forms)


def _infinitives(stem: str) -> list[str]:
    """What a verb in -ing may come from: "rid" -> "ride", "sitt" -> "sit", "ly" -> "lie", "carry" -> "carry"."""
    known = [stem, stem + "e", stem[:-1], stem[:-1] + "ie"]
    irregular = [form for form in known if form in _IRREGULAR_VERBS]
    if irregular:
        return irregular
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "ls":
        return [stem[:-1]]
    return [stem, stem + "e"]


def _regular_past(infinitive: str) -> str:
    if infinitive.endswith("e"):
        return infinitive + "d"
    if infinitive.endswith("y") and infinitive[-2:-1] not in _VOWELS:
        return infinitive[:-1] + "ied"
    return infinitive + "ed"


# -- files -----------------------------------------------------------------------------------------------------------
def read_captions(path: str | os.PathLike, field: str = "caption") -> Iterator[str]:
    """Sentences of a file of json lines, each a text, or an object with the text in `field`.

    Raises:
        InputError: the file is missing, or a line is something else.
    """
    for number, content in json_lines(path, json_schemas.Caption):
        text = content.get(field) if isinstance(content, dict) else content
        if not isinstance(text, str):
            raise InputError(f'{path}, line {number}: expected a text or an object with a text in "{field}"')
        yield text


def read_triplets(path: str | os.PathLike) -> Iterator[tuple[str, str, str]]:
    """(subject, predicate, object) of a json list, or of json lines: lists of three texts, or objects with these keys.

    Raises:
        InputError: the file is missing, or an entry is something else.
    """
    if os.fspath(path).endswith(".json"):
        entries: Iterable = enumerate(read_json(path, json_schemas.Triplets), 1)
    else:
        entries = json_lines(path, json_schemas.Triplet)
    for _, entry in entries:
        if isinstance(entry, dict):
            entry = entry["subject"], entry["predicate"], entry["object"]
        subject, predicate, object_ = entry
        yield subject, predicate, object_


def read_synonyms(path: str | os.PathLike) -> dict[str, list[str]]:
    """Further words for names: json {"man": ["gentleman", ...], ...}.

    Raises:
        InputError: the file is missing or something else.
    """
    content = read_json(path, json_schemas.Synonyms)
    return {spell(name): words for name, words in content.items()}
