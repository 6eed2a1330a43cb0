"""CKA of a network in training with itself at earlier steps, on a fixed probe set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from fastcka.capture.kept import KeptInMemory, KeptInStore
from fastcka.capture.probe import Probe
from fastcka.capture.torch_library import writes_files
from fastcka.capture.wrappers import bare_modules
from fastcka.core import cka
from fastcka.errors import InputError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.options import Pools
    from fastcka.core.estimators import Estimator

Reference = Literal["previous", "first", "final"]
REFERENCES: Final[tuple[Reference, ...]] = get_args(Reference)


class CKARecord(NamedTuple):
    """CKA of one layer between two steps of a training run.

    Attributes
    ----------
    step : int
        The step.
    reference : {"previous", "first", "final"}
        Which step it is compared with.
    reference_step : int
        The number of that step.
    layer : str
        The layer.
    cka : float
        CKA. NaN, with a `DegenerateWarning`, if a representation is constant.
    """

    step: int
    reference: Reference
    reference_step: int
    layer: str
    cka: float


class CKAMonitor:
    """Compares the layers of a network in training with the same layers at other steps, by CKA.

    The network runs on the probe set before the training, after every `every` updates, and at the
    end. CKA with the previous and the first of these steps is known at once. CKA with the final
    step is known only at the end, so the activations of all steps are kept until then: without
    `store` in memory, n_steps * n_examples * (features of all layers) * 4 bytes, which `bytes_kept`
    counts. Two layers of 768 features, 1000 examples and 100 steps take 0.6 GB. With ``store`` they
    are on the disk, and memory holds those of at most two steps. Without ``"final"``, at most the
    first and the last step are kept.

    `huggingface_callback` and `lightning_callback` call the methods and log the values. In
    distributed training, only the process of rank 0 computes. The network must be complete in this
    process, which it is not with fully sharded data parallel.

    Parameters
    ----------
    probe : Probe, tensor, ndarray, or mapping of str to these
        The examples, at least 4.
    layers : sequence of str
        As for `capture_activations`.
    every : int
        Number of updates between two steps.
    references : sequence of {"previous", "first", "final"}, default ("previous", "final")
        The steps to compare with.
    submodule : str, optional
        The path of the module that receives the probe set, such as ``"net"`` in a LightningModule
        without a forward method. Default: the network itself.
    store : path, optional
        The folder of a store for the activations, created if it does not exist.
    model_name : str, default "training"
        The name of the training run in the store.
    pool : str or mapping of pattern to str, default "flatten"
        As for `capture_activations`.
    batch_size : int, default 256
        Examples in one forward pass.
    estimator : {"unbiased", "biased", "feature_corrected"}, default "unbiased"
        As for `fastcka.cka`.
    overwrite : bool, default False
        Replace the steps of another training run in the store.

    Attributes
    ----------
    completed : int
        Number of completed updates.
    records : list of CKARecord
        All values so far; ``pandas.DataFrame(monitor.records)`` is a table.
    bytes_kept : int
        Bytes of activations in memory.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> def train(model, batches, update, images):
    ...     monitor = CKAMonitor(images, ["conv1", "conv2"], every=100)
    ...     monitor.before_training(model)
    ...     for batch in batches:
    ...         update(model, batch)
    ...         monitor.after_update(model)
    ...     monitor.finish(model)
    ...     return monitor.records
    """

    def __init__(
        self,
        probe: Probe | torch.Tensor | NDArray[Any] | Mapping[str, Any],
        layers: Sequence[str],
        *,
        every: int,
        references: Sequence[Reference] = ("previous", "final"),
        submodule: str | None = None,
        store: str | os.PathLike[str] | None = None,
        model_name: str = "training",
        pool: Pools = "flatten",
        batch_size: int = 256,
        estimator: Estimator = "unbiased",
        overwrite: bool = False,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"every: expected a number of updates, 1 or more, got {every!r}")
        if isinstance(references, str) or not references or not set(references) <= set(REFERENCES):
            raise InputError(
                f"references: expected some of {', '.join(REFERENCES)}, got {references!r}"
            )
        self.completed = 0
        self.records: list[CKARecord] = []
        self._probe = probe if isinstance(probe, Probe) else Probe(probe)
        self._options: dict[str, Any] = {"layers": layers, "pool": pool, "batch_size": batch_size}
        self._every, self._references, self._submodule = every, tuple(references), submodule
        self._estimator = estimator
        self._steps: list[int] = []
        self._reported = 0
        self._kept: KeptInMemory | KeptInStore = (
            KeptInMemory() if store is None else KeptInStore(store, model_name, overwrite)
        )

    @property
    def bytes_kept(self) -> int:
        """Bytes of activations in memory."""
        return self._kept.nbytes

    def before_training(self, model: torch.nn.Module, **_given: Any) -> None:
        """Capture step 0, the network before its first update."""
        self._capture(model)

    def after_update(
        self, model: torch.nn.Module, *, step: int | None = None, **_given: Any
    ) -> None:
        """Count one completed update, and compare if it is time to.

        Parameters
        ----------
        model : torch.nn.Module
            The network.
        step : int, optional
            Number of completed updates. Default: one more than before.

        Raises
        ------
        InputError
            If ``step`` does not increase, or as for `capture_activations`.
        """
        step = self.completed + 1 if step is None else step
        if step <= self.completed:
            raise InputError(f"step: expected more than {self.completed}, got {step}")
        self.completed = step
        if step % self._every == 0:
            self._capture(model)

    def finish(self, model: torch.nn.Module | None = None) -> None:
        """Compare all steps with the final one.

        Parameters
        ----------
        model : torch.nn.Module, optional
            The network after the last update, whose step becomes the final one. Without a network,
            the final step is the last captured one. Give none if the weights are no longer those of
            the last update.
        """
        if model is not None and self.completed not in self._steps:
            self._capture(model)
        if "final" not in self._references or len(self._steps) < 2 or not writes_files():
            return
        *earlier, last = self._steps
        final = self._kept.read(last)
        for step in earlier:
            self._compare(step, self._kept.read(step), "final", last, final)

    def new_values(self) -> dict[int, dict[str, float]]:
        """Return the values since the last call: step -> ``"cka/previous/LAYER"`` -> CKA."""
        values: dict[int, dict[str, float]] = {}
        for record in self.records[self._reported :]:
            name = f"cka/{record.reference}/{record.layer}"
            values.setdefault(record.step, {})[name] = record.cka
        self._reported = len(self.records)
        return values

    def _capture(self, model: torch.nn.Module) -> None:
        if not writes_files():
            return
        now = self._kept.capture(self._part(model), self._probe, self.completed, self._options)
        compared: list[tuple[Reference, int]] = []
        if self._steps and "previous" in self._references:
            compared.append(("previous", self._steps[-1]))
        if self._steps and "first" in self._references:
            compared.append(("first", self._steps[0]))
        for reference, step in compared:
            self._compare(self.completed, now, reference, step, self._kept.read(step))
        self._steps.append(self.completed)
        if "final" not in self._references:
            first = self._steps[:1] if "first" in self._references else []
            self._kept.keep({*first, self.completed})

    def _part(self, model: torch.nn.Module) -> torch.nn.Module:
        if self._submodule is None:
            return model
        modules = bare_modules(model)
        if self._submodule not in modules:
            hint = near_misses(self._submodule, list(modules), heading="its modules")
            raise InputError(
                f"submodule: {type(model).__name__} has no module {self._submodule!r}{hint}"
            )
        return modules[self._submodule]

    def _compare(
        self,
        step: int,
        layers: Mapping[str, Any],
        reference: Reference,
        reference_step: int,
        others: Mapping[str, Any],
    ) -> None:
        for layer, values in layers.items():
            value = cka(values, others[layer], estimator=self._estimator)
            self.records.append(CKARecord(step, reference, reference_step, layer, value))
