"""The grammar of the drawn world: what can be done, by whom, to whom, and in which words it is told."""

from dataclasses import dataclass

from demo.vocabulary import OBJECTS, members


@dataclass(frozen=True)
class Action:
    """One way in which two things can be arranged in a picture.

    Attributes:
        slot: what part of the subject it takes up; a subject does one thing per slot.
        subjects, objects: groups and classes (`vocabulary.members`).
        weight: how often it is seen.
        words: predicate -> share. The picture shows the action; which of its words an annotator takes depends on habit.
        solo: the subject does nothing else (it is inside something, painted on it and so on).
    """

    slot: str
    subjects: str
    objects: str
    weight: float
    words: dict[str, float]
    solo: bool = False


_SUPPORTS = "ground furniture"
_BEINGS = "person animal"

ACTIONS = {
    "stand": Action("below", "person animal bird", f"{_SUPPORTS} board boat", 0.070, {"on": 0.6, "standing on": 0.4}),
    "sit": Action("below", "person animal bird", f"{_SUPPORTS} box fence", 0.050, {"on": 0.5, "sitting on": 0.5}),
    "lie": Action(
        "below", _BEINGS, f"{_SUPPORTS} surfboard", 0.030, {"on": 0.45, "laying on": 0.35, "lying on": 0.2}, solo=True
    ),
    "walk": Action("below", _BEINGS, "ground", 0.022, {"on": 0.45, "walking on": 0.55}),
    "wade": Action("below", _BEINGS, "ground", 0.012, {"in": 0.4, "walking in": 0.6}),
    "ride": Action("below", "person", "rideable horse elephant cow zebra", 0.032, {"riding": 0.75, "on": 0.25}),
    "back": Action(
        "below",
        "person bird bag cat dog box",
        "horse elephant cow truck motorcycle boat",
        0.011,
        {"on back of": 0.65, "on": 0.35},
    ),
    "rest": Action(
        "below", "handheld food container fixture footwear headwear plant", f"{_SUPPORTS} box", 0.120, {"on": 1.0}
    ),
    "park": Action("below", "vehicle bike motorcycle boat", "ground", 0.020, {"parked on": 0.5, "on": 0.5}),
    "line": Action("below", "plant fence vehicle person house building", "ground", 0.010, {"along": 0.6, "near": 0.4}),
    "grow": Action("below", "plant", "ground rock house fence pot vase", 0.010, {"growing on": 0.6, "on": 0.4}),
    "above": Action(
        "below",
        "bird fixture window umbrella plant handheld cloth",
        "person animal vehicle furniture structure",
        0.034,
        {"above": 0.7, "over": 0.3},
    ),
    "cover": Action(
        "below", "cloth snow", "furniture vehicle structure animal food", 0.018, {"covering": 0.6, "on": 0.4}, solo=True
    ),
    "covered": Action(
        "above", "furniture vehicle house tree hill rock", "snow cloth", 0.006, {"covered in": 0.7, "with": 0.3}
    ),
    "under": Action(
        "above", "person animal handheld container food", "furniture tree umbrella vehicle", 0.035, {"under": 1.0}
    ),
    "near": Action(
        "side",
        f"{_BEINGS} vehicle plant furniture container rideable",
        f"{_BEINGS} vehicle plant structure furniture rideable",
        0.085,
        {"near": 1.0},
    ),
    "attend": Action("side", "person animal", "furniture", 0.014, {"at": 0.65, "near": 0.35}),
    "lean": Action(
        "side",
        "rideable umbrella racket person bottle sign",
        "structure tree vehicle bench chair",
        0.010,
        {"against": 0.7, "near": 0.3},
    ),
    "behind": Action(
        "side",
        f"{_BEINGS} vehicle plant structure furniture",
        f"{_BEINGS} vehicle fence tree furniture",
        0.045,
        {"behind": 1.0},
    ),
    "front": Action(
        "side",
        f"{_BEINGS} vehicle plant rideable",
        "structure vehicle tree animal furniture",
        0.034,
        {"in front of": 1.0},
    ),
    "inside": Action(
        "below", "food plant handheld animal person", "container vehicle boat", 0.080, {"in": 1.0}, solo=True
    ),
    "wear": Action(
        "body",
        "person animal",
        "headwear top bottom footwear",
        0.150,
        {"wearing": 0.62, "has": 0.17, "wears": 0.13, "with": 0.08},
    ),
    "hold": Action("arm", "person", "handheld food board flower", 0.055, {"holding": 0.72, "with": 0.16, "has": 0.12}),
    "carry": Action(
        "arm", "person", "handheld surfboard board box basket cat dog", 0.018, {"carrying": 0.65, "holding": 0.35}
    ),
    "use": Action("arm", "person", "handheld", 0.018, {"using": 0.6, "holding": 0.4}),
    "eat": Action("arm", _BEINGS, "food plant", 0.016, {"eating": 0.8, "with": 0.2}),
    "look": Action(
        "arm", _BEINGS, f"{_BEINGS} bird vehicle clock sign food laptop", 0.022, {"looking at": 0.6, "watching": 0.4}
    ),
    "hang": Action(
        "above",
        "lamp light bag clock sign umbrella cat coat jacket cloth",
        "tree pole post building window table",
        0.016,
        {"hanging from": 0.7, "on": 0.3},
    ),
    "mount": Action(
        "below",
        "fixture part phone",
        "structure vehicle tree",
        0.024,
        {"mounted on": 0.35, "on": 0.35, "attached to": 0.3},
        solo=True,
    ),
    "paint": Action(
        "below",
        "flower bird animal sign tree banana",
        "vehicle building house box vase skateboard surfboard",
        0.013,
        {"painted on": 0.65, "on": 0.35},
        solo=True,
    ),
    "belong": Action(
        "below",
        "part",
        "vehicle building house tower animal rideable",
        0.060,
        {"of": 0.5, "on": 0.2, "part of": 0.18, "belonging to": 0.12},
        solo=True,
    ),
    "have": Action("body", "vehicle building house tower animal rideable", "part", 0.110, {"has": 0.85, "with": 0.15}),
}

PREDICATES = sorted({word for action in ACTIONS.values() for word in action.words})

# Pairs that an action's groups allow and nobody has seen: (action, class of the part) -> classes that have such a part.
_PARTS = {
    "window": "vehicle building house tower",
    "wheel": "vehicle bike motorcycle board skateboard",
    "tire": "vehicle bike motorcycle",
    "door": "vehicle building house tower",
    "tail": "animal",
}
_ANIMAL_WEAR = "headwear top"
_SMALL_ANIMALS = "cat dog"


def is_possible(action: str, subject: str, object_: str) -> bool:
    """Whether the pair makes sense where the groups of the action are too coarse to say so."""
    if subject == object_:
        return False
    if action in ("belong", "have"):
        part, whole = (subject, object_) if action == "belong" else (object_, subject)
        return whole in members(_PARTS[part])
    group = OBJECTS[subject].group
    if action == "wear" and group == "animal":
        return object_ in members(_ANIMAL_WEAR) and object_ != "tie"
    if action == "inside" and group == "animal":
        return object_ in ("basket", "box", "truck", "boat") and subject in (*members(_SMALL_ANIMALS), "bird")
    if action == "inside" and group == "person":
        return OBJECTS[object_].group in ("vehicle", "boat")
    if action == "eat":
        return group == "person" or OBJECTS[object_].group in ("food", "plant")
    return True
