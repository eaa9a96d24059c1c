"""The nouns: what flows through every stage."""
