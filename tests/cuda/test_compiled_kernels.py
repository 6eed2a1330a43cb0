"""What nvcc makes of the kernels that keep their sums in registers; skipped without nvcc."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from cuda_emulation import KERNELS

NVCC = shutil.which("nvcc")
ARCHITECTURES = ("80", "90a")


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("name", ["gram_blocks", "feature_blocks"])
def test_sums_stay_in_registers(tmp_path, name):
    code = [
        option
        for architecture in ARCHITECTURES
        for option in ("-gencode", f"arch=compute_{architecture},code=sm_{architecture}")
    ]
    command = [NVCC, "-std=c++17", "-O3", "-Xptxas", "-v", *code, "-c", KERNELS / f"{name}.cu"]
    done = subprocess.run(
        [*command, "-o", tmp_path / "kernels.o"], capture_output=True, text=True, check=True
    )
    kernels = 2 * len(ARCHITECTURES)  # for one part and for two
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores", done.stderr)
    assert spills == [("0", "0")] * kernels
    registers = [int(count) for count in re.findall(r"Used (\d+) registers", done.stderr)]
    assert len(registers) == kernels
    # More than the 128 sums of a thread, and few enough for the 256 threads of a block.
    assert all(128 < count <= 255 for count in registers)
    disassembler = shutil.which("cuobjdump")
    if disassembler is not None:
        command = [disassembler, "-sass", tmp_path / "kernels.o"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert listing.count("HMMA.16816.F32") >= (16 + 48) * len(ARCHITECTURES)
        assert "LDSM" in listing
