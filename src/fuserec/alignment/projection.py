"""Closed-form aligners: one linear map a column, learned without descent and without an (n_items, n_items) matrix."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.aligner import Aligner, Vectors
from fuserec.errors import DataError, OptionError

Matrix = NDArray[np.float64]
NEGLIGIBLE = 1e-9  # of the largest eigenvalue: directions below it hold rounding errors only
TOLERANCE = 1e-7  # relative change of the mean at which rotations count as settled


@dataclass(kw_only=True, eq=False)
class LinearAligner(Aligner):
    """An aligner that is one matrix a column: shared = (block - mean) @ map. A subclass writes `maps`.

    maps_: column → float32 (dim_m, dim)
    means_: column → float32 (dim_m,); centered vectors that were brought to unit length are no longer quite centered
    """

    @abstractmethod
    def maps(self, blocks: Sequence[Matrix], present: NDArray[np.bool_]) -> list[Matrix]:
        """M centered blocks (n, dim_m), zero where missing; present (n, M) → M matrices (dim_m, dim)."""

    def learn(self, names: Sequence[str], blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """M blocks float32 (n, dim_m), zero where missing; present bool (n, M) → `maps_` and `means_`."""
        means = [block.sum(axis=0) / max(n, 1) for block, n in zip(blocks, present.sum(axis=0), strict=True)]
        centered = [
            np.where(there[:, None], block - mean, 0.0).astype(np.float64)
            for block, mean, there in zip(blocks, means, present.T, strict=True)
        ]
        self.means_ = {name: mean.astype(np.float32) for name, mean in zip(names, means, strict=True)}
        maps = self.maps(centered, present)
        self.maps_ = {name: matrix.astype(np.float32) for name, matrix in zip(names, maps, strict=True)}

    def to_shared(self, name: str, block: Vectors) -> Vectors:
        """One column's centered unit vectors, float32 (n, dim_m) → float32 (n, dim)."""
        shared: Vectors = (block - self.means_[name]) @ self.maps_[name]
        return shared


@dataclass(kw_only=True, eq=False)
class GCCA(LinearAligner):
    """Generalized canonical correlation analysis: directions in which an item's columns say the same.

    MAXVAR (Kettenring 1971), regularized, with missing columns left out (van de Velden and Bijmolt 2006): the shared
    coordinates G, (n, dim) with G' K G = I for K = diag(columns an item has), maximize the sum over columns of
    tr G' X_m (X_m' X_m + l_m I)^-1 X_m' G, where X_m has a row of zeros for a missing vector. With the whitened blocks
    X_m A_m, A_m A_m' = (X_m' X_m + l_m I)^-1, and T = K^-1/2 [X_1 A_1, ..., X_M A_M], G is K^-1/2 times the first left
    singular vectors of T. The small matrix T' T = U diag(theta) U' is enough to find them: the regression of G on
    column m is A_m U_m theta^1/2, and it maps the column.

    Coordinates in which columns hardly agree should hardly count: each is weighted by the power `sharpness` of the
    correlation found in it (as Gong et al. 2014, section 3.3, weight by a power of the eigenvalue). Without weights
    and with two complete columns, this is the canonical correlation analysis of Hotelling (1936).

    correlations_: float32 (dim,), the mean correlation between columns in each coordinate, on the items learned from
    """

    regularization: float = 0.5  # the ridge l_m, in units of the mean eigenvalue of X_m' X_m
    sharpness: float = 2.0  # 0: all coordinates count the same

    def __post_init__(self) -> None:
        if self.dim < 1 or not self.regularization >= 0 or not self.sharpness >= 0:
            raise OptionError(
                f"GCCA: dim = {self.dim}, regularization = {self.regularization}, sharpness = {self.sharpness}; "
                "expected a dim of 1 or more, and 0 or more of the others"
            )

    def maps(self, blocks: Sequence[Matrix], present: NDArray[np.bool_]) -> list[Matrix]:
        """M centered blocks (n, dim_m), zero where missing; present (n, M) → M matrices (dim_m, dim)."""
        from scipy.linalg import eigh

        n_present = present.sum(axis=1)  # (n,): the diagonal of K
        whiteners = [_whitener(block, self.regularization) for block in blocks]
        white = [block @ whitener for block, whitener in zip(blocks, whiteners, strict=True)]  # (n, rank_m)
        stacked = np.concatenate(white, axis=1) / np.sqrt(n_present)[:, None]  # T (n, width)
        ranks = sorted(block.shape[1] for block in white)
        width, dim = sum(ranks), min(self.dim, ranks[-2])  # two columns at least meet in a coordinate
        if dim == 0:
            raise DataError("GCCA: fewer than two columns have vectors that differ between items; nothing to align")
        gram = stacked.T @ stacked  # (width, width)
        theta, u = eigh(gram, subset_by_index=(width - dim, width - 1))
        theta, u = np.maximum(theta[::-1], 0.0), u[:, ::-1]  # the largest first
        u = u * _signs(u)
        starts = np.cumsum([0, *(block.shape[1] for block in white)])
        spans = [slice(start, stop) for start, stop in zip(starts, starts[1:], strict=False)]
        # What theta holds of each column by itself; the rest comes from between the columns.
        own = sum((u[span] * (gram[span, span] @ u[span])).sum(axis=0) for span in spans)
        correlations = np.clip((theta - own) / (own * (n_present.mean() - 1)), 0.0, 1.0)
        self.correlations_ = correlations.astype(np.float32)
        scale = np.sqrt(theta) * correlations**self.sharpness
        return [whitener @ u[span] * scale for whitener, span in zip(whiteners, spans, strict=True)]


@dataclass(kw_only=True, eq=False)
class Procrustes(LinearAligner):
    """Rotations that bring columns together and change no distance within one.

    Columns are reduced to a common width by principal components; then generalized Procrustes analysis (Gower 1975):
    each column in turn is rotated onto the mean of the others, by the orthogonal R that minimizes
    ||X_m R - mean||, R = U V' of the singular value decomposition X_m' mean = U S V' (Schönemann 1966), until the
    rotations stay as they are. Items without a column count in none of its sums.
    """

    iterations: int = 100  # at most, over all columns

    def __post_init__(self) -> None:
        if self.dim < 1 or self.iterations < 1:
            raise OptionError(f"Procrustes: dim = {self.dim}, iterations = {self.iterations}; expected 1 or more")

    def maps(self, blocks: Sequence[Matrix], present: NDArray[np.bool_]) -> list[Matrix]:
        """M centered blocks (n, dim_m), zero where missing; present (n, M) → M matrices (dim_m, dim)."""
        dim = min(self.dim, *(block.shape[1] for block in blocks))
        bases = [_eigen(block)[1][:, :dim] for block in blocks]  # (dim_m, dim)
        turned = [block @ basis for block, basis in zip(blocks, bases, strict=True)]  # (n, dim)
        rotations = [np.eye(dim)]
        total = turned[0]
        for block in turned[1:]:  # each is first rotated onto those before it
            rotations.append(_rotation(block, total))
            total = total + block @ rotations[-1]
        for _ in range(self.iterations):
            before = total
            for m, block in enumerate(turned):
                others = total - block @ rotations[m]
                rotations[m] = _rotation(block, others)
                total = others + block @ rotations[m]
            if np.linalg.norm(total - before) <= TOLERANCE * np.linalg.norm(total):
                break
        return [basis @ rotation for basis, rotation in zip(bases, rotations, strict=True)]


def _eigen(block: Matrix) -> tuple[NDArray[np.float64], Matrix]:
    """Block (n, dim) → eigenvalues (dim,) of block' block, the largest first, and eigenvectors (dim, dim)."""
    values, vectors = np.linalg.eigh(block.T @ block)
    return values[::-1], (vectors * _signs(vectors))[:, ::-1]


def _signs(vectors: Matrix) -> Matrix:
    """Eigenvectors (dim, k) → 1 or -1 (k,), so that the largest number of each is positive: the same on any machine."""
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    signs: Matrix = np.where(largest < 0, -1.0, 1.0)
    return signs


def _whitener(block: Matrix, regularization: float) -> Matrix:
    """Block (n, dim) → A (dim, rank), A A' = (block' block + ridge)^-1; ridge: regularization x the mean eigenvalue."""
    values, vectors = _eigen(block)
    rank = int((values > max(NEGLIGIBLE * values[0], NEGLIGIBLE**2)).sum())  # 0 where all items have the same vector
    if rank == 0:
        return vectors[:, :0]
    whitener: Matrix = vectors[:, :rank] / np.sqrt(values[:rank] + regularization * values[:rank].mean())
    return whitener


def _rotation(block: Matrix, target: Matrix) -> Matrix:
    """Two (n, dim) → the orthogonal R (dim, dim) that minimizes ||block R - target||."""
    u, _, v = np.linalg.svd(block.T @ target)
    rotation: Matrix = u @ v
    return rotation
