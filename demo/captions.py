"""What the web says about the drawn world: captions, and captioned pictures."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from demo.drawing import draw_scene
from demo.scenes import Relation, SceneSettings, make_scene
from demo.world import World
from maskrcnn_benchmark.modeling.language.crops import CropRule, crop_boxes, union_boxes

# Sentences about a whole relation, and about one of its sides; "something" stands for what the caption leaves open.
SENTENCES = (
    "{a_subject} {predicate} {a_object}",
    "{subject} {predicate} {object}",
    "the {subject} {predicate} the {object}",
    "a photo of {a_subject} {predicate} {a_object}",
    "a picture of {a_subject} {predicate} {a_object}",
)
PARTS = (
    "{a_subject} {predicate} something",
    "something {predicate} {a_object}",
    "a photo of {a_subject} {predicate} something",
    "a photo of something {predicate} {a_object}",
    "a picture of {a_subject} {predicate} something",
    "a picture of something {predicate} {a_object}",
)
MARGIN = 0.08  # around a pair, as a share of its width and height
WEB_FLATNESS = 0.5  # captions cover rare things better than annotated pictures do (`World.fact`)


def with_article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def caption(subject: str, predicate: str, object_: str, template: str) -> str:
    """Fill a template of `SENTENCES` or `PARTS`."""
    return template.format(
        subject=subject,
        predicate=predicate,
        object=object_,
        a_subject=with_article(subject),
        a_object=with_article(object_),
    )


@dataclass
class CaptionedPictures:
    """Crops around single relations with what is said of them.

    Attributes:
        pictures: uint8 [N, size, size, 3], RGB.
        triplets: (subject, predicate, object) of each picture.
    """

    pictures: np.ndarray
    triplets: list[tuple[str, str, str]]

    def captions(self, rng: random.Random, parts: float = 0.4) -> list[str]:
        """One caption for each picture, drawn afresh; `parts` is the share of those that tell one side only."""
        return [
            caption(*triplet, template=rng.choice(PARTS if rng.random() < parts else SENTENCES))
            for triplet in self.triplets
        ]


def crop_pairs(image: Image.Image, relations: Sequence[Relation], size: int) -> np.ndarray:
    """The parts of a picture that show relations, uint8 [n, size, size, 3]: somewhat enlarged, proportions not kept."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    ends = torch.tensor([[relation.subject.box, relation.object.box] for relation in relations]).float()
    boxes, rows = union_boxes(ends[:, 0], ends[:, 1]), torch.zeros(len(ends), dtype=torch.int64)
    crops = crop_boxes(pixels, [image.size], rows, boxes, size, CropRule(MARGIN, "stretch"))
    return crops.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def captioned_pictures(
    world: World, settings: SceneSettings, seed: int, count: int, size: int = 64, training_only: bool = False
) -> CaptionedPictures:
    """Draw pictures of pairs for contrastive training, from scenes that no data set of the same seed has.

    Args:
        count: how many pictures; a scene gives several.
        training_only: leave out the compositions that the scene graph training set lacks (the control).
    """
    pictures: list[np.ndarray] = []
    triplets: list[tuple[str, str, str]] = []
    index = 0
    while len(pictures) < count:
        rng = random.Random(f"captioned {seed} {index}")
        index += 1
        scene = make_scene(world, rng, settings, training=training_only, flatness=WEB_FLATNESS)
        image = draw_scene(scene, rng)
        relations = [relation for relation in scene.relations if relation.action != "chance"]
        if relations:
            pictures.extend(crop_pairs(image, relations, size))
            triplets.extend((r.subject.name, r.predicate, r.object.name) for r in relations)
    return CaptionedPictures(np.stack(pictures[:count]), triplets[:count])


def web_captions(world: World, seed: int, count: int) -> list[tuple[tuple[str, str, str], str]]:
    """Captions without pictures: (triplet, sentence) each. What a parser should find in a sentence is its triplet."""
    rng = random.Random(f"web {seed}")
    found = []
    for _ in range(count):
        fact = world.fact(rng, flatness=WEB_FLATNESS)
        assert fact is not None  # some class can always do something
        found.append((fact.triplet, caption(*fact.triplet, template=rng.choice(SENTENCES))))
    return found
