"""Mutated files are read or refused with a named error (`tests/fuzz` tries more)."""

from __future__ import annotations

import pytest

from fastcka.errors import FastckaError
from fuzz.readers import READERS, check_seeds, outcome

FILES = 150


def test_files_without_damage_are_read():
    check_seeds()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_give_named_errors(name, tmp_path):
    outcomes = {number: outcome(name, number, tmp_path) for number in range(FILES)}
    unnamed = {
        number: f"{type(error).__name__}: {error}"
        for number, error in outcomes.items()
        if error is not None and not isinstance(error, FastckaError)
    }
    assert not unnamed
    assert len({str(error) for error in outcomes.values()}) > 10  # many kinds of damage
