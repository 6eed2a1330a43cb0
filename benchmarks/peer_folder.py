"""The peers on disk: each in a folder of its own, so that none disturbs another or fastcka.

NumPy, torch and what else the environment of fastcka has is shared; only what is not there is put
beside the peer. Nothing is resolved (`--no-deps`): several of them ask for torchvision or an older
NumPy, and use neither.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import data
from benchmarks.contestants import ALL
from benchmarks.process import ContestantError, Process

DEFAULT = Path("build/benchmark-peers")
#: Peer -> what is installed into its folder: itself first, then what its import needs.
REQUIREMENTS = {
    "ckatorch": ["ckatorch==1.0.3", "seaborn", "tqdm"],
    "torch-cka": ["torch-cka==0.21", "tqdm"],
    "pytorch-cka": ["pytorch-cka==1.1.3", "tqdm"],
    "cka-pytorch": [
        *("cka-pytorch==1.1.3", "lightning", "lightning-utilities", "torchmetrics"),
        *("seaborn", "tqdm"),
    ],
    "repsim": ["repsim==0.1.5"],
    "rsatoolbox": [
        *("rsatoolbox==0.3.2", "scikit-image", "imageio", "tifffile", "lazy-loader", "tqdm"),
    ],
    "hyppo": ["hyppo==0.5.2", "numba", "llvmlite", "autograd", "statsmodels", "patsy", "future"],
    "thingsvision": ["thingsvision==2.7.3", "torchtyping", "typeguard"],
}
REASON = "reason.txt"
#: Seconds for the first call of a peer: numba takes a minute to compile hyppo.
PATIENCE = 300


def install(folder, only=None):
    """Install and call every peer, or one; yields (peer, why it cannot take part or None)."""
    for peer in [only] if only else REQUIREMENTS:
        place = Path(folder) / peer
        place.mkdir(parents=True, exist_ok=True)
        reason = _install(place, REQUIREMENTS[peer]) or _tried(peer, place)
        if reason is None:
            (place / REASON).unlink(missing_ok=True)
        else:
            (place / REASON).write_text(reason, encoding="utf-8")
        yield peer, reason


def _install(place, requirements):
    """Why it could not be installed, or None."""
    constraints = place.parent / "constraints.txt"
    # What a source distribution is built against must be what it will run with.
    shared = (name for name in ("numpy", "torch") if _version(name))
    text = "".join(f"{name}=={_version(name).split('+')[0]}\n" for name in shared)
    constraints.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"),
            *("--target", str(place), *requirements),
        ],
        env={**os.environ, "PIP_CONSTRAINT": str(constraints.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return f"pip: {errors[-1] if errors else f'status {done.returncode}'}"


def _tried(peer, place):
    """Why it gives no answer, or None. What it compiles at its first call stays in its folder."""
    shape = {"m": 2, "n": 64, "d": 8}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "trial.npy"
        data.write(path, [data.representations(**shape)], (1, *shape.values()))
        question = {
            "do": "load",
            "data": str(path),
            "m": 2,
            "groups": 1,
            "distinct": 1,
        }
        try:
            with Process(peer, threads=1, folder=place.resolve()) as process:
                process.ask(question, PATIENCE)
        except ContestantError as error:
            return str(error)
    return None


def missing(folder):
    """Package -> why none of its contestants can take part."""
    found = {}
    for package in {contestant.package for contestant in ALL}:
        if package in REQUIREMENTS:
            place = Path(folder) / package
            if (place / REASON).is_file():
                found[package] = f"does not work: {(place / REASON).read_text('utf-8')}"
            elif not place.is_dir():
                found[package] = "not installed: `python -m benchmarks peers` does it"
        elif _version(package) is None:
            found[package] = f"not installed: `pip install {package}`"
    return found


def place_of(contestant, folder):
    """What is put on the path of a contestant's process."""
    return Path(folder).resolve() / contestant.package if contestant.peer else None


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
