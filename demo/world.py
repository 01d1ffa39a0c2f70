"""One drawn world: which pairs do what and how often, who says it in which words, and what training never shows."""

import math
import random
from dataclasses import dataclass, field
from itertools import accumulate

from demo.actions import ACTIONS, Action, is_possible
from demo.vocabulary import OBJECTS, members


@dataclass(frozen=True)
class WorldSettings:
    """What can be turned on a world; the defaults are those of the demo.

    Attributes:
        pairs_per_action: at most so many (subject, object) pairs do one action.
        skew: exponent of the pairs' frequencies; 0 makes all pairs of an action equally common.
        habit: spread (of the logarithm) of how much subject and object class sway the choice of words.
        unseen_pairs: share of the pairs that training shows in no relation.
        unseen_triplets: share of the remaining (action, pair) combinations that training does not show, of those
            whose pair it shows in another action.
    """

    pairs_per_action: int = 90
    skew: float = 0.8
    habit: float = 0.9
    unseen_pairs: float = 0.08
    unseen_triplets: float = 0.16


@dataclass(frozen=True)
class Fact:
    """A relation before it is drawn: the action, both classes and the word that the annotator takes."""

    action: str
    subject: str
    object: str
    predicate: str

    @property
    def triplet(self) -> tuple[str, str, str]:
        return self.subject, self.predicate, self.object


@dataclass(frozen=True)
class _Option:
    """An action with the pairs that can do it: what `World.fact` chooses from."""

    action: str
    weight: float
    pairs: list[tuple[str, str]]
    cumulative: list[float]


@dataclass
class World:
    """Everything that is fixed before the first picture: pairs, frequencies, habits, what training never shows.

    Args:
        seed: two worlds of one seed are equal.
        settings: see `WorldSettings`.
    """

    seed: int
    settings: WorldSettings = field(default_factory=WorldSettings)

    def __post_init__(self) -> None:
        rng = random.Random(f"world {self.seed}")
        self._habits: dict[tuple[str, str, str, str], float] = {}
        self._known_options: dict[tuple[str | None, bool, float], list[_Option]] = {}
        self.pairs: dict[str, dict[tuple[str, str], float]] = {
            name: self._draw_pairs(name, action, rng) for name, action in ACTIONS.items()
        }
        self.unseen_pairs = self._hold_out_pairs(rng)
        self.unseen_actions = self._hold_out_actions(rng)
        self._untrainable_triplets = frozenset().union(*self.held_out_triplets().values())

    def _draw_pairs(self, name: str, action: Action, rng: random.Random) -> dict[tuple[str, str], float]:
        """Pairs of an action with their frequencies: common classes make common pairs, and a few pairs rule.

        Part of a pair's frequency is its own, whatever it does: so many pairs are seen in several actions.
        """
        pairs = {}
        for subject in members(action.subjects):
            for object_ in members(action.objects):
                if is_possible(name, subject, object_):
                    common = OBJECTS[subject].commonness * OBJECTS[object_].commonness
                    pairs[subject, object_] = common * math.exp(self._affinity(subject, object_) + rng.gauss(0, 0.5))
        kept = sorted(pairs, key=lambda pair: -pairs[pair])[: self.settings.pairs_per_action]
        return {pair: pairs[pair] ** self.settings.skew for pair in kept}

    def _affinity(self, subject: str, object_: str) -> float:
        """How often a pair is seen together beyond what its classes' frequencies say (logarithm)."""
        return random.Random(f"affinity {self.seed} {subject} {object_}").gauss(0, 1)

    def _hold_out_pairs(self, rng: random.Random) -> frozenset[tuple[str, str]]:
        """Pairs that training shows in no relation; the three commonest of each action are left alone."""
        common = {pair for pairs in self.pairs.values() for pair in list(pairs)[:3]}
        candidates = sorted({pair for pairs in self.pairs.values() for pair in pairs} - common)
        return frozenset(rng.sample(candidates, round(self.settings.unseen_pairs * len(candidates))))

    def _hold_out_actions(self, rng: random.Random) -> frozenset[tuple[str, str, str]]:
        """(action, subject, object) that training does not show although it shows the pair in another action."""
        ways: dict[tuple[str, str], list[str]] = {}
        for name, pairs in self.pairs.items():
            for pair in pairs:
                if pair not in self.unseen_pairs:
                    ways.setdefault(pair, []).append(name)
        candidates = [
            (name, *pair)
            for pair, names in sorted(ways.items())
            if len(names) > 1
            for name in names
            if pair not in list(self.pairs[name])[:3]
        ]
        rng.shuffle(candidates)
        wanted = round(self.settings.unseen_triplets * sum(map(len, self.pairs.values())))
        held: set[tuple[str, str, str]] = set()
        left = {pair: len(names) for pair, names in ways.items()}
        for name, subject, object_ in candidates:
            if len(held) < wanted and left[subject, object_] > 1:
                held.add((name, subject, object_))
                left[subject, object_] -= 1
        return frozenset(held)

    def trainable(self, action: str, subject: str, object_: str) -> bool:
        """Whether training pictures may show this action of this pair."""
        return (subject, object_) not in self.unseen_pairs and (action, subject, object_) not in self.unseen_actions

    def trainable_words(self, subject: str, predicate: str, object_: str) -> bool:
        """Whether training annotations may hold this triplet."""
        return (subject, object_) not in self.unseen_pairs and (
            (subject, predicate, object_) not in self._untrainable_triplets
        )

    def held_out_triplets(self) -> dict[str, set[tuple[str, str, str]]]:
        """Triplets (subject, predicate, object) that no training annotation can hold.

        Returns:
            "new_pair": those of pairs that training shows in no relation; "seen_pair": those that neither this nor
            any other action of the pair can put into words in training, though the pair has other relations there.
        """
        possible: dict[bool, set[tuple[str, str, str]]] = {True: set(), False: set()}
        for name, pairs in self.pairs.items():
            for subject, object_ in pairs:
                words = {(subject, word, object_) for word in ACTIONS[name].words}
                possible[self.trainable(name, subject, object_)] |= words
        held = possible[False] - possible[True]
        unseen = {triplet for triplet in held if (triplet[0], triplet[2]) in self.unseen_pairs}
        return {"new_pair": unseen, "seen_pair": held - unseen}

    def _habit(self, action: str, word: str, role: str, name: str) -> float:
        """How much a class in a role sways annotators of an action towards a word (logarithm)."""
        key = (action, word, role, name)
        if key not in self._habits:
            draw = random.Random(f"habit {self.seed} {key}").gauss(0, 1)
            self._habits[key] = draw * self.settings.habit
        return self._habits[key]

    def word_shares(self, action: str, subject: str, object_: str) -> dict[str, float]:
        """How often each word of an action is taken for a pair; the shares sum to one."""
        scores = {
            word: share
            * math.exp(self._habit(action, word, "subject", subject) + self._habit(action, word, "object", object_))
            for word, share in ACTIONS[action].words.items()
        }
        total = sum(scores.values())
        return {word: score / total for word, score in scores.items()}

    def word(self, action: str, subject: str, object_: str, rng: random.Random) -> str:
        """The predicate that one annotator takes for an action of a pair."""
        shares = self.word_shares(action, subject, object_)
        return rng.choices(list(shares), list(shares.values()))[0]

    def fact(
        self,
        rng: random.Random,
        subject: str | None = None,
        training: bool = False,
        flatness: float = 0.0,
        taken_slots: frozenset[str] = frozenset(),
        solo: bool = True,
    ) -> Fact | None:
        """Draw a relation.

        Args:
            subject: class of the subject, None for any.
            training: draw nothing that training does not show.
            flatness: 0 keeps the long tails, 1 makes all actions, and all pairs of an action, equally likely.
            taken_slots: slots of the subject that are in use.
            solo: whether solo actions may be drawn.

        Returns:
            None where the subject can do nothing more.
        """
        options = [
            option
            for option in self._options(subject, training, flatness)
            if ACTIONS[option.action].slot not in taken_slots and (solo or not ACTIONS[option.action].solo)
        ]
        if not options:
            return None
        option = rng.choices(options, [option.weight for option in options])[0]
        pair = rng.choices(option.pairs, cum_weights=option.cumulative)[0]
        return Fact(option.action, *pair, self.word(option.action, *pair, rng))

    def _options(self, subject: str | None, training: bool, flatness: float) -> "list[_Option]":
        """What can be drawn for a subject, computed once."""
        key = (subject, training, flatness)
        if key not in self._known_options:
            options = []
            for name, all_pairs in self.pairs.items():
                total = sum(all_pairs.values())
                pairs = {
                    pair: (1 - flatness) * weight / total + flatness / len(all_pairs)
                    for pair, weight in all_pairs.items()
                    if subject in (None, pair[0]) and (not training or self.trainable(name, *pair))
                }
                if pairs:
                    weight = (1 - flatness) * ACTIONS[name].weight + flatness / len(ACTIONS)
                    share = 1.0 if subject is None else sum(pairs.values())  # what this subject does, not what is done
                    options.append(_Option(name, weight * share, list(pairs), list(accumulate(pairs.values()))))
            self._known_options[key] = options
        return self._known_options[key]
