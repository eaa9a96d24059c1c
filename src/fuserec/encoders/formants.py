"""Power spectra → formants, the resonances of a voice or an instrument, by linear prediction. In torch."""

from typing import TYPE_CHECKING

from fuserec.encoders.spectra import RATE, SMALLEST

if TYPE_CHECKING:
    from torch import Tensor

TOP = 5_000  # Hz; a voice has five formants up to here
ORDER = 10  # two coefficients for each of them
EMPHASIS = 0.97  # of the high frequencies, which a voice has little of
VOICED = 0.45  # a frame is like itself one period later at least so much (Boersma 1993)
PITCH = (80, 400)  # Hz
LOWEST, WIDEST = 90, 700  # Hz; roots below, or of a greater bandwidth, are no formants


def formants(power: "Tensor", rate: int = RATE) -> "Tensor":
    """Power spectra float32 (n_bins, n_frames) → float32 (7, n_frames): voiced or not (1 or 0), F1-F3, B1-B3 in Hz.

    The frequencies and bandwidths of the lowest three resonances: roots z of the predictor of the spectrum up to 5 kHz
    (selective linear prediction, Makhoul 1975, section V) have frequency arg(z) / 2 pi and bandwidth -ln |z| / pi
    times the rate of 10 kHz. Where a frame is not periodic or has fewer resonances, all seven are 0.
    """
    import torch

    found = torch.zeros((7, power.shape[1]), device=power.device)
    lags = torch.fft.irfft(power[: 1 + TOP * 2 * (len(power) - 1) // rate].double(), dim=0)  # at 2 TOP Hz
    period = lags[2 * TOP // PITCH[1] : 2 * TOP // PITCH[0] + 1].amax(dim=0)
    frames = torch.nonzero((lags[0] > SMALLEST) & (period > VOICED * lags[0]))[:, 0]
    if not len(frames):
        return found
    lags = lags[: ORDER + 2, frames]
    around = torch.cat([lags[1:2], lags[:ORDER]]) + lags[1:]  # the sum of the lags before and after each
    roots = poles(predictor((1 + EMPHASIS**2) * lags[:-1] - EMPHASIS * around))
    frequency, bandwidth = roots.angle() * TOP / torch.pi, -roots.abs().log() * 2 * TOP / torch.pi
    fits = (frequency > LOWEST) & (bandwidth < WIDEST)
    frequency, order = torch.where(fits, frequency, torch.inf).sort(dim=0)
    told = torch.cat([frequency[:3], bandwidth.gather(0, order)[:3]]).float()  # (6, voiced frames)
    enough = frequency[2] < torch.inf
    found[0, frames[enough]] = 1
    found[1:, frames[enough]] = told[:, enough]
    return found


def predictor(lags: "Tensor") -> "Tensor":
    """Autocorrelations (order + 1, n) → the error filters 1, a_1, ... a_order that whiten: the same shape.

    Levinson-Durbin: sum_j a_j r_|i-j| = -r_i for i = 1 ... order (Makhoul 1975, eqs. 38a-e).
    """
    import torch

    filters = torch.zeros_like(lags)
    filters[0] = 1
    error = lags[0].clone()
    for size in range(1, len(lags)):
        reflection = -(filters[:size] * lags[1 : size + 1].flip(0)).sum(dim=0) / error
        filters[: size + 1] += reflection * filters[: size + 1].flip(0)
        error *= 1 - reflection**2
    return filters


def poles(filters: "Tensor") -> "Tensor":
    """Error filters (order + 1, n) → the roots of each, complex (order, n): eigenvalues of its companion matrix."""
    import torch

    order, n = len(filters) - 1, filters.shape[1]
    companion = torch.zeros((n, order, order), dtype=filters.dtype, device=filters.device)
    companion[:, 0] = -filters[1:].T
    companion[:, torch.arange(1, order), torch.arange(order - 1)] = 1
    roots: Tensor = torch.linalg.eigvals(companion)
    return roots.T
