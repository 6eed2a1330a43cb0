"""``fastcka doctor``: what is built, installed, usable and missing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastcka.cli import arguments, output

# Optional libraries by the extra that installs them.
EXTRAS = {
    "torch": ("torch", "safetensors", "scikit-learn"),
    "report": ("matplotlib", "pandas", "scikit-learn", "scipy", "xarray"),
}
SAFE_HDF5 = (2, 2, 0)
# The products of a usable GPU, by decreasing precision.
PRODUCTS = ("float64", "float32", "float16x3", "float16")


def doctor(
    json: arguments.Json = False,
) -> None:
    """Show the CPU code path, threads, GPUs and libraries in use, and what is missing."""
    report = _examine()
    if json:
        output.print_json(report)
        return
    _print_report(report)


def _examine() -> dict[str, Any]:
    from fastcka import __version__
    from fastcka.core import cuda_status
    from fastcka.core.backend import IMPLEMENTATION_VARIABLE, describe
    from fastcka.store import HDF5_VERSION

    warnings = []
    if HDF5_VERSION < SAFE_HDF5:
        warnings.append(
            f"HDF5 {_dotted(HDF5_VERSION)} has published vulnerabilities, which concern files from "
            f"people you do not trust; your files are safe. HDF5 {_dotted(SAFE_HDF5)} fixes "
            "them: update h5py once it includes that version"
        )
    return {
        "fastcka": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": describe()
        | {
            "implementation_source": IMPLEMENTATION_VARIABLE
            if os.environ.get(IMPLEMENTATION_VARIABLE)
            else "the first that this processor supports"
        },
        "cuda": cuda_status().to_dict(),
        "libraries": {name: version(name) for name in ("numpy", "h5py", "pydantic")}
        | {"HDF5": _dotted(HDF5_VERSION)},
        "extras": {
            extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()
        },
        "warnings": warnings,
    }


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cuda_rows(cuda: dict[str, Any]) -> dict[str, object]:
    from fastcka.core.cuda.status import cublas_version_text, cuda_version_text

    if not cuda["built"]:
        return {"CUDA": f"not built: {cuda['reason']}"}
    rows: dict[str, object] = {
        "CUDA": f"usable: device='cuda', or 'auto' where it is faster ({', '.join(PRODUCTS)})"
        if cuda["usable"]
        else f"not usable: {cuda['reason']}",
        "CUDA part": f"compiled by {cuda['compiler']} for {cuda['architectures']}",
        "CUDA driver": (
            f"up to CUDA {cuda_version_text(cuda['driver'])}" if cuda["driver"] else "none"
        )
        + f", runtime {cuda_version_text(cuda['runtime'])}",
        "cupy": cuda["cupy"] or "none",
        "cuBLAS": f"{cublas_version_text(cuda['cublas_version'])} at {cuda['cublas_path']}"
        if cuda["cublas_path"]
        else "not opened",
    }
    for device in cuda["devices"]:
        major, minor = device["capability"]
        rows[f"cuda:{device['index']}"] = (
            f"{device['name']}, compute capability {major}.{minor}, "
            f"{device['multiprocessors']} multiprocessors, {device['total_bytes'] / 2**30:.1f} GiB"
        )
    return rows


def _print_report(report: dict[str, Any]) -> None:
    cpu = report["cpu"]
    rows: dict[str, object] = {
        "fastcka": f"{report['fastcka']}, compiled by {cpu['compiler']}",
        "Python": f"{report['python']} on {report['platform']}",
        "CPU implementation": (
            f"{cpu['implementation']} ({cpu['implementation_source']}) "
            f"of {', '.join(cpu['implementations'])}"
        ),
        "threads": f"{cpu['threads']} (from {cpu['threads_source']})",
        **_cuda_rows(report["cuda"]),
        "libraries": ", ".join(f"{name} {number}" for name, number in report["libraries"].items()),
    }
    for extra, libraries in report["extras"].items():
        installed = [f"{name} {number}" for name, number in libraries.items() if number]
        missing = [name for name, number in libraries.items() if not number]
        if missing:
            installed.append(
                f"without {', '.join(missing)} (the extra [{extra}] of fastcka installs it)"
            )
        rows[f"[{extra}]"] = ", ".join(installed)
    output.stdout().print(output.facts(rows))
    for warning in report["warnings"]:
        output.note("warning", warning)
