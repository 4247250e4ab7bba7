"""Modality consistency, against values computed by hand and by scikit-learn's own cosine."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from mllmrec.assessment.modality import by_tfidf, by_vectors


def test_the_same_words_are_1_and_none_in_common_is_0() -> None:
    found = by_tfidf(["teal circles", "red stripes", ""], [["teal circles"]] * 3)
    assert found == pytest.approx([1.0, 0.0, 0.0])


def test_nothing_shown_or_no_words_at_all_is_0() -> None:
    assert by_tfidf(["teal"], [[]]) == pytest.approx([0.0])
    assert by_tfidf(["...", "!"], [["?"], []]) == pytest.approx([0.0, 0.0])


def test_a_rationale_of_ones_own_pictures_is_above_that_of_others() -> None:
    captions = [["teal circles", "teal rings"], ["crimson stripes", "crimson waves"]]
    own = by_tfidf(["lately teal circles", "lately crimson waves"], captions)
    other = by_tfidf(["lately crimson waves", "lately teal circles"], captions)
    assert (own > other).all()


def test_it_is_the_cosine_with_the_mean_of_the_captions() -> None:
    texts, shown = ["teal circles lately"], [["teal circles", "red circles"]]
    vectors = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit_transform(
        [*sorted(shown[0]), *texts]
    )
    mean = np.asarray(vectors[:2].mean(axis=0))
    assert by_tfidf(texts, shown)[0] == pytest.approx(cosine_similarity(vectors[2], mean)[0, 0])


def test_embeddings_are_brought_to_0_and_1() -> None:
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    found = by_vectors(np.stack([a, a, a, a]), [np.stack([a]), np.stack([b]), np.stack([-a]), []])
    assert found == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert by_vectors(np.stack([a]), [np.stack([a, b])])[0] == pytest.approx((1 + 2**-0.5) / 2)
