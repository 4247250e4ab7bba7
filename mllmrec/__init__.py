"""Post-train language models to recommend the next item from a user's history."""

__version__ = "0.1.0"
