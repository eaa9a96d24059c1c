"""Pages: reports → self-contained HTML files."""
