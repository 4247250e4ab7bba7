import pytest

from tests.recommender.cycle import prepared


@pytest.fixture(scope="session")
def circle(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("circle"))
