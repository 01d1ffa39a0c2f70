"""A small CLIP of the `clip` package's own class, trained on drawn captioned pictures; stands in for ViT-B/32.

B pictures of a batch, N of the whole set, S pixels a side, T tokens of the longest caption, d embedding width
"""

import logging
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import clip
import torch
from clip.model import CLIP
from clip.simple_tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional

from demo.actions import PREDICATES
from demo.captions import PARTS, SENTENCES, CaptionedPictures
from demo.vocabulary import OBJECT_NAMES
from maskrcnn_benchmark.modeling.language.image_encoder import normalise_pictures

CONTEXT_LENGTH = 77  # of `clip.tokenize`


@dataclass(frozen=True)
class ClipSettings:
    """Size and training of the small CLIP.

    Attributes:
        width: channels of the ResNet's first stage, a multiple of 2; the last has 32 times as many.
        layers: blocks of its four stages.
        resolution: S, a multiple of 32.
        text_width: of the transformer; a multiple of 64 (the package takes 64 for each attention head).
        text_layers: its depth.
        embedding: d.
        group: see `grouped_batches`.
        steps, batch, learning_rate: one cycle of AdamW.
    """

    width: int = 8
    layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    resolution: int = 64
    text_width: int = 128
    text_layers: int = 2
    embedding: int = 128
    steps: int = 1000
    batch: int = 128
    group: int = 2
    learning_rate: float = 1e-3


class CompactTokens(nn.Module):
    """Takes the place of CLIP's token table in training: only the rows that captions use exist, so that the optimizer
    need not go through 49,408 rows a step."""

    row_of: Tensor

    def __init__(self, table: nn.Embedding, used: Tensor):
        """
        Args:
            used: token numbers, int64 [U].
        """
        super().__init__()
        self.register_buffer("row_of", torch.full((table.num_embeddings,), -1, dtype=torch.int64))
        self.row_of[used] = torch.arange(len(used))
        self.rows = nn.Embedding.from_pretrained(table.weight.detach()[used].clone(), freeze=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rows(self.row_of[tokens])

    @torch.no_grad()
    def write_to(self, table: nn.Embedding) -> None:
        """Copy the trained rows to where they came from."""
        used = self.row_of >= 0
        table.weight[used] = self.rows.weight[self.row_of[used]]


def new_clip(settings: ClipSettings) -> CLIP:
    """A CLIP with fresh weights."""
    return CLIP(
        embed_dim=settings.embedding,
        image_resolution=settings.resolution,
        vision_layers=settings.layers,
        vision_width=settings.width,
        vision_patch_size=None,
        context_length=CONTEXT_LENGTH,
        vocab_size=len(SimpleTokenizer().encoder),
        transformer_width=settings.text_width,
        transformer_heads=settings.text_width // 64,
        transformer_layers=settings.text_layers,
    )


def tokenize(sentences: list[str]) -> Tensor:
    """Tokens, int64 [N, T], cut after the longest sentence: CLIP's text tower is causal, so nothing else changes."""
    tokens = clip.tokenize(sentences).long()
    return tokens[:, : int((tokens != 0).sum(1).max())]


def contrastive_loss(images: Tensor, texts: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric loss; pictures with the same caption are each other's positives too.

    Args:
        images, texts: normalised, float [B, d].
        same: whether two captions are equal, bool [B, B].
        scale: of the cosines.
    """
    logits = scale * images @ texts.T  # [B, B]
    target = same.float() / same.sum(1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def _used_tokens() -> Tensor:
    """Numbers of all tokens that a caption can hold, int64 [U]; a word has the same tokens in every sentence."""
    fixed = [re.sub(r"\{\w+\}", "", template) for template in SENTENCES + PARTS]
    return clip.tokenize([*OBJECT_NAMES, *PREDICATES, *fixed, "an"]).unique().long()


def grouped_batches(
    triplets: list[tuple[str, str, str]], batch: int, group: int, rng: random.Random
) -> Iterator[list[int]]:
    """Batches, without end, in which pictures come in groups of one class pair.

    Among 128 random pictures hardly two show the same things, so telling the things apart would do, and predicates
    would be learnt late; among the 32,768 of a real CLIP's batch, many do.

    Args:
        triplets: (subject, predicate, object) of each picture.
        batch: B, a multiple of `group`.
        group: pictures of a pair in a batch, fewer where there are not as many.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for i, (subject, _, object_) in enumerate(triplets):
        members.setdefault((subject, object_), []).append(i)
    queue: list[int] = []
    while True:
        chosen: dict[int, None] = {}
        while len(chosen) < batch:
            if not queue:
                queue = rng.sample(range(len(triplets)), len(triplets))
            first = queue.pop()
            pair = members[triplets[first][0], triplets[first][2]]
            chosen.update(dict.fromkeys([first, *rng.sample(pair, min(group - 1, len(pair)))]))
        yield list(chosen)[:batch]


def train_clip(data: CaptionedPictures, settings: ClipSettings, seed: int, logger: logging.Logger) -> CLIP:
    """Train a small CLIP.

    Every picture gets new captions each time it comes up, and is mirrored half of the time (no predicate knows left
    from right).

    Raises:
        FloatingPointError: the loss is not finite.
    """
    torch.manual_seed(seed)
    rng = random.Random(f"clip {seed}")
    model = new_clip(settings).train().to(memory_format=torch.channels_last)  # a third faster on a CPU
    table = model.token_embedding
    compact = CompactTokens(table, _used_tokens())
    model.token_embedding = compact
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], lr=settings.learning_rate
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    pictures = torch.from_numpy(data.pictures)
    batches = grouped_batches(data.triplets, settings.batch, settings.group, rng)
    start = time.perf_counter()
    for step in range(1, settings.steps + 1):
        batch = next(batches)
        sentences = CaptionedPictures(data.pictures[batch], [data.triplets[i] for i in batch]).captions(rng)
        x = normalise_pictures(pictures[batch])
        if rng.random() < 0.5:
            x = x.flip(-1)
        texts = functional.normalize(model.encode_text(tokenize(sentences)), dim=-1)
        images = functional.normalize(model.encode_image(x), dim=-1)
        number = torch.tensor([sentences.index(sentence) for sentence in sentences])
        loss = contrastive_loss(images, texts, number[:, None] == number, model.logit_scale.exp())
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of the small CLIP is {loss.item()} in step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)  # 100, as CLIP does
        if step % 50 == 0 or step == settings.steps:
            left = (time.perf_counter() - start) / step * (settings.steps - step)
            logger.info("step %d of %d, loss %.3f, %d s left", step, settings.steps, loss.item(), left)
    compact.write_to(table)
    model.token_embedding = table
    return model.eval().to(memory_format=torch.contiguous_format)
