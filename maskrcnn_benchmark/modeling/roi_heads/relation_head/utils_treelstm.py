"""LSTMs over binary trees, all nodes of one depth and all images of a batch at once.

Shapes: n objects of all images, D features, E word embeddings, H hidden units, C object classes, k nodes of one level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.utils.global_batch import uniform_by_image

from .utils_motifs import get_dropout_mask
from .utils_relation import block_orthogonal
from .utils_vctree import BiForest, BiTree, Levels


class MultiLayer_BTreeLSTM(nn.Module):
    """Bidirectional tree LSTMs on top of each other."""

    def __init__(self, in_dim: int, out_dim: int, num_layer: int, dropout: float = 0.0):
        super().__init__()
        self.multi_layer_lstm = nn.ModuleList(
            BidirectionalTreeLSTM(in_dim if layer == 0 else out_dim, out_dim, dropout) for layer in range(num_layer)
        )

    def forward(self, tree: BiTree | BiForest, features: Tensor, num_obj: int) -> Tensor:
        """Outputs of all nodes, in the order of the objects.

        Args:
            tree: the root of an image's tree, or the trees of all images.
            features: [n, in_dim].
            num_obj: n.

        Returns:
            [n, out_dim]
        """
        for layer in self.multi_layer_lstm:
            features = layer(tree, features, num_obj)
        return features


class BidirectionalTreeLSTM(nn.Module):
    """An LSTM from the leaves to the root and one from the root to the leaves, half of the outputs each."""

    def __init__(self, in_dim: int, out_dim: int, dropout: float = 0.0):
        super().__init__()
        self.treeLSTM_foreward = OneDirectionalTreeLSTM(in_dim, out_dim // 2, "foreward", dropout)
        self.treeLSTM_backward = OneDirectionalTreeLSTM(in_dim, out_dim // 2, "backward", dropout)

    def forward(self, tree: BiTree | BiForest, features: Tensor, num_obj: int) -> Tensor:
        """As `MultiLayer_BTreeLSTM`."""
        upwards = self.treeLSTM_foreward(tree, features, num_obj)
        downwards = self.treeLSTM_backward(tree, features, num_obj)
        return torch.cat((upwards, downwards), dim=1)


class OneDirectionalTreeLSTM(nn.Module):
    """An LSTM in one direction: `foreward` (leaves to root) or `backward` (root to leaves)."""

    def __init__(self, in_dim: int, out_dim: int, direction: str, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.out_dim = out_dim
        self.treeLSTM = CELLS[direction](in_dim, out_dim)

    def forward(self, tree: BiTree | BiForest, features: Tensor, num_obj: int) -> Tensor:
        """As `MultiLayer_BTreeLSTM`."""
        levels = levels_of(tree, num_obj, features.device)
        mask = tree_dropout(levels, self.dropout, self.out_dim) if self.training else None
        return self.treeLSTM(levels, features, mask)[0]


def levels_of(tree: BiTree | BiForest, num_obj: int, device: torch.device) -> Levels:
    """The levels of one image's tree or of all images' trees, which must have `num_obj` nodes in all."""
    forest = tree if isinstance(tree, BiForest) else BiForest([tree])
    levels = forest.levels(device)
    if len(levels.order) != num_obj:
        raise ValueError(f"The trees have {len(levels.order)} nodes, but there are {num_obj} objects.")
    return levels


def tree_dropout(levels: Levels, dropout: float, width: int) -> Tensor | None:
    """Factors [n, width] of the outputs, the same for all nodes of a tree; None without dropout."""
    if dropout <= 0 or len(levels.image) == 0:
        return None
    masks = get_dropout_mask(dropout, range(len(levels.counts)), width, levels.image.device)
    return masks[levels.image]


class TreeLSTMCell(nn.Module):
    """A highway LSTM over trees, level by level: a node sees its neighbours in the level computed before its own.

    Subclasses say which neighbours that are, and what the layers of the gates are called: one from the features of a
    node, and one from the output of each neighbour. Gates are in this order: input, output, one forget gate per
    neighbour, update, highway.

    Args:
        is_pass_embed: name each node by `embed_out_layer`, and append the embeddings of the neighbours' names to a
            node's features; row 0 of `embed_layer` is that of no neighbour, row c + 1 that of class c.
    """

    upwards: bool  # from the deepest level to the roots
    from_features: str
    from_states: tuple[str, ...]
    forget_bias: float  # at first

    def __init__(
        self,
        feat_dim: int,
        h_dim: int,
        is_pass_embed: bool = False,
        embed_layer: nn.Embedding | None = None,
        embed_out_layer: nn.Linear | None = None,
    ):
        super().__init__()
        self.h_dim = h_dim
        self.is_pass_embed = is_pass_embed
        self.embed_layer = embed_layer
        self.embed_out_layer = embed_out_layer
        self.px = nn.Linear(feat_dim, h_dim)
        gates = 4 + len(self.from_states)
        self.add_module(self.from_features, nn.Linear(feat_dim, gates * h_dim))
        for name in self.from_states:
            self.add_module(name, nn.Linear(h_dim, gates * h_dim))
        self._initialise()

    def gate_layers(self) -> tuple[nn.Linear, list[nn.Linear]]:
        """The layers to the gates, from the features of a node and from the output of each neighbour."""
        return getattr(self, self.from_features), [getattr(self, name) for name in self.from_states]

    def places(self, levels: Levels) -> Sequence[Tensor]:
        """Of each level, in the order of computation, places of the neighbours in the level before, int64 [k, c]."""
        raise NotImplementedError

    def _initialise(self) -> None:
        """Orthogonal blocks; with the forget gates open at first (Jozefowicz et al., ICML 2015)."""
        from_features, from_states = self.gate_layers()
        for layer in (self.px, from_features, *from_states):
            block_orthogonal(layer.weight, [self.h_dim, layer.in_features])
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for layer in from_states:
                layer.bias[2 * self.h_dim : (2 + len(from_states)) * self.h_dim] = self.forget_bias

    def forward(
        self, levels: Levels, features: Tensor, dropout_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Outputs of all nodes, and with `is_pass_embed` their class logits and best classes.

        In training a node's neighbours see a class drawn from its distribution as its name, otherwise the best one.

        Args:
            features: [n, D], without the embeddings of names.
            dropout_mask: factors of the outputs, [n, H].

        Returns:
            [n, H], and with `is_pass_embed` [n, C] and int64 [n], otherwise None, in the order of the objects
        """

        def by_level(rows: Tensor) -> list[Tensor]:
            return self._turn(rows.index_select(0, levels.order).split(levels.sizes))

        shortcuts, gates, tables = self._project(features)
        _, from_states = self.gate_layers()
        nothing = [None] * len(levels.sizes)
        masks = nothing if dropout_mask is None else by_level(dropout_mask)
        lots = nothing
        if self.training and self.is_pass_embed:
            width = self.embed_out_layer.out_features - 1
            images = [place for place, number in enumerate(levels.counts) for _ in range(number)]
            lots = by_level(uniform_by_image(images, width, features.device))
        weight = torch.cat([layer.weight for layer in from_states], dim=1).t()
        # Memory and output of the nodes of a level, side by side; behind them those of a neighbour that is not there.
        nobody = state = gates.new_zeros(1, 2 * self.h_dim)
        seen = levels.order.new_zeros(1)
        outputs, logits, labels = [], [], []
        for shortcut, gate, mask, lot, place in zip(
            by_level(shortcuts), by_level(gates), masks, lots, self.places(levels), strict=True
        ):
            before = state.index_select(0, place.flatten()).view(*place.shape, 2, self.h_dim)  # [k, neighbours, 2, H]
            gate = torch.addmm(gate, before[:, :, 1].flatten(1), weight)
            if self.is_pass_embed:
                for names, (name_shortcuts, name_gates) in zip(seen[place].unbind(1), tables, strict=True):
                    shortcut = shortcut + name_shortcuts.index_select(0, names)
                    gate = gate + name_gates.index_select(0, names)
            memory, output = _cell(gate, before[:, :, 0].unbind(1), shortcut, mask)
            outputs.append(output)
            if self.is_pass_embed:
                logits.append(self.embed_out_layer(output))
                foreground = logits[-1].detach()[:, 1:].float()
                labels.append(foreground.argmax(dim=1) + 1)
                name = draw(foreground.softmax(dim=1), lot) + 1 if self.training else labels[-1]
                seen = F.pad(name + 1, (0, 1))
            state = torch.cat((memory, output), dim=1)
            if self.upwards:  # there everybody has a parent but the roots, which come first
                state = torch.cat((state, nobody.to(state.dtype)))
        return tuple(
            torch.cat(self._turn(parts)).index_select(0, levels.inverse) if parts else None
            for parts in (outputs, logits, labels)
        )

    def _turn(self, parts: Sequence[Tensor]) -> Sequence[Tensor]:
        """From roots first to the order of computation and back."""
        return parts[::-1] if self.upwards else parts

    def _project(self, features: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """The share of the features, and for each neighbour that of all names, in shortcuts and gates.

        Returns:
            [n, H], [n, gates * H], and for each neighbour, with `is_pass_embed`, [C + 1, H] and [C + 1, gates * H]
        """
        from_features, from_states = self.gate_layers()
        widths = [features.shape[1]]
        if self.is_pass_embed:
            widths += [self.embed_layer.embedding_dim] * len(from_states)
        shortcut_weight, *shortcut_names = self.px.weight.split(widths, dim=1)
        gate_weight, *gate_names = from_features.weight.split(widths, dim=1)
        bias = from_features.bias + sum(layer.bias for layer in from_states)
        tables = [
            (F.linear(self.embed_layer.weight, of_shortcut), F.linear(self.embed_layer.weight, of_gates))
            for of_shortcut, of_gates in zip(shortcut_names, gate_names, strict=True)
        ]
        return F.linear(features, shortcut_weight, self.px.bias), F.linear(features, gate_weight, bias), tables


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One class of each row by its probabilities, from numbers in [0, 1), [k, C] each: int64 [k].

    The largest p / e, e exponentially distributed; `multinomial` would wait for a GPU.
    """
    return (probabilities / -torch.log1p(-uniform).clamp(max=-1e-12)).argmax(dim=1)


def _cell(gates: Tensor, memories: Sequence[Tensor], shortcut: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Memory and output [k, H] of nodes from sums for their gates [k, gates * H]."""
    width = shortcut.shape[1]
    admitting, update, highway = gates.split([(2 + len(memories)) * width, width, width], dim=1)
    input_gate, output_gate, *forget_gates = admitting.sigmoid().split(width, dim=1)
    memory = input_gate * update.tanh()
    for forget_gate, before in zip(forget_gates, memories, strict=True):
        memory = memory + forget_gate * before
    output = torch.lerp(shortcut, output_gate * memory.tanh(), highway.sigmoid())
    return memory, output if mask is None else output * mask


class BiTreeLSTM_Foreward(TreeLSTMCell):
    """From the leaves to the root: each node sees its two children."""

    upwards = True
    from_features, from_states = "ioffux", ("ioffuh_left", "ioffuh_right")
    forget_bias = 0.5

    def places(self, levels: Levels) -> Sequence[Tensor]:
        return torch.stack((torch.cat(levels.left), torch.cat(levels.right)), dim=1).split(levels.sizes)[::-1]


class BiTreeLSTM_Backward(TreeLSTMCell):
    """From the root to the leaves: each node sees its parent."""

    upwards = False
    from_features, from_states = "iofux", ("iofuh",)
    forget_bias = 1.0

    def places(self, levels: Levels) -> Sequence[Tensor]:
        return [place[:, None] for place in levels.parent]


CELLS = {"foreward": BiTreeLSTM_Foreward, "backward": BiTreeLSTM_Backward}
