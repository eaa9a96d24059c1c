"""SASRec and GRU4Rec: networks that read histories."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fuserec.errors import OptionError
from fuserec.recommenders.sequential import SequentialRecommender
from fuserec.recommenders.training import Arrays, Weights

if TYPE_CHECKING:
    from torch import Generator, Tensor


def dropped(inputs: "Tensor", share: float, chance: "Generator | None") -> "Tensor":
    """A tensor → the same with a share of its numbers set to zero and the others scaled; as it is without chance."""
    import torch

    if chance is None or not share:
        return inputs
    kept = torch.rand(inputs.shape, generator=chance, device=inputs.device) >= share
    return inputs * kept / (1.0 - share)


def dense(rng: np.random.Generator, *shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """A random matrix (..., n_in, n_out) that keeps the size of what goes through it (Glorot 2010, eq. 16)."""
    limit = np.sqrt(6.0 / (shape[-2] + shape[-1]))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


@dataclass(kw_only=True, eq=False)
class SASRec(SequentialRecommender):
    """Self-attention over the last items of a history, each of which sees those before it (Kang and McAuley 2018).

    Trained by a softmax over many items instead of one negative (Klenitskiy and Vasilev 2023).
    """

    layers: int = 1
    heads: int = 2

    def network(self, rng: np.random.Generator) -> Arrays:
        """Vectors of places, and a layer: attention and a small network, each behind a normalization."""
        d = self.dim
        if self.layers < 1 or self.heads < 1 or d % self.heads:
            raise OptionError(
                f"SASRec: layers is {self.layers}, heads {self.heads} and dim {d}; expected 1 or more, "
                "dim a multiple of heads"
            )
        arrays = {"places": 0.02 * rng.standard_normal((self.length, d), dtype=np.float32)}
        for layer in range(self.layers):
            own = {"qkv": dense(rng, 3, d, d).transpose(1, 0, 2).reshape(d, 3 * d), "out": dense(rng, d, d),
                   "up": dense(rng, d, d), "down": dense(rng, d, d)}  # fmt: skip
            own |= {name: np.zeros(d, np.float32) for name in ("up_bias", "down_bias", "shift_1", "shift_2")}
            own |= {name: np.ones(d, np.float32) for name in ("scale_1", "scale_2")}
            arrays |= {f"layer {layer}/{name}": np.ascontiguousarray(value) for name, value in own.items()}
        return arrays | {"scale": np.ones(d, np.float32), "shift": np.zeros(d, np.float32)}

    def read(
        self, weights: Weights, inputs: "Tensor", real: "Tensor", ages: "Tensor", chance: "Generator | None"
    ) -> "Tensor":
        """The state at each place, (b, l, 1, d)."""
        import torch
        from torch.nn.functional import layer_norm, scaled_dot_product_attention

        b, n, d = inputs.shape
        states = dropped(inputs + weights["places"][self.length - n :], self.dropout, chance)
        places = torch.arange(n, device=inputs.device)
        allowed = (places[:, None] >= places) & real[:, None, :] | (places[:, None] == places)  # (b, n, n)
        for layer in range(self.layers):
            prefix = f"layer {layer}/"
            own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            normal = layer_norm(states, (d,), own["scale_1"], own["shift_1"])
            q, k, v = (normal @ own["qkv"]).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
            attended = scaled_dot_product_attention(q, k, v, attn_mask=allowed[:, None])  # (b, heads, n, d / heads)
            states = states + dropped(attended.transpose(1, 2).reshape(b, n, d) @ own["out"], self.dropout, chance)
            normal = layer_norm(states, (d,), own["scale_2"], own["shift_2"])
            hidden = dropped(torch.relu(normal @ own["up"] + own["up_bias"]), self.dropout, chance)
            states = states + dropped(hidden @ own["down"] + own["down_bias"], self.dropout, chance)
        return layer_norm(states, (d,), weights["scale"], weights["shift"])[:, :, None]


@dataclass(kw_only=True, eq=False)
class GRU4Rec(SequentialRecommender):
    """A recurrent network with gates over the last items of a history (Hidasi 2016).

    Trained by the softmax over many items that its authors came to (Hidasi and Karatzoglou 2018, eq. 3).
    """

    layers: int = 1

    def network(self, rng: np.random.Generator) -> Arrays:
        """The weights of the gates, and a projection of the state."""
        if self.layers < 1:
            raise OptionError(f"GRU4Rec: layers is {self.layers}; expected 1 or more")
        limit, d = 1.0 / np.sqrt(self.dim), self.dim
        arrays = {"out": dense(rng, d, d)}
        for layer in range(self.layers):
            for name, shape in (("in", (3 * d, d)), ("state", (3 * d, d)), ("in_bias", 3 * d), ("state_bias", 3 * d)):
                arrays[f"layer {layer}/{name}"] = rng.uniform(-limit, limit, shape).astype(np.float32)
        return arrays

    def read(
        self, weights: Weights, inputs: "Tensor", real: "Tensor", ages: "Tensor", chance: "Generator | None"
    ) -> "Tensor":
        """The state at each place, (b, l, 1, d)."""
        import torch

        b, n, d = inputs.shape
        padded = n - real.sum(1, keepdim=True)  # (b, 1)
        places = torch.arange(n, device=inputs.device)
        # Padding goes to the right for a moment, so that no state comes from it.
        rolled = torch.gather(dropped(inputs, self.dropout, chance), 1, _along((places + padded) % n, d))
        gates = [weights[f"layer {layer}/{name}"] for layer in range(self.layers)
                 for name in ("in", "state", "in_bias", "state_bias")]  # fmt: skip
        begin = torch.zeros((self.layers, b, d), device=inputs.device)
        states, _ = torch.gru(rolled, begin, gates, True, self.layers, 0.0, False, False, True)
        states = torch.gather(states, 1, _along((places - padded) % n, d))
        return dropped(states @ weights["out"], self.dropout, chance)[:, :, None]


def _along(places: "Tensor", d: int) -> "Tensor":
    return places[:, :, None].expand(-1, -1, d)
