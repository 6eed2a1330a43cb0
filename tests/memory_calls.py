"""A child process for `test_out_of_memory`: one public call under a limit of the address space.

``python memory_calls.py FOLDER EXTRA,EXTRA NAME...`` makes each call once without a limit. Then it
repeats the call for each EXTRA, with that number of MiB more than the process has at that time. It
prints a line of JSON for each repetition: NAME, EXTRA, and "right", "wrong", or the type and the
message of the error.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
from functools import cached_property, partial
from pathlib import Path

import numpy as np

MIB = 1 << 20
#: (n, d) of the arrays in files: 16 MiB of float32.
SHAPE = (16384, 256)


def make_files(folder):
    """Write every kind of file that the calls read."""
    import h5py
    import torch
    from safetensors.torch import save_file

    from fastcka.store import create_store

    x = values()
    np.save(folder / "x.npy", x)
    np.savez_compressed(folder / "x.npz", x=x)
    with h5py.File(folder / "x.h5", "w") as file:
        file["x"] = x
        file.create_dataset("zipped", data=x, chunks=(SHAPE[0] // 2, SHAPE[1]), compression="gzip")
    torch.save(torch.from_numpy(x), folder / "x.pt")
    torch.save({"w": torch.from_numpy(x)}, folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(
        {"x": torch.from_numpy(x), "half": torch.from_numpy(x).bfloat16()}, folder / "x.safetensors"
    )
    (folder / "tree").mkdir()
    for model in "ab":
        (folder / "tree" / model / "5").mkdir(parents=True)
        np.save(folder / "tree" / model / "5" / "layer.npy", x[: SHAPE[0] // 2] + ord(model))
    with create_store(folder / "store") as store:
        for index, model in enumerate("abc"):
            store.write(model=model, step=0, layers={"fc": x[:8192] ** (index + 1)})


def values():
    """The array in the files, whose numbers bfloat16 represents exactly."""
    rows = np.arange(SHAPE[0], dtype=np.float32)[:, None] % 97
    return rows * 2 + np.arange(SHAPE[1], dtype=np.float32) % 2


def digest(x):
    """A digest of an array, without a copy of it."""
    return hashlib.blake2b(np.ascontiguousarray(x).data).hexdigest()


class Calls:
    """Each method makes one public call and returns what identifies a right answer."""

    def __init__(self, folder):
        self.folder = folder
        self.x = values()
        self.wide = self.x.reshape(2048, -1)

    def array_of(self, source):
        from fastcka.store import read_array

        return digest(read_array(f"{self.folder}/{source}"))

    def compare(self):
        import fastcka

        ys = [self.wide, self.wide[::-1], self.wide**2]
        return fastcka.compare(ys, threads=2, device="cpu").unbiased.tobytes()

    def compare_integers(self):
        import fastcka

        return fastcka.cka(self.wide.astype(np.int8), self.wide[::-1], threads=2, device="cpu")

    def compare_many(self):
        from fastcka.core import compare_many

        groups = [[self.wide[:64] + index, self.wide[:64] ** 2] for index in range(20)]
        flights = compare_many(groups, threads=2, device="cpu")
        return [result.unbiased.tobytes() for results in flights for result in results]

    def store_read(self):
        from fastcka.store import Key, open_store

        with open_store(self.folder / "store") as store:
            return digest(store.read(Key("b", 0, "fc")))

    def store_write(self):
        from fastcka.store import Key, create_store, open_store

        shutil.rmtree(self.folder / "new", ignore_errors=True)
        with create_store(self.folder / "new") as store:
            store.write(model="m", step=1, layers={"x": self.x})
        with open_store(self.folder / "new") as store:
            return store.info(Key("m", 1, "x")).digest

    def import_tree(self):
        from fastcka.store import import_tree

        shutil.rmtree(self.folder / "imported", ignore_errors=True)
        report = import_tree(self.folder / "tree", self.folder / "imported")
        return len(report.imported)

    def run_sweep(self):
        from fastcka.sweep import run_sweep

        shutil.rmtree(self.folder / "out", ignore_errors=True)
        result = run_sweep(self._sweep(), threads=2)
        return result.comparisons, result.undefined

    def plan_sweep(self):
        from fastcka.sweep import plan_sweep

        return plan_sweep(self._sweep()).comparisons

    def write_report(self):
        from fastcka.report import write_report

        if not (self.folder / "out").exists():
            self.run_sweep()
        shutil.rmtree(self.folder / "out" / "report", ignore_errors=True)
        return len(list((self.folder / "out").glob(write_report(self.folder / "out").page.name)))

    def run_pair(self, kernel="linear"):
        from fastcka.pair import PairConfig, run_pair

        store = {"repr_dir": self.folder / "store"}
        config = PairConfig(
            exp1={"name": "a", **store},
            exp2={"name": "b", **store},
            layer="fc",
            city_filter="id:^[0-9]{1,3}$",
            kernel_type=kernel,
            output_dir=self.folder / "pair",
        )
        return run_pair(config, overwrite=True).result.points[0].cka

    def run_pair_rbf(self):
        return self.run_pair("rbf")

    def capture(self):
        import torch

        from fastcka.capture import capture_activations

        activations = capture_activations(
            self.network, torch.from_numpy(self.x), ["0", "1"], batch_size=4096
        )
        return {name: x.shape for name, x in activations.items()}

    @cached_property
    def network(self):
        """Built in the call without a limit, because errors of torch here are not of fastcka."""
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU())

    def load_state(self, name="old.pt"):
        from fastcka.capture import load_state

        return {name: tensor.shape for name, tensor in load_state(self.folder / name).items()}

    def load_safetensors(self):
        return self.load_state("x.safetensors")

    def _sweep(self):
        from fastcka.sweep import SweepConfig

        return SweepConfig.model_validate(
            {
                "store": self.folder / "store",
                "output": self.folder / "out",
                "compare": {"within": ["layer"]},
                "device": "cpu",
            }
        )


def limit(extra):
    """Leave `extra` MiB of address space; None for no limit."""
    most = resource.RLIM_INFINITY
    if extra is not None:
        with open("/proc/self/status") as file:
            size = next(int(line.split()[1]) for line in file if line.startswith("VmSize"))
        most = size * 1024 + extra * MIB
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def outcome_of(call, right):
    """The outcome of a call: "right", "wrong", or the type and the message of its error."""
    try:
        return "right" if call() == right else "wrong"
    except BaseException as error:
        return [type(error).__name__, str(error)]


def main():
    folder, extras, *names = sys.argv[1:]
    calls = Calls(Path(folder))
    for name in names:
        call = partial(calls.array_of, name) if "." in name else getattr(calls, name)
        right = call()
        for extra in map(int, extras.split(",")):
            limit(extra)
            outcome = outcome_of(call, right)
            limit(None)
            print(json.dumps([name, extra, outcome]), flush=True)


if __name__ == "__main__":
    main()
