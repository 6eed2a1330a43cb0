"""The compiled boundary: Python repeats no constants of csrc, and variables have plain names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from fastcka.core.backend import _core, bytes_needed

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
CORE = ROOT / "python" / "fastcka" / "core"
SOURCES = [
    path
    for path in sorted(CSRC.rglob("*.*"))
    if path.suffix in {".hpp", ".cpp", ".cu", ".cuh"}
    and path.relative_to(CSRC).parts[0] in {path.name, "cpu", "cuda"}
]
PLANNERS = [
    CORE / name
    for name in (
        "plan.py",
        "cost.py",
        "base_plan.py",
        "cuda/plan.py",
        "cuda/cost.py",
        "cuda/products.py",
    )
]

_CONSTANT = re.compile(r"constexpr (?:std::)?\w+ (\w+) = ([^;]+);")
#: Words that do not identify a constant.
_UNITS = {"byte", "most", "least", "few", "many", "limit", "short", "small", "smallest", "in", "of"}
#: Equal by chance: a choice of the planner and an unrelated limit.
DIFFERENT = {
    ("GRAM_TILE", "tile_bytes"),
    ("CHUNK", "most_far_chunk"),
    ("EXACT_CHUNK", "most_far_chunk"),
}
#: Words with too many meanings for a variable.
VAGUE = {"own", "told", "said", "found", "at", "of"}


def words_of(name):
    return {word.removesuffix("s") for word in name.lower().split("_")} - _UNITS


def compiled_constants():
    """Return name -> values of the constants of csrc that are plain numbers."""
    constants = {}
    for path in SOURCES:
        for name, text in _CONSTANT.findall(path.read_text("utf-8")):
            number = re.sub(r"std::\w+\{(\w+)\}", r"\1", text.replace("U", ""))
            if re.fullmatch(r"[\d.xa-f]+(?: << \d+)?", number):
                constants.setdefault(name, set()).add(eval(number))
    return constants


def python_constants(text):
    """Return name -> value of the constants of a module that are plain numbers."""
    constants = {"MIB": 1 << 20, "__builtins__": {}}
    for node in ast.parse(text).body:
        target = getattr(node, "target", None) or getattr(node, "targets", [None])[0]
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and value is not None and is_number(value, constants):
            constants[target.id] = eval(
                compile(ast.Expression(value), "constant", "eval"), constants
            )
    del constants["__builtins__"], constants["MIB"]
    return constants


def is_number(node, constants):
    """Return whether an expression contains only numbers and known constants."""
    if isinstance(node, ast.BinOp):
        return is_number(node.left, constants) and is_number(node.right, constants)
    if isinstance(node, ast.Name):
        return node.id in constants
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def copies(text):
    """Return the constants of a module that share a value and a word with a constant of csrc."""
    return [
        f"{name} = {value} is {theirs} of csrc"
        for name, value in python_constants(text).items()
        for theirs, values in compiled_constants().items()
        if value in values and words_of(name) & words_of(theirs)
        if (name, theirs) not in DIFFERENT
    ]


def test_constants_are_read_from_the_sources():
    constants = compiled_constants()
    assert constants["gram_product_steps"] == {_core.gram_product_steps} == {128}
    assert constants["feature_product_steps"] == {_core.feature_product_steps}
    assert constants["staging_lanes"] == {_core.staging_lanes}
    assert constants["rank_bytes"] == {32 << 20}
    assert constants["example_grain"] == {16}


@pytest.mark.parametrize(
    "copy",
    [
        *("STAGING_LANES = 16", "GRAM_STEPS = 128", "FEATURE_STEPS: int = 64", "STRIP_PANELS = 16"),
        *("FEATURE_GRAIN = 32", "EXAMPLE_GRAIN = 16", "RANK_BYTES = 32 * MIB"),
    ],
)
def test_copies_are_detected(copy):
    assert copies(f"{copy}\n")


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_python_contains_no_copy_of_a_compiled_constant(path):
    assert not copies(path.read_text("utf-8"))


@pytest.mark.parametrize("path", PLANNERS, ids=lambda path: path.name)
def test_the_functions_of_the_planners_contain_no_numbers_of_csrc(path):
    compiled = set().union(*compiled_constants().values())
    large = {
        node.value
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value >= 16
    }
    assert not large & compiled


def test_the_bytes_of_a_pass():
    # Counted by hand for 1000 examples of 40 and 100 features.
    shape = _core.ProductShape(
        products="float32", lanes=16, rows=8, step=48, values=1, cell_bytes=4, sum_bytes=4
    )
    options = {"tile": 96, "chunk": 256, "batch": 0, "in_place": False}
    options |= {"moment_routes": [], "shape": shape}
    gram = bytes_needed(1000, [40, 100], route="G", **options)
    assert gram == {
        "centered": 1008 * 140 * 4,  # 63 panels of 16 examples
        "thread": 2 * (96**2 + 208) * 4 + 16 * 100 * 4,  # two Gram tiles; an unpacked panel
        "sums": 3 * 2**2 * 8,
        "statistics": 4 * 140 * 4 * 8,  # the sums of four powers in four blocks of 256 rows
        "results": (2 * 2 * 1000 + 2 * 2**2) * 8,
    }
    features = bytes_needed(1000, [40, 100], route="F", **options)
    assert features == gram | {
        "centered": 1000 * (48 + 112) * 4,
        "thread": 96**2 * 8 + 8 * 48 * 4 + 256 * 100 * 4,
        "sums": 3 * 2**2 * 16,  # sums and their rounding errors
    }


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"widths": []}, {"widths": [3, 0]}, {"route": "H"}], ids=str
)
def test_wrong_shapes_of_a_pass_are_refused(wrong):
    shape = _core.implementations()[0]["float32"]
    good = {
        "n": 5,
        "widths": [3],
        "route": "G",
        "tile": 96,
        "chunk": 256,
        "batch": 0,
        "in_place": False,
        "moment_routes": [],
    }
    with pytest.raises(ValueError, match=r"route must be|at least one example"):
        bytes_needed(shape=shape, **(good | wrong))


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_python_variables_have_plain_names(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    assert not names & VAGUE


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_compiled_variables_have_plain_names(path):
    code = re.sub(r'//.*|"(?:[^"\\]|\\.)*"', "", path.read_text("utf-8"))
    assert not set(re.findall(r"(?<!::)\b\w+\b", code)) & VAGUE
