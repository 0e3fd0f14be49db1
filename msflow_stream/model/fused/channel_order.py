"""The order of a flow's channels when nothing is permuted or scaled: constants worked out before inference.

A chain of coupling blocks changes, in each block, the active channels only: `x' = e x + t`. Between the blocks all
channels are mapped, `y = permute(g x + b)`. None of that has to be computed: a stored value v stands for the logical
value `scale * v + offset`, and the constants are moved into the weights that read it. They are chosen so that the
offset of an active channel is always 0: then `v' = e v + (t / scale + shift)`, and a block costs no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BlockOrder:
    """The columns of the stored values that are a block's halves, and what they stand for (float64).

    Attributes:
        passive, active: columns of the two halves, in the order in which the block's own weights see them.
        scale, offset: of the passive half.
        active_scale: of the active half.
        shift: added to `t / active_scale`.
    """

    passive: Tensor
    active: Tensor
    scale: Tensor
    offset: Tensor
    active_scale: Tensor
    shift: Tensor


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    """The columns of the stored values in a whole chain of blocks.

    After each block the stored values are its passive half and then its active half.

    Attributes:
        initial: added to the features before the first block, per channel.
        blocks: one per block.
        place: column of every logical channel after the last block.
        scale: of every column after the last block; the offset is 0.
    """

    initial: Tensor
    blocks: list[BlockOrder]
    place: Tensor
    scale: Tensor


def fold_permutations(
    permutations: Sequence[Tensor], gains: Sequence[Tensor], offsets: Sequence[Tensor]
) -> ChannelOrder:
    """Returns the constants of a chain of blocks, each followed by `y[c] = (gain * x + offset)[permutation[c]]`."""
    gains, offsets = [g.double() for g in gains], [b.double() for b in offsets]
    slots = [torch.arange(len(gains[0]))]  # per block: which input feature each logical channel descends from
    for permutation in permutations:
        slots.append(slots[-1][permutation])
    half = len(gains[0]) - len(gains[0]) // 2
    initial, shifts = _ahead(slots, gains, offsets, half)
    scale, offset, column = torch.ones_like(initial), -initial, slots[0].clone()
    blocks = []
    for slot, gain, b, shift in zip(slots[:-1], gains, offsets, shifts, strict=True):
        passive, active = slot[:half], slot[half:]
        halves = column[passive], column[active], scale[passive], offset[passive]
        blocks.append(BlockOrder(*halves, scale[active], shift / scale[active]))
        offset[active] = -shift
        scale[slot], offset[slot] = gain * scale[slot], gain * offset[slot] + b
        column[slot] = slots[0]
    by_column = torch.empty_like(scale)
    by_column[column] = scale
    return ChannelOrder(initial, blocks, column[slots[-1]], by_column)


def _ahead(
    slots: Sequence[Tensor], gains: Sequence[Tensor], offsets: Sequence[Tensor], half: int
) -> tuple[Tensor, list[Tensor]]:
    """Per feature, and per active channel of each block: what to add now to have no offset at the next update.

    From there to its next update (or the end) a channel is mapped to `gain x + offset`: that is `offset / gain`.
    """
    gain, offset = torch.ones_like(gains[0]), torch.zeros_like(gains[0])
    shifts: list[Tensor] = []
    for slot, g, b in zip(reversed(slots[:-1]), reversed(gains), reversed(offsets), strict=True):
        offset[slot] = gain[slot] * b + offset[slot]
        gain[slot] = gain[slot] * g
        active = slot[half:]
        shifts.append(offset[active] / gain[active])
        gain[active], offset[active] = 1, 0
    return offset / gain, shifts[::-1]


@dataclass(frozen=True, slots=True)
class FixedColumns:
    """The columns of stored values that are changed where they stand, from the features to the fusion flow.

    Attributes:
        features: the feature that each column holds.
        blocks: passive and active columns of every block, in the order in which its weights see them.
        last: the column of what stood in each column of a ChannelOrder after the last block.
    """

    features: Tensor
    blocks: list[tuple[Tensor, Tensor]]
    last: Tensor


def fix_columns(moves: Sequence[tuple[Tensor, Tensor]], halves: Sequence[Tensor]) -> FixedColumns:
    """Returns columns that never move, so ordered that what is read together lies together.

    Args:
        moves: passive and active columns of every block, as in a ChannelOrder.
        halves: further columns that are read together, after the last block.
    """
    at = torch.arange(sum(map(len, moves[0])))  # the feature in each column
    blocks = []
    for passive, active in moves:
        blocks.append((at[passive], at[active]))
        at = torch.cat(blocks[-1])
    together = [at[half] for half in halves] + [passive for passive, _ in blocks]
    member = torch.stack([torch.isin(torch.arange(len(at)), group) for group in together], 1)
    features = torch.tensor(sorted(range(len(at)), key=member.tolist().__getitem__))
    column = features.argsort()
    return FixedColumns(features, [(column[passive], column[active]) for passive, active in blocks], column[at])
