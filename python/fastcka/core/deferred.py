"""Fields of a dataclass whose values are computed when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Later(Generic[V]):
    """A value that ``compute`` returns; a function that can be pickled."""

    compute: Callable[[], V]


class Deferred(Generic[V]):
    """A field that takes a value or `Later`, and is a value to its readers. Its default is None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> None: ...
    @overload
    def __get__(self, instance: object, owner: type) -> V | None: ...
    def __get__(self, instance: object | None, owner: type) -> V | None:
        if instance is None:  # the default of the dataclass
            return None
        values: dict[str, Any] = instance.__dict__
        value: V | Later[V] | None = values[self._name]
        if isinstance(value, Later):
            value = values[self._name] = value.compute()
        return value

    def __set__(self, instance: object, value: V | Later[V] | None) -> None:
        instance.__dict__[self._name] = value
