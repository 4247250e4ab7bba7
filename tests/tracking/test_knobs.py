"""What the choices of conf/tracking/ are."""

import pytest
import yaml
from pydantic import ValidationError

from mllmrec.tracking.knobs import Tracking
from tests.tracking.begun import knobs


@pytest.mark.parametrize("choice", ["offline", "online", "off"])
def test_each_choice_is_valid_and_names_its_mode(choice: str) -> None:
    assert Tracking(**knobs(choice)).mode == choice


def test_a_bare_off_in_yaml_is_off_and_other_words_are_refused() -> None:
    assert Tracking(**{**knobs("off"), "mode": yaml.safe_load("off")}).mode == "off"
    with pytest.raises(ValidationError, match="offline"):
        Tracking(**{**knobs("off"), "mode": "disabled"})
