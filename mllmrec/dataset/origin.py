"""Whose the data are: what a model card must say of each dataset (docs/datasets.md says more)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Origin:
    """``licence`` is an SPDX name in small letters, or None where there is none such."""

    name: str
    page: str | None
    licence: str | None
    terms: str


NONE_STATED = "No licence is stated: what is made of them may be for yourself alone."

ORIGINS = {
    "toy": Origin(
        name="a toy dataset, made by the code that trained this model",
        page=None,
        licence="apache-2.0",
        terms="Made by a program: no person's data are in them.",
    ),
    "movietweetings": Origin(
        name="MovieTweetings",
        page="https://github.com/sidooms/MovieTweetings",
        licence="mit",
        terms="May be passed on, with its licence.",
    ),
    "movielens": Origin(
        name="MovieLens",
        page="https://grouplens.org/datasets/movielens/",
        licence=None,
        terms="GroupLens' own licence: research, with acknowledgement, nothing commercial without"
        " permission; most of the sets may not be passed on.",
    ),
    "netflix": Origin(
        name="the Netflix Prize data, or what LLMRec's authors made of them",
        page="https://www.kaggle.com/datasets/netflix-inc/netflix-prize-data",
        licence=None,
        terms="Netflix' own licence: research, with acknowledgement, nothing commercial; not to be"
        " passed on without permission.",
    ),
    "microlens": Origin(
        name="MicroLens",
        page="https://github.com/westlake-repl/MicroLens",
        licence=None,
        terms="No licence file; its README forbids changed copies to be offered for download.",
    ),
    "amazon": Origin(
        name="Amazon Reviews",
        page="https://amazon-reviews-2023.github.io/",
        licence=None,
        terms=f"Made available for research. {NONE_STATED}",
    ),
    "table": Origin(
        name="tables of the author's own",
        page=None,
        licence=None,
        terms="Whoever trained the model knows whose the data are, and must say so here.",
    ),
    "reference": Origin(
        name="the data of the published scripts",
        page=None,
        licence=None,
        terms=NONE_STATED,
    ),
}
