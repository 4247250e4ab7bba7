"""Whether a rationale speaks of what the history's pictures show: modality consistency.

c_m = cos(e(z), mean over the history of e(caption)), in [0, 1]. The published description has the
name; the formula is our own. By TF-IDF, cosines are in that range already; by an embedding model
they are brought there, (1 + cos) / 2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

TFIDF = "tfidf"


def by_tfidf(texts: Sequence[str], shown: Sequence[Sequence[str]]) -> np.ndarray:
    """c_m of each text and what its writer was shown; 0 where one of them says nothing."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    every = sorted({caption for captions in shown for caption in captions})
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")
    try:
        made = vectorizer.fit_transform([*every, *texts])
    except ValueError:  # no words at all
        return np.zeros(len(texts))
    place = {caption: row for row, caption in enumerate(every)}
    found = np.zeros(len(texts))
    for row, captions in enumerate(shown):
        if captions:
            mean = np.asarray(made[[place[caption] for caption in captions]].mean(axis=0)).ravel()
            found[row] = cosine(made[len(every) + row].toarray().ravel(), mean)
    return found


def by_vectors(texts: Any, shown: Sequence[Any]) -> np.ndarray:
    """The same from embeddings: ``texts`` (n, d), ``shown`` (items, d) for each text."""
    found = np.zeros(len(shown))
    for row, captions in enumerate(shown):
        if len(captions):
            found[row] = (1 + cosine(texts[row], np.mean(captions, axis=0))) / 2
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """cos(a, b), 0 where one of them is 0."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0
