"""LSTMs over binary trees, all nodes of one depth and all images of a batch at once.

Shapes: n objects of all images, D features, H hidden units, k nodes of one level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .utils_motifs import get_dropout_mask
from .utils_relation import block_orthogonal
from .utils_vctree import Forest


class MultiLayer_BTreeLSTM(nn.Module):
    """Bidirectional tree LSTMs on top of each other: [n, in_dim] to [n, out_dim]."""

    def __init__(self, in_dim: int, out_dim: int, num_layer: int, dropout: float = 0.0):
        super().__init__()
        self.multi_layer_lstm = nn.ModuleList(
            BidirectionalTreeLSTM(in_dim if layer == 0 else out_dim, out_dim, dropout) for layer in range(num_layer)
        )

    def forward(self, forest: Forest, features: Tensor) -> Tensor:
        for layer in self.multi_layer_lstm:
            features = layer(forest, features)
        return features


class BidirectionalTreeLSTM(nn.Module):
    """An LSTM from the leaves to the root and one from the root to the leaves, half of the outputs each."""

    def __init__(self, in_dim: int, out_dim: int, dropout: float = 0.0):
        super().__init__()
        self.treeLSTM_foreward = OneDirectionalTreeLSTM(in_dim, out_dim // 2, "foreward", dropout)
        self.treeLSTM_backward = OneDirectionalTreeLSTM(in_dim, out_dim // 2, "backward", dropout)

    def forward(self, forest: Forest, features: Tensor) -> Tensor:
        return torch.cat((self.treeLSTM_foreward(forest, features), self.treeLSTM_backward(forest, features)), dim=1)


class OneDirectionalTreeLSTM(nn.Module):
    """An LSTM in one direction: `foreward` (leaves to root) or `backward` (root to leaves)."""

    def __init__(self, in_dim: int, out_dim: int, direction: str, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.out_dim = out_dim
        cell = {"foreward": BiTreeLSTM_Foreward, "backward": BiTreeLSTM_Backward}[direction]
        self.treeLSTM = cell(in_dim, out_dim)

    def forward(self, forest: Forest, features: Tensor) -> Tensor:
        return self.treeLSTM(forest, features, tree_dropout(self, forest, self.dropout, self.out_dim))


def tree_dropout(module: nn.Module, forest: Forest, dropout: float, width: int) -> Tensor | None:
    """Factors [n, width] of the outputs, the same for all nodes of a tree; None outside of training."""
    if not module.training or dropout <= 0:
        return None
    masks = get_dropout_mask(dropout, (int(forest.image[-1]) + 1, width), forest.image.device)
    return masks[forest.image]


def _init_gates(px: nn.Linear, from_input: nn.Linear, *from_state: nn.Linear) -> None:
    """Orthogonal blocks, no biases."""
    hidden = px.out_features
    for layer in (px, from_input, *from_state):
        block_orthogonal(layer.weight, [hidden, layer.in_features])
        nn.init.zeros_(layer.bias)


def _cell(gates: tuple[Tensor, ...], memories: list[Tensor], shortcut: Tensor, mask: Tensor | None):
    """Memory and output of nodes from sums of gates: input, output, one forget gate per memory, update, highway."""
    input_gate, output_gate, *forget_gates, update, highway = gates
    memory = torch.sigmoid(input_gate) * torch.tanh(update)
    for forget_gate, before in zip(forget_gates, memories, strict=True):
        memory = memory + torch.sigmoid(forget_gate) * before
    highway = torch.sigmoid(highway)
    output = highway * (torch.sigmoid(output_gate) * torch.tanh(memory)) + (1 - highway) * shortcut
    return memory, (output if mask is None else output * mask)


class BiTreeLSTM_Foreward(nn.Module):
    """From the leaves to the root: each node sees its two children."""

    def __init__(self, feat_dim: int, h_dim: int):
        super().__init__()
        self.h_dim = h_dim
        self.px = nn.Linear(feat_dim, h_dim)
        self.ioffux = nn.Linear(feat_dim, 6 * h_dim)
        self.ioffuh_left = nn.Linear(h_dim, 6 * h_dim)
        self.ioffuh_right = nn.Linear(h_dim, 6 * h_dim)
        _init_gates(self.px, self.ioffux, self.ioffuh_left, self.ioffuh_right)
        with torch.no_grad():  # forget at first little (Jozefowicz et al., ICML 2015)
            for layer in (self.ioffuh_left, self.ioffuh_right):
                layer.bias[2 * h_dim : 4 * h_dim].fill_(0.5)

    def forward(self, forest: Forest, features: Tensor, dropout_mask: Tensor | None = None) -> Tensor:
        """[n, D] to [n, H]; `dropout_mask` [n, H] or None."""
        shortcut, from_input = self.px(features), self.ioffux(features)
        none = from_input.new_zeros(1, self.h_dim)  # state of a child that is not there
        memory = output = from_input.new_zeros(0, self.h_dim)
        outputs = []
        for level, left, right in zip(
            reversed(forest.levels), reversed(forest.left), reversed(forest.right), strict=True
        ):
            memory_below, output_below = torch.cat((memory, none)), torch.cat((output, none))
            sums = from_input[level] + self.ioffuh_left(output_below[left]) + self.ioffuh_right(output_below[right])
            memory, output = _cell(
                sums.chunk(6, dim=1),
                [memory_below[left], memory_below[right]],
                shortcut[level],
                None if dropout_mask is None else dropout_mask[level],
            )
            outputs.append(output)
        return torch.cat(outputs[::-1])[forest.inverse]


class BiTreeLSTM_Backward(nn.Module):
    """From the root to the leaves: each node sees its parent.

    Args:
        embed_layer, embed_out_layer: where given, each node is named by `embed_out_layer`, and the embedding of its
            name is an input of its children; row 0 of `embed_layer` is that of the root, row c + 1 that of class c.
    """

    def __init__(
        self,
        feat_dim: int,
        h_dim: int,
        embed_layer: nn.Embedding | None = None,
        embed_out_layer: nn.Linear | None = None,
    ):
        super().__init__()
        self.h_dim = h_dim
        self.embed_layer = embed_layer
        self.embed_out_layer = embed_out_layer
        self.px = nn.Linear(feat_dim, h_dim)
        self.iofux = nn.Linear(feat_dim, 5 * h_dim)
        self.iofuh = nn.Linear(h_dim, 5 * h_dim)
        _init_gates(self.px, self.iofux, self.iofuh)
        with torch.no_grad():
            self.iofuh.bias[2 * h_dim : 3 * h_dim].fill_(1.0)

    def _step(self, shortcut, from_input, memory, output, parent, mask):
        sums = from_input + self.iofuh(output[parent])
        return _cell(sums.chunk(5, dim=1), [memory[parent]], shortcut, mask)

    def forward(self, forest: Forest, features: Tensor, dropout_mask: Tensor | None = None) -> Tensor:
        """[n, D] to [n, H]; `dropout_mask` [n, H] or None."""
        shortcut, from_input = self.px(features), self.iofux(features)
        memory = output = from_input.new_zeros(1, self.h_dim)
        outputs = []
        for level, parent in zip(forest.levels, forest.parent, strict=True):
            mask = None if dropout_mask is None else dropout_mask[level]
            memory, output = self._step(shortcut[level], from_input[level], memory, output, parent, mask)
            outputs.append(output)
        return torch.cat(outputs)[forest.inverse]

    def name_nodes(self, forest: Forest, features: Tensor, dropout_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Class logits [n, C] and the best classes int64 [n] of all nodes, each named before its children.

        In training the children see a class drawn from their parent's distribution, otherwise the best.

        Args:
            features: [n, D less the width of an embedding].
        """
        width = features.shape[1]
        # The linear layers over [features, name of the parent] in two parts: features of all nodes, a table of names.
        shortcut = F.linear(features, self.px.weight[:, :width], self.px.bias)
        from_input = F.linear(features, self.iofux.weight[:, :width], self.iofux.bias)
        names = self.embed_layer.weight
        shortcut_names = F.linear(names, self.px.weight[:, width:])
        from_names = F.linear(names, self.iofux.weight[:, width:])

        memory = output = from_input.new_zeros(1, self.h_dim)
        given = torch.zeros(1, dtype=torch.int64, device=features.device)  # row of the parents' names
        all_logits, all_labels = [], []
        for level, parent in zip(forest.levels, forest.parent, strict=True):
            seen = given[parent]
            mask = None if dropout_mask is None else dropout_mask[level]
            memory, output = self._step(
                shortcut[level] + shortcut_names[seen],
                from_input[level] + from_names[seen],
                memory,
                output,
                parent,
                mask,
            )
            logits = self.embed_out_layer(output)
            foreground = logits.float().softmax(dim=1)[:, 1:]
            labels = foreground.argmax(dim=1) + 1
            given = 1 + (foreground.detach().multinomial(1).squeeze(1) + 1 if self.training else labels)
            all_logits.append(logits)
            all_labels.append(labels)
        return torch.cat(all_logits)[forest.inverse], torch.cat(all_labels)[forest.inverse]
