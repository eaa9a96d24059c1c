"""Stores: what a running service must not lose, by address: `sqlite:///FILE`, `redis://...`, `mongodb://...`."""
