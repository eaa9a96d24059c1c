"""An opponent in training: a network that tells which column a shared vector came from, while the towers hide it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FORMS = ("none", "reversal", "gan")
WIDTH = 128  # of the hidden layer
STEPS = 3  # of the discriminator, for each one of the towers, in the alternating form
LEARNING_RATE, BETAS = 3e-3, (0.5, 0.9)  # of the discriminator: faster than the towers (Heusel et al. 2017)
SMOOTHNESS = 1.0  # weight of the gradient penalty; without it the two move in circles, and the towers gain nothing


class Discriminator:
    """One hidden layer: a shared vector → which of the columns it came from; every column counts the same.

    `reversal`: both descend in one step, but the gradient that reaches the towers is multiplied by -weight
    (Ganin and Lempitsky 2015, eq. 4 to 6).
    `gan`: in turns (Goodfellow et al. 2014, algorithm 1): `STEPS` steps of the discriminator, then one of the towers
    towards its giving a wrong answer, by weight times the cross-entropy of its answer to the other columns, each
    with the same share. With two columns, this is their non-saturating loss (end of section 3).
    In both, the discriminator's loss holds the squared gradient of its log-probability by its input, which lets the
    game come to rest (Mescheder et al. 2018, eq. 9).
    """

    def __init__(self, form: str, dim: int, n_columns: int, device: str) -> None:
        from torch.nn import LeakyReLU, Linear, Sequential
        from torch.optim import Adam

        self.form, self.n_columns = form, n_columns
        self.network = Sequential(Linear(dim, WIDTH), LeakyReLU(0.2), Linear(WIDTH, n_columns)).to(device)
        self.optimizer = Adam(self.network.parameters(), LEARNING_RATE, BETAS)

    def beside_towers(self) -> list[dict[str, Any]]:
        """What the towers' optimizer has to step as well: the network in the reversal form, nothing in turns."""
        group = {"params": self.network.parameters(), "lr": LEARNING_RATE, "weight_decay": 0.0}
        return [group] if self.form == "reversal" else []

    def penalty(self, shared: "Sequence[Tensor]", there: "Tensor", weight: float) -> "Tensor":
        """M shared vectors (b, dim) of unit length and bool (b, M), which are there → what to add to the towers' loss.

        In the form `gan`, the discriminator learns in this call; in the form `reversal`, by the loss returned.
        """
        import torch
        from torch.autograd import backward

        vectors = torch.cat([z[own] for z, own in zip(shared, there.T, strict=True)])
        vectors = vectors * vectors.shape[1] ** 0.5  # coordinates of about 1, as the first layer expects
        columns = torch.repeat_interleave(torch.arange(self.n_columns, device=there.device), there.sum(dim=0))
        if self.form == "reversal":
            turned = vectors * 1.0  # a tensor of its own: only the gradient that goes on to the towers is turned
            turned.register_hook(lambda gradient: -weight * gradient)
            return self._mistakes(turned, columns) + self._roughness(vectors, columns)
        for _ in range(STEPS):
            self.optimizer.zero_grad()
            backward(self._mistakes(vectors.detach(), columns) + self._roughness(vectors, columns))
            self.optimizer.step()
        others = (1 - torch.eye(self.n_columns, device=there.device)) / (self.n_columns - 1)
        return weight * self._mistakes(vectors, columns, others[columns])

    def _mistakes(self, vectors: "Tensor", columns: "Tensor", answer: "Tensor | None" = None) -> "Tensor":
        """The cross-entropy of the network's answer to the columns (or to `answer`), each column counting the same."""
        from torch import bincount
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(self.network(vectors), columns if answer is None else answer, reduction="none")
        share = 1 / (self.n_columns * bincount(columns, minlength=self.n_columns).clamp(min=1))
        return (losses * share[columns]).sum()

    def _roughness(self, vectors: "Tensor", columns: "Tensor") -> "Tensor":
        """The mean squared gradient of the log-probability of the own column by the vector, times `SMOOTHNESS`."""
        from torch.autograd import grad

        inputs = vectors.detach().requires_grad_()
        certainty = self.network(inputs).log_softmax(dim=1).gather(1, columns[:, None])
        (slope,) = grad(certainty.sum(), inputs, create_graph=True)
        return SMOOTHNESS * slope.square().sum(dim=1).mean()
