"""Encoders: media → vectors."""
