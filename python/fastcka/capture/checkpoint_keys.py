"""The keys of a capture configuration for finding and reading checkpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fastcka.capture.finding import checked_pattern

#: Unknown keys are refused, and no value is converted.
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


def _pattern(text: str | None) -> str | None:
    if text is not None:
        checked_pattern(text)
    return text


class CheckpointKeys(BaseModel):
    """How checkpoints are found and read, for all runs of a configuration or for one run.

    Attributes
    ----------
    weights_key, strip
        As for `load_state`.
    strict, allow_missing
        As for `load_weights`.
    step_pattern
        As for `find_checkpoints`.
    check_step
        Refuse a checkpoint whose step differs from the step in its name.
    """

    model_config = STRICT

    weights_key: Annotated[str, Field(min_length=1)] | None = None
    strip: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    strict: bool = True
    allow_missing: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    step_pattern: Annotated[str | None, AfterValidator(_pattern)] = None
    check_step: bool = True

    def or_those_of(self, other: CheckpointKeys) -> dict[str, object]:
        """Return the keys by name: those that are set here, else those of ``other``."""
        return {
            name: getattr(self if name in self.model_fields_set else other, name)
            for name in CheckpointKeys.model_fields
        }
