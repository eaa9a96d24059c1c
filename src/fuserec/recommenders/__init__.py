"""Recommenders: datasets → ranked items."""
