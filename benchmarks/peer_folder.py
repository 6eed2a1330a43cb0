"""The peers on disk: each in a separate folder, so that none disturbs another or fastcka.

They use NumPy, torch and whatever else the environment of fastcka has; a folder contains only what
that lacks. pip resolves no dependencies (`--no-deps`): several peers ask for torchvision or an
older NumPy, and use neither.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import data
from benchmarks.contestants import ALL
from benchmarks.machine import version
from benchmarks.process import ContestantError, Process

DEFAULT = Path("build/benchmark-peers")
#: Peer -> the packages in its folder: the peer, then what its import needs.
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
#: The reason until an installation has ended.
UNFINISHED = "its installation was not finished: run `python -m benchmarks peers` again"
#: Seconds for the first call of a peer: numba takes a minute to compile hyppo.
PATIENCE = 300


def install(folder, only=None):
    """Install and call every peer, or one; yields (peer, None or why it cannot take part)."""
    for peer in [only] if only else REQUIREMENTS:
        target = Path(folder) / peer
        target.mkdir(parents=True, exist_ok=True)
        (target / REASON).write_text(UNFINISHED, encoding="utf-8")
        reason = _install(target, REQUIREMENTS[peer]) or _tried(peer, target)
        if reason is None:
            (target / REASON).unlink(missing_ok=True)
        else:
            (target / REASON).write_text(reason, encoding="utf-8")
        yield peer, reason


def _install(target, requirements):
    """Why it could not be installed, or None."""
    constraints = target.parent / "constraints.txt"
    # A source distribution must be built with the versions that it will run with.
    shared = (name for name in ("numpy", "torch") if version(name))
    text = "".join(f"{name}=={version(name).split('+')[0]}\n" for name in shared)
    constraints.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"),
            *("--target", str(target), *requirements),
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


def _tried(peer, target):
    """Why it gives no answer, or None. What its first call compiles stays in its folder."""
    shape = {"m": 2, "n": 64, "d": 8}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "trial.npy"
        data.write(path, [data.representations(**shape)], (1, *shape.values()))
        question = {"do": "load", "data": str(path), "m": 2, "groups": 1, "distinct": 1}
        try:
            with Process(peer, threads=1, folder=target.resolve()) as process:
                process.ask(question, PATIENCE)
        except ContestantError as error:
            return str(error)
    return None


def missing(folder):
    """Package -> why none of its contestants can take part."""
    reasons = {}
    option = "" if Path(folder) == DEFAULT else f" --peers {folder}"
    for package in dict.fromkeys(contestant.package for contestant in ALL):
        if package in REQUIREMENTS:
            target = Path(folder) / package
            if (target / REASON).is_file():
                reasons[package] = f"does not work: {(target / REASON).read_text('utf-8')}"
            elif not target.is_dir():
                reasons[package] = f"not installed: run `python -m benchmarks peers{option}`"
        elif version(package) is None:
            reasons[package] = f"not installed: `pip install {package}`"
    return reasons


def folder_for(contestant, folder):
    """The folder on the path of a contestant's process, or None if it is not a peer."""
    return Path(folder).resolve() / contestant.package if contestant.peer else None
