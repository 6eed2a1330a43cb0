"""The ledger returns validated values only, and names files that it cannot use."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fastcka.errors import DamagedGroupError, LedgerError
from fastcka.sweep import run_sweep
from fastcka.sweep.ledger.ledger import Ledger
from fastcka.sweep.ledger.schema import APPLICATION_ID

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def config(config_for):
    return config_for(within=["layer", "variant"], steps="final_each")


@pytest.fixture
def done(trained, config):
    return run_sweep(config)


GROUP = "(SELECT id FROM groups WHERE name = 'layer=fc, variant=a')"
DAMAGES = {
    "a value": ("similarities", "cka_unbiased = cka_unbiased + 1e-12", "position_b = 2"),
    "a value lost": ("similarities", "hsic_biased = NULL", "position_b = 2"),
    "a value of text": ("similarities", "hsic_biased = 'x'", "position_b = 2"),
    "a row lost": ("similarities", None, "position_a = 0 AND position_b = 2"),
    "a model renamed": ("representations", "model = 'z'", "position = 1"),
    "a representation lost": ("representations", None, "position = 2"),
    "n": ("groups", "n_examples = 41", "true"),
    "the provenance": ("groups", """provenance = '{"device": "gpu"}'""", "true"),
    "no provenance": ("groups", "provenance = '{'", "true"),
    "the checksum": ("groups", "checksum = 'x'", "true"),
}


def _damage(path, table, change, which):
    """Change or delete rows of the group of layer fc of variant a."""
    of_group = f"{'id' if table == 'groups' else 'group_id'} = {GROUP} AND {which}"
    verb = f"UPDATE {table} SET {change}" if change else f"DELETE FROM {table}"
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(f"{verb} WHERE {of_group}").rowcount > 0


def test_a_damaged_group_is_computed_again_and_reported(done, config, but_for_seconds):
    table = but_for_seconds(done.results_path)
    for damage, where in DAMAGES.items():
        _damage(done.ledger_path, *where)
        events = []
        result = run_sweep(config, on_event=events.append)
        assert (result.groups_computed, result.groups_reused) == (1, 3), damage
        assert [e.group for e in events if e.kind == "recomputing"] == ["layer=fc, variant=a"]
        assert "computed again" in result.notes[0]
        assert but_for_seconds(result.results_path) == table
    assert run_sweep(config).groups_computed == 0


def test_the_ledger_can_be_queried_with_sql(done):
    """A view names the models; the diagonal is stored too."""
    with closing(sqlite3.connect(done.ledger_path)) as db:
        rows = db.execute(
            "SELECT model_a, step_a, layer_a, model_b, step_b, layer_b, n_examples, cka_unbiased "
            "FROM pairs WHERE group_name = 'layer=fc, variant=b' ORDER BY 1, 4"
        ).fetchall()
        assert [row[:7] for row in rows] == [
            ("b_1", 90, "fc", "b_2", 90, "fc", 40),
            ("b_1", 90, "fc", "b_orig", 90, "fc", 40),
            ("b_2", 90, "fc", "b_orig", 90, "fc", 40),
        ]
        assert all(0 < row[7] < 1 for row in rows)
        diagonal = db.execute(
            "SELECT min(cka_biased), max(cka_biased), count(*) FROM similarities "
            "WHERE position_a = position_b"
        ).fetchone()
        assert diagonal == pytest.approx((1, 1, 12))
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_group_is_never_read(done):
    _damage(done.ledger_path, *DAMAGES["a value"])
    with closing(sqlite3.connect(done.ledger_path)) as db:
        (identity,) = db.execute(f"SELECT identity FROM groups WHERE id = {GROUP}").fetchone()
    with Ledger(done.ledger_path) as ledger:
        with pytest.raises(DamagedGroupError, match=r"'layer=fc, variant=a'.*checksum"):
            ledger.read(identity)
        assert ledger.read("unknown") is None


def test_another_format_version_is_refused(done, config):
    with closing(sqlite3.connect(done.ledger_path)) as db:
        db.execute("PRAGMA user_version = 2")
    before = done.ledger_path.read_bytes()
    with pytest.raises(
        LedgerError, match="has the format version 2; this fastcka reads and writes"
    ):
        run_sweep(config)
    assert done.ledger_path.read_bytes() == before


def test_an_sqlite_file_of_another_program_is_refused(trained, config, tmp_path):
    (tmp_path / "out").mkdir()
    with closing(sqlite3.connect(tmp_path / "out" / "ledger.sqlite")) as db, db:
        db.execute("CREATE TABLE accounts (sum)")
    with pytest.raises(LedgerError, match="is an SQLite file, but no ledger of fastcka"):
        run_sweep(config)


def test_a_file_that_is_no_database_is_refused(done, config):
    done.ledger_path.write_bytes(b"not a database, but as long as a header of one needs to be" * 40)
    with pytest.raises(LedgerError, match="move it away and run again"):
        run_sweep(config)


def test_an_empty_file_is_a_new_ledger(trained, config, tmp_path):
    """SQLite leaves such a file if a run is killed before its first commit."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ledger.sqlite").touch()
    assert run_sweep(config).groups_computed == 4


def test_two_processes_create_the_ledger_at_the_same_time(tmp_path, monkeypatch):
    """The second process sees no tables, then waits for the first."""
    path = tmp_path / "ledger.sqlite"
    count = Ledger._count_tables
    seen = []

    def count_and_let_the_other_in(self):
        seen.append(count(self))
        if len(seen) == 1:
            monkeypatch.setattr(Ledger, "_count_tables", count)
            Ledger(path).__exit__(None, None, None)
        return seen[-1]

    monkeypatch.setattr(Ledger, "_count_tables", count_and_let_the_other_in)
    with Ledger(path) as ledger:
        assert seen == [0]
        assert ledger.read("unknown") is None


def test_a_failed_commit_is_rolled_back(trained, config, monkeypatch):
    import json

    from fastcka.sweep.ledger import ledger as module

    def dumps(content, **options):
        if isinstance(content, dict) and content.get("model") == "a_orig":
            raise OSError(5, "Input/output error")
        return json.dumps(content, **options)

    class Json:
        loads = staticmethod(json.loads)

    Json.dumps = staticmethod(dumps)
    monkeypatch.setattr(module, "json", Json)
    with pytest.raises(OSError, match="Input/output"):
        run_sweep(config)
    monkeypatch.undo()
    with closing(sqlite3.connect(config.output / "ledger.sqlite")) as db:
        for table in ("groups", "representations", "similarities"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert run_sweep(config).groups_computed == 4
