"""Losses of contrastive training: two vectors an item, whose own pairs should be closer than those of other items.

All take a and b, float (n, dim) of unit length, row i of both from item i, and return a scalar that is differentiable.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def infonce(a: "Tensor", b: "Tensor", scale: "Tensor | float") -> "Tensor":
    """Which of the batch's b belongs to this a, and the other way around: the mean cross-entropy of both choices.

    -1/2n sum_i [log softmax_j(scale a_i . b_j)_i + log softmax_j(scale b_i . a_j)_i], with scale = 1 / temperature
    (van den Oord et al. 2018, eq. 4; in both directions: Radford et al. 2021, CLIP, figure 3).
    """
    from torch import arange
    from torch.nn.functional import cross_entropy

    logits = scale * (a @ b.T)
    own = arange(len(a), device=a.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def sigmoid_pairs(a: "Tensor", b: "Tensor", scale: "Tensor | float", bias: "Tensor | float") -> "Tensor":
    """Is this a pair of one item: yes or no for each of the n x n pairs.

    -1/n sum_ij log sigmoid(z_ij (scale a_i . b_j + bias)), z_ij = 1 where i = j, else -1 (Zhai et al. 2023, SigLIP,
    section 3.2).
    """
    from torch import eye
    from torch.nn.functional import logsigmoid

    signs = 2 * eye(len(a), dtype=a.dtype, device=a.device) - 1
    return -logsigmoid(signs * (scale * (a @ b.T) + bias)).sum() / len(a)


def triplet(a: "Tensor", b: "Tensor", margin: float) -> "Tensor":
    """Is the own partner closer than another item's by a margin, in both directions: the mean of what is missing.

    max(0, |a_i - b_i|^2 - |a_i - b_j|^2 + margin), squared distances of unit vectors (Schroff et al. 2015, eq. 3), with
    the semi-hard negative j: the nearest of those farther than b_i; where there are none, the farthest of all. The
    nearest of all would make training collapse (their section 3.2). n is at least 2.
    """
    from torch import eye

    distances = 2 - 2 * (a @ b.T)
    own = eye(len(a), dtype=distances.dtype, device=a.device).bool()
    total = distances.new_zeros(())
    for square in (distances, distances.T):  # from a to b, from b to a
        positive = square.diagonal()
        infinite = square.new_tensor(float("inf"))
        farther = square.where((square > positive[:, None]) & ~own, infinite).amin(dim=1)
        farthest = square.where(~own, -infinite).amax(dim=1)
        negative = farther.where(farther < infinite, farthest)
        total = total + (positive - negative + margin).clamp(min=0).mean()
    return total / 2
