"""Waiting for a page of a report in a browser."""

from __future__ import annotations

from typing import Any


def until(page: Any, expression: str, arg: Any = None) -> None:
    """Wait until a JavaScript function returns something true.

    `page.wait_for_function` calls eval in the page, which the policy of the report forbids.
    """
    for _ in range(1200):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(100)
    raise TimeoutError(f"not true after 120 s: {expression}")
