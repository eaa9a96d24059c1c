"""Planted disagreement: the pictures of 5 % of a toy shop exchanged among themselves, and found again by `match`.

    python benchmarks/swapped.py 0 40        seeds 0 to 39; TfidfText, ColorTexture, MFCC; one draw of 15 items a shop

AUC of the agreement, lowest first: 1 when every exchanged item comes before every other, .5 by chance.
"""

import argparse
import tempfile
from dataclasses import replace

import numpy as np
from sklearn.metrics import roc_auc_score

from fuserec import encode, make, match, toy_shop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    given = parser.parse_args()
    encoders = {
        "text": make("encoder", "TfidfText"),
        "image": make("encoder", "ColorTexture"),
        "audio": make("encoder", "MFCC"),
    }
    found = []
    for seed in range(given.first, given.end):
        with tempfile.TemporaryDirectory() as folder:
            shop = encode(toy_shop(seed=seed, folder=f"{folder}/shop"), encoders)
        photo = shop.embeddings["photo"]
        rng = np.random.default_rng(100 + seed)
        rows = rng.choice(np.flatnonzero(photo.present), shop.n_items // 20, replace=False)
        vectors = photo.vectors.copy()
        vectors[rows] = vectors[np.roll(rows, 1)]
        wrong = shop.with_embeddings("photo", replace(photo, vectors=vectors))
        agreement = match(wrong).agreement
        known = np.isfinite(agreement)
        found.append(roc_auc_score(np.isin(np.arange(shop.n_items), rows)[known], -agreement[known]))
        print(f"seed {seed:3d}: {found[-1]:.3f}", flush=True)
    below = sum(one < 0.95 for one in found)
    print(f"mean {np.mean(found):.3f}, least {min(found):.3f}, {below} of {len(found)} below .95")


if __name__ == "__main__":
    main()
