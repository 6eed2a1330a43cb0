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
from pathlib import Path

from benchmarks.contestants import ALL

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


def install(folder, only=None):
    """Install every peer, or one; yields (peer, why it could not be or None)."""
    for peer in [only] if only else REQUIREMENTS:
        place = Path(folder) / peer
        place.mkdir(parents=True, exist_ok=True)
        reason = _install(place, REQUIREMENTS[peer])
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
    return errors[-1] if errors else f"pip ended with status {done.returncode}"


def missing(folder):
    """Package -> why none of its contestants can take part."""
    found = {}
    for package in {contestant.package for contestant in ALL}:
        if package in REQUIREMENTS:
            place = Path(folder) / package
            if (place / REASON).is_file():
                found[package] = f"not installed: {(place / REASON).read_text('utf-8')}"
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
