"""Files that appear whole or not at all."""

from __future__ import annotations

import pytest

from fastcka.files import is_temporary, replaced_file


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old", encoding="utf-8")

    def fail():
        with replaced_file(path) as beside:
            beside.write_text("half", encoding="utf-8")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_file_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old", encoding="utf-8")
    with replaced_file(path) as beside:
        beside.write_text("new", encoding="utf-8")
        assert is_temporary(beside.name)
        assert beside.suffix == ".csv"
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]
