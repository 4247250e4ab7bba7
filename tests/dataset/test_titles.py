import numpy as np

from mllmrec.dataset.titles import GENRES, WORDS, titles


def test_words_tell_the_genre_and_titles_differ():
    genre = np.arange(400) % len(GENRES)
    told = titles(genre, np.random.default_rng(0))
    assert len(set(told)) == 400
    for title, kind in zip(told, genre, strict=True):
        assert {name for name, words in WORDS.items() if title.split()[0] in words.split()} == {
            GENRES[kind]
        }


def test_more_items_than_pairs_are_numbered():
    told = titles(np.zeros(1200, int), np.random.default_rng(0))
    assert len(set(told)) == 1200 and told[-1].endswith(" 10")
