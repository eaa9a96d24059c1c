"""Serving: a model, a store, and HTTP on top. `service` is plain Python; HTTP is in `http/` only."""
