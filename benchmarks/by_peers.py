"""All pairs' CKA (M, M) of a list of tensors or arrays by published packages.

Each package is imported where it is called. We call its function for representations; a package
that only takes networks gets modules that return the representations.
"""

from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np


def ckatorch(xs):
    from ckatorch import cka_base

    return _pair_by_pair(xs, lambda x, y: cka_base(x, y, unbiased=True))


def torch_cka(xs):
    import warnings

    import torch
    from torch_cka import CKA

    network, names = _returning(xs)
    other, _ = _returning(xs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the two networks have the same name
        cka = CKA(network, other, model1_layers=names, model2_layers=names)
        cka.compare(_one_batch(torch.arange(len(xs[0]))))
    return cka.export()["CKA"].numpy()


def pytorch_cka(xs):
    from cka import cka_from_features

    return cka_from_features(xs, xs).numpy()


def cka_pytorch(xs):
    import torch
    from cka_pytorch import CKACalculator

    network, names = _returning(xs)
    other, _ = _returning(xs)
    calculator = CKACalculator(
        network, other, names, names, device=torch.device("cpu"), verbose=False
    )
    batches = _one_batch(torch.arange(len(xs[0])), torch.zeros(len(xs[0])))
    return calculator.calculate_cka_matrix(batches, num_epochs=1).numpy()


def repsim(xs):
    from repsim import cka

    return cka(xs, kernel_type="linear", estimator="gretton")


def rsatoolbox(xs):
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare

    rdms = calc_rdm([Dataset(x) for x in xs], method="euclidean")
    return compare(rdms, rdms, method="cosine_cov")


def hyppo(xs):
    from hyppo.independence import Hsic

    test = Hsic(compute_kernel="linear", bias=True)
    xs = [x.astype(np.float64) for x in xs]  # it raises TypingError for float32
    return _pair_by_pair(xs, lambda x, y: test.statistic(x, y) ** 2)


def thingsvision(xs):
    # `import thingsvision` needs torchvision and TensorFlow, which its CKA does not use.
    if "thingsvision" not in sys.modules:
        package = types.ModuleType("thingsvision")
        package.__path__ = importlib.util.find_spec("thingsvision").submodule_search_locations
        sys.modules["thingsvision"] = package
    from thingsvision.core.cka import get_cka

    cka = get_cka("torch", len(xs[0]), kernel="linear", unbiased=True, device="cpu")
    return _pair_by_pair(xs, cka.compare)


def _pair_by_pair(xs, similarity):
    m = len(xs)
    cka = np.eye(m)
    for i in range(m):
        for j in range(i + 1, m):
            cka[i, j] = cka[j, i] = similarity(xs[i], xs[j])
    return cka


def _returning(xs):
    """A network whose children each return one of the representations for any input."""
    from torch import nn

    class Given(nn.Module):
        def __init__(self, x):
            super().__init__()
            self.x = x

        def forward(self, _):
            return self.x

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            for i, x in enumerate(xs):
                self.add_module(f"given{i}", Given(x))

        def forward(self, examples):
            for child in self.children():
                child(examples)
            return examples

    return Network(), [f"given{i}" for i in range(len(xs))]


def _one_batch(*tensors):
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(*tensors), batch_size=len(tensors[0]))
