"""Writes librosa_mel.npz, what librosa 0.11.0 says about a chirp with noise. librosa is not a dependency of fuserec:

python3 -m venv /tmp/librosa && /tmp/librosa/bin/pip install librosa==0.11.0
/tmp/librosa/bin/python tests/references/make_librosa_mel.py
"""

from pathlib import Path

import numpy as np

RATE = 16_000


def signal():
    """0.6 s that glide from 200 Hz to 6 kHz, with noise, and silence at the end: float32 (9600,)."""
    time = np.arange(9_600) / RATE
    chirp = 0.5 * np.sin(2 * np.pi * (200 * time + 0.5 * (6_000 - 200) / 0.6 * time**2))
    samples = chirp + 0.02 * np.random.default_rng(7).standard_normal(time.size)
    samples[8_000:] = 0
    return samples.astype(np.float32)


if __name__ == "__main__":
    import librosa

    samples = signal()
    power = np.abs(librosa.stft(samples, pad_mode="constant")) ** 2
    power += 1e-6 * power.max()  # librosa cuts peaks and valleys at 80 dB under the loudest; so nothing is cut
    told = {
        "samples": samples,
        "mel": librosa.feature.melspectrogram(y=samples, sr=RATE, pad_mode="constant"),
        "mfcc": librosa.feature.mfcc(y=samples, sr=RATE),
        "centroid": librosa.feature.spectral_centroid(y=samples, sr=RATE),
        "bandwidth": librosa.feature.spectral_bandwidth(y=samples, sr=RATE),
        "rolloff": librosa.feature.spectral_rolloff(y=samples, sr=RATE),
        "flatness": librosa.feature.spectral_flatness(y=samples),
        "contrast": librosa.feature.spectral_contrast(S=power, sr=RATE, n_bands=5),
        "chroma": librosa.feature.chroma_stft(S=power, sr=RATE, tuning=0.0, octwidth=None),
        "rms": librosa.feature.rms(y=samples, pad_mode="constant"),
        "mel_small": librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=1024, hop_length=512, n_mels=64),
    }
    np.savez_compressed(
        Path(__file__).with_name("librosa_mel.npz"), **{name: np.float32(value) for name, value in told.items()}
    )
