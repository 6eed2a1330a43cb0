"""Loading pretrained models and tokenizers with transformers, from folders, cache or the Hub.

This is the only module that imports transformers and huggingface_hub.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.capture.factory import load_factory
from fastcka.capture.fitting import LoadedWeights, is_allowed
from fastcka.capture.torch_library import require_torch
from fastcka.errors import InputError, MissingExtraError
from fastcka.out_of_memory import raise_if_shortage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

AUTO_MODEL: Final = "transformers:AutoModel"
"""The class that loads pretrained models, if the configuration names no other."""
NOT_OPTIONS: Final = {
    "revision": "the key revisions",
    "local_files_only": "the key local_files_only",
    "trust_remote_code": "--trust-remote-code",
    "output_loading_info": "nothing: it is always requested",
    "weights_only": "nothing: weights that could run code are not loaded",
}
"""Arguments of ``from_pretrained`` that ``options`` must not contain -> where they are set."""
MODEL_CONFIG: Final = "config.json"
"""The file in the folder of each model."""
_SHOWN: Final = 6


def name_or_folder(where: str, here: Path, name: str) -> str:
    """Return the folder ``name`` relative to ``here`` if it exists, else ``name``.

    Raises
    ------
    InputError
        If ``name`` can only be a folder, and the folder does not exist.
    """
    folder = here / name
    if folder.is_dir():
        return str(folder)
    if name.startswith((".", "~")) or Path(name).is_absolute():
        raise InputError(f"{where}: no such folder: {folder}")
    return name


@dataclass(frozen=True)
class PretrainedSource:
    """Where a pretrained model or its tokenizer is, and what may be done to load it.

    Attributes
    ----------
    name
        A folder, or the name of a repository on the Hugging Face Hub.
    revision
        A branch, tag or commit of the repository; None for the default branch.
    local_files_only
        Whether only folders and the local cache are used.
    trust_remote_code
        Whether code of the repository may run.
    """

    name: str
    revision: str | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}, revision {self.revision}"

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``from_pretrained``."""
        revision = {} if self.revision is None else {"revision": self.revision}
        return revision | {
            "local_files_only": self.local_files_only,
            # Without a value, transformers would ask on the terminal.
            "trust_remote_code": self.trust_remote_code,
        }


@dataclass(frozen=True)
class PretrainedModel:
    """A loaded model.

    Attributes
    ----------
    model
        The model, on the CPU.
    loaded
        The names of weights that were not loaded.
    commit
        The commit of the repository; None for a folder, or if the cache does not contain it.
    """

    model: torch.nn.Module
    loaded: LoadedWeights
    commit: str | None


def pretrained_class(name: str) -> Any:
    """Import the class ``package.module:Class`` whose ``from_pretrained`` loads models.

    Raises
    ------
    InputError
        If it cannot be imported or has no ``from_pretrained``.
    MissingExtraError
        If transformers is not installed.
    """
    _transformers()
    chosen: Any = load_factory(name)
    if not hasattr(chosen, "from_pretrained"):
        raise InputError(
            f"model: expected a class with from_pretrained for runs with pretrained, such as "
            f"{AUTO_MODEL}, got {name}"
        )
    return chosen


def load_pretrained(
    model_class: Any,
    source: PretrainedSource,
    options: Mapping[str, Any],
    *,
    allow_missing: Sequence[str] = (),
) -> PretrainedModel:
    """Load a model. Weights that the file lacks have the values that seed 0 gives them.

    Parameters
    ----------
    model_class
        See `pretrained_class`.
    source
        The model.
    options
        Further arguments of ``from_pretrained``, such as ``dtype``.
    allow_missing
        Patterns of weights that the file may lack.

    Raises
    ------
    InputError
        If the model cannot be loaded, or lacks weights that ``allow_missing`` does not name.
    """
    torch = require_torch()
    with torch.random.fork_rng(devices=[]), _loading("pretrained", source):
        torch.manual_seed(0)
        model, info = model_class.from_pretrained(
            source.name,
            **source.arguments(),
            output_loading_info=True,
            weights_only=True,
            **options,
        )
    missing = tuple(sorted(info["missing_keys"]))
    lacking = [name for name in missing if not is_allowed(name, allow_missing)]
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise InputError(
            f"pretrained: {source} lacks weights of {type(model).__name__}: "
            f"{', '.join(lacking[:_SHOWN])}{more}; choose another class with model, or, if their "
            f"values do not matter, write allow_missing: [{lacking[0]}] (patterns are possible)"
        )
    ignored = tuple(sorted(info["unexpected_keys"]))
    return PretrainedModel(model, LoadedWeights(ignored, missing), _commit(source, options))


def load_tokenizer(source: PretrainedSource) -> Any:
    """Load the tokenizer of a model.

    Raises
    ------
    InputError
        If it cannot be loaded.
    MissingExtraError
        If transformers is not installed.
    """
    library = _transformers()
    with _loading("tokenizer", source):
        return library.AutoTokenizer.from_pretrained(source.name, **source.arguments())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Turn off the warnings and progress bars of transformers.

    Weights that were not loaded and texts that are too long are reported by fastcka.
    """
    logging = _transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _commit(source: PretrainedSource, options: Mapping[str, Any]) -> str | None:
    """Return the commit of a repository, which is in the path of its files in the cache."""
    from huggingface_hub import try_to_load_from_cache

    if Path(source.name).is_dir():
        return None
    file = try_to_load_from_cache(
        source.name,
        "/".join(filter(None, (options.get("subfolder"), MODEL_CONFIG))),
        cache_dir=options.get("cache_dir"),
        revision=source.revision,
    )
    parts = Path(file).parts if isinstance(file, str) else ()
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


@contextlib.contextmanager
def _loading(key: str, source: PretrainedSource) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:  # transformers and its libraries raise errors of many kinds
        raise_if_shortage(error, f"loading {source}")
        reason = " ".join(str(error).split())
        only = "; with local_files_only: true, only folders and the local cache are used"
        raise InputError(
            f"{key}: {source} cannot be loaded: {type(error).__name__}: {reason}"
            f"{only * source.local_files_only}"
        ) from error


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError.of("a pretrained model", "transformers", "huggingface") from error
    return transformers
