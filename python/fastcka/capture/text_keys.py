"""The keys of a capture configuration for a probe set of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, PositiveInt, model_validator

from fastcka.capture.checkpoint_keys import STRICT
from fastcka.config_problems import path_value

Padding = Literal["longest", "max_length"]
Name = Annotated[str, Field(min_length=1)]

LINES: Final = ".txt"
"""Suffix of a file with one text in each line."""
OBJECTS: Final = ".jsonl"
"""Suffix of a file with one JSON object in each line."""
_OF_DATASETS: Final = ("name", "split")
_OF_COLUMNS: Final = ("column", "ids", "columns")


class TextKeys(BaseModel):
    """Texts, and how a tokenizer turns them into the inputs of a network.

    Attributes
    ----------
    texts
        A ``.txt`` file with one text in each line, or a ``.jsonl`` file with one JSON object in
        each line.
    dataset
        Instead of ``texts``: a folder that ``save_to_disk`` of the library datasets wrote, or what
        its ``load_dataset`` accepts.
    name, split
        The configuration and the split of the dataset.
    column
        The field of the JSON objects, or the column of the dataset, that contains the texts.
    ids
        The field or column with ids of the examples. Default: a digest of each text.
    columns
        Further fields or columns, which are stored as columns of the examples.
    tokenizer
        A name or a folder, as for ``pretrained`` of a run. Default: the tokenizer of each run's
        pretrained model.
    max_length
        The largest number of tokens of a text.
    padding
        ``"longest"``: to the longest text of the probe set; ``"max_length"``: to ``max_length``.
    truncation
        Whether longer texts are cut. By default they are refused.
    """

    model_config = STRICT

    texts: Annotated[Path | None, BeforeValidator(path_value)] = None
    dataset: Name | None = None
    name: Name | None = None
    split: Name | None = None
    column: Name = "text"
    ids: Name | None = None
    columns: list[Name] = Field(default_factory=list)
    tokenizer: Name | None = None
    max_length: PositiveInt
    padding: Padding = "longest"
    truncation: bool = False

    @property
    def has_lines(self) -> bool:
        """Whether a file contains one text in each line, not one object."""
        return self.texts is not None and self.texts.suffix.lower() == LINES

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.texts is None) == (self.dataset is None):
            raise ValueError("expected either texts, a file, or dataset, a folder or a name")
        if self.texts is None:
            return self
        if self.texts.suffix.lower() not in (LINES, OBJECTS):
            raise ValueError(f"texts: expected a {LINES} or {OBJECTS} file, got {self.texts}")
        refused = _OF_DATASETS + (_OF_COLUMNS if self.has_lines else ())
        for key in refused:
            if key in self.model_fields_set:
                instead = f"dataset{f' or a {OBJECTS} file' * (key in _OF_COLUMNS)}"
                raise ValueError(f"{key} is for a {instead}, and texts is {self.texts}")
        return self
