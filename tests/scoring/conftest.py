"""A model whose choices are sharp, and one thread: two on a busy machine are many times slower."""

import pytest
import torch

from tests.plain import sharp_model


@pytest.fixture(scope="module")
def model():
    return sharp_model()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
