"""Every dataset's licence is known to model cards, and is what the documents say."""

from mllmrec.dataset.origin import ORIGINS
from tests.launching import CONF, ROOT

ROWS = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()


def test_every_dataset_has_an_origin_and_it_is_that_of_the_documents():
    assert {*ORIGINS} == {file.stem for file in CONF.glob("dataset/*.yaml")}
    for name, origin in ORIGINS.items():
        told = " ".join(row for row in ROWS if row.startswith(f"| `{name}`"))
        assert (origin.page or "") in told, name
        if origin.licence and origin.licence != "apache-2.0":
            assert origin.licence in told.lower(), name
        assert origin.terms
