"""Interest profiles of MovieLens-100K: of how many users with short histories something is told, and three in full.

    fuserec import movielens ../shared/data/movielens-100k ml100k
    python benchmarks/interests.py ml100k [--cache ml100k/.fuserec/vectors.sqlite]

60 users with 5 to 30 films, and as many histories of the same lengths drawn from the catalog, films all alike likely:
what is told of those is chance. Users on whom the rules were made are left out of all draws.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from fuserec import VectorCache, interest, make, read
from fuserec.interest import profile
from fuserec.recipe import Recipe

KNOWN = ("1", "405", "50", "418", "714", "523", "862", "506", "578", "848", "86", "199", "268")
SEED, N = 2026, 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path)
    told = parser.parse_args()
    plan = Recipe.parse({"align": "none"})
    with VectorCache(told.cache or told.folder / ".fuserec" / "vectors.sqlite") as cache:
        dataset = plan.with_vectors(plan.cleaned(read(told.folder)), cache)
    model = make("recommender", "ItemNeighbors").fit(dataset)
    aspects, rng = interest.aspects_of(model), np.random.default_rng(SEED)
    lengths = np.diff(model.history.starts)
    others = ~np.isin(list(model.users_), KNOWN)
    short = np.flatnonzero((lengths >= 5) & (lengths <= 30) & others)
    some = rng.permutation(short)[:N]
    usual = profile.CHANCE
    for chance in (usual, 0.2, 0.5):
        profile.CHANCE = chance
        found = []
        for user in some:
            drawn = rng.choice(len(model.catalog_.ids), lengths[user], replace=False)
            items = [model.catalog_.ids[int(row)] for row in drawn]
            profiles = (
                interest.interest_profile(model, model.users_[int(user)], aspects=aspects),
                interest.interest_profile(model, items=items, aspects=aspects),
            )
            found.append([len(one.likings) for one in profiles])
        (real, by_chance), (n, n_by_chance) = (np.array(found) > 0).mean(axis=0), np.mean(found, axis=0)
        print(
            f"threshold {chance}: something is told of {real:.0%} of {len(short)} short histories ({N} drawn), {n:.1f}"
            f" likings each; of drawn films {by_chance:.0%}, {n_by_chance:.1f}",
            flush=True,
        )
    profile.CHANCE = usual
    for user in (rng.permutation(short)[0], *rng.permutation(np.flatnonzero((lengths > 30) & others))[:2]):
        rows, _ = model.history.of_user(int(user))
        genres = Counter(g for row in rows for g in (dataset.catalog.columns["genres"].values[row] or "").split(", "))
        print(f"\nuser {model.users_[int(user)]}, {len(rows)} films: {genres.most_common(9)}")
        print("; ".join(model.catalog_.title(int(row)) for row in rows[-40:]))
        print(interest.interest_profile(model, model.users_[int(user)], aspects=aspects).explain())


if __name__ == "__main__":
    main()
