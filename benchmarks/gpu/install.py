"""Build the wheel of this tree and install it in a folder, on a machine without a network."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.gpu.program import TAIL, run_program
from benchmarks.process import ROOT

#: Programs find the installed packages in this folder; the machine's Python is not changed.
SITE = ROOT / "build" / "gpu_check"
WHEEL = ROOT / "build" / "gpu_check_wheel"


def carried_names(wheels):
    """The names of the distributions whose wheels are in a folder."""
    return sorted({path.name.split("-")[0] for path in Path(wheels).glob("*.whl")})


def use_installed():
    """Let this process and those that it starts import from the folder."""
    sys.path.insert(0, str(SITE))
    os.environ.update(searched())


def searched():
    """The variables with which a program imports, and runs, what the folder contains."""
    path = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "PATH": os.pathsep.join([str(SITE / "bin"), os.environ.get("PATH", "")]),
    }


def install(wheels, seconds, log):
    """Install the wheels of a folder (or of none, if it is empty) and this tree.

    If a wheel of fastcka is among them, nothing is built. The build uses the scikit-build-core and
    pybind11 of the machine or of the folder, and nvcc.
    """
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.rmtree(WHEEL, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    into = [*pip, "install", "--no-index", "--no-deps", "--upgrade", "--target", str(SITE)]
    wheels = Path(wheels).absolute() if wheels else None
    names = carried_names(wheels) if wheels else []
    steps = [[*into, "--find-links", str(wheels), *names]] if names else []
    if "fastcka" not in names:
        build = [*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
        steps.append([*build, "--wheel-dir", str(WHEEL), str(ROOT)])
        steps.append([*into, "--find-links", str(WHEEL), "fastcka"])
    for command in steps:
        status, output = run_program(command, seconds, log, **searched())
        if status != 0:
            ending = f"exit {status}" if status is not None else f"stopped after {seconds:.0f} s"
            return {"failed": f"{' '.join(command[2:])}: {ending}", "tail": output[-TAIL:]}
    return {"wheels": names, "built": "fastcka" not in names}
