"""Preparation: cleaning and splitting, before anything is learned."""
