"""Toy shops, rendered and encoded without pretrained weights once a session."""

from functools import cache

import pytest

import fuserec
from fuserec.encoders.audio import MFCC
from fuserec.encoders.image import ColorTexture
from fuserec.encoders.text import TfidfText


@pytest.fixture(scope="session")
def encoded_shop(tmp_path_factory):
    """Seed → a toy shop of 300 items with vectors of title, description, photo and jingle."""
    encoders = {"text": TfidfText(), "image": ColorTexture(), "audio": MFCC()}

    @cache
    def encoded(seed):
        folder = tmp_path_factory.mktemp(f"shop-{seed}")
        return fuserec.encode(fuserec.toy_shop(300, 200, seed, folder=folder), encoders)

    return encoded
