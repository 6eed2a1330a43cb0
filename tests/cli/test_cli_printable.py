"""Names in files cannot control the terminal that shows them."""

from __future__ import annotations

import re
import unicodedata

import h5py
import numpy as np
import pytest

from fastcka.cli.output import printable
from fastcka.store import Key, create_store

ESCAPES = "m\x1b[2J\x9b31m\x07\u202egpj.exe\u2066\r\u2028\x7f"
SHOWN = r"m\x1b[2J\x9b31m\x07\u202egpj.exe\u2066\r\u2028\x7f"


def harmless(text):
    """Whether a text has no control characters except line feeds, and no bidi overrides."""
    kinds = {unicodedata.category(char) for char in text if char != "\n"}
    overrides = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return not kinds & {"Cc", "Cs", "Zl", "Zp"} and not overrides & {
        unicodedata.bidirectional(char) for char in text
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ESCAPES, SHOWN),
        ("a\nb\tc", r"a\nb\tc"),
        ("caf\xe9 \u6a21\u578b \U0001f600 [bold]", "caf\xe9 \u6a21\u578b \U0001f600 [bold]"),
        ("caf\udce9", r"caf\udce9"),  # a path whose bytes are not UTF-8
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert harmless(printable(text))


def test_every_character_is_shown_or_escaped():
    every = "".join(map(chr, range(0x3000)))
    assert harmless(printable(every))
    assert printable("a\nb", lines=True) == "a\nb"


@pytest.fixture
def store(tmp_path):
    path = tmp_path / f"store{ESCAPES}"
    rng = np.random.default_rng(3)
    with create_store(path) as created:
        for model in (ESCAPES, "b"):
            created.write(
                model=model,
                step=0,
                layers={f"layer{ESCAPES}": rng.normal(size=(8, 3))},
                factors={f"f{ESCAPES}": f"v{ESCAPES}"},
            )
    return path


def test_store_commands(call, store):
    for arguments in (["ls", store], ["info", store, ESCAPES], ["verify", store]):
        done = call("store", *arguments)
        assert done.exit_code == 0
        assert harmless(done.stdout + done.stderr)
    assert SHOWN in re.sub(r"\s", "", call("store", "ls", store).stdout)


def test_errors(call, store):
    key = Key("b", 0, f"layer{ESCAPES}")
    with create_store(store, exist_ok=True) as opened:
        path = opened.info(key).path
    with h5py.File(path, "r+") as file:
        file.move("layers/0/x", f"layers/0/{ESCAPES}")
    for arguments in (
        ["store", "ls", store],
        ["store", "info", store, f"no{ESCAPES}"],
        ["store", "verify", store],
        ["cka", f"{store}/no{ESCAPES}.npy", f"{store}/no{ESCAPES}.npy"],
        ["--debug", "cka", f"{store}/no{ESCAPES}.npy", f"{store}/no{ESCAPES}.npy"],
    ):
        done = call(*arguments)
        assert done.exit_code != 0
        assert r"\x1b[2J" in done.stdout + done.stderr
        assert harmless(done.stdout + done.stderr)


def test_run_and_plan(shell, store, tmp_path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        f"store: {tmp_path}/link\noutput: {tmp_path}/out\ncompare:\n  within: [layer]\n",
        encoding="utf-8",
    )
    (tmp_path / "link").symlink_to(store)
    for command in ("plan", "run", "run"):
        done = shell(command, sweep)  # libraries warn too: of a missing glyph
        assert done.returncode == 0, done.stderr
        assert harmless(done.stdout + done.stderr)
