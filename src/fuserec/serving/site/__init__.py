"""Site: the service → what its pages show, as plain dicts; templates, words in two languages, style and scripts."""
