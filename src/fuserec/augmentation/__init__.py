"""Augmentation: seeded variants of media, texts and histories, for training only."""
