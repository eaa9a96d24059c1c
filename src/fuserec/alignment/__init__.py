"""Alignment: the vectors of several columns → one shared space."""
