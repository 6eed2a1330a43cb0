"""The probe set of each run of a configuration: from a file, or of texts and a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastcka.capture.networks import source_of
from fastcka.capture.pretrained import PretrainedSource, load_tokenizer, quiet
from fastcka.capture.probe import Probe
from fastcka.capture.texts import read_texts
from fastcka.capture.tokenized import tokenized_probe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastcka.capture.config import CaptureConfig, CaptureRun
    from fastcka.capture.networks import Trust
    from fastcka.capture.run_files import RunFile


def probes_of(
    config: CaptureConfig, work: Iterable[tuple[CaptureRun, list[RunFile]]], trust: Trust
) -> dict[str, Probe]:
    """Return the probe set of each run, by the name of the run.

    All runs have the same examples. Texts have the tokens of the tokenizer that the configuration
    names, or else of the run's pretrained model at its first step.

    Raises
    ------
    InputError
        If the probe set or a tokenizer cannot be read, or they do not fit each other.
    """
    keys = config.probe
    if isinstance(keys, Path):
        probe = Probe.load(keys, batch_axis=config.input_batch_axis)
        return {run.name: probe for run, _ in work}
    texts = read_texts(keys, local_files_only=config.local_files_only)
    by_source: dict[PretrainedSource, Probe] = {}
    probes = {}
    for run, files in work:
        if keys.tokenizer is None:
            source = source_of(config, run, files[0], trust)
        else:
            source = PretrainedSource(
                keys.tokenizer, None, config.local_files_only, trust.remote_code
            )
        if source not in by_source:
            tokenizer = load_tokenizer(source)
            with quiet():
                by_source[source] = tokenized_probe(
                    texts, tokenizer, keys, batch_axis=config.input_batch_axis
                )
        probes[run.name] = by_source[source]
    return probes
