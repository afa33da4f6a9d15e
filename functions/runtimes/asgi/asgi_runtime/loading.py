"""Loads `func.py` of a folder."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FILE = "func.py"


class FunctionError(Exception):
    """The folder has no function; the message says what is missing."""


def load_function(folder: Path) -> Any:
    """Imports `func.py` and returns the function's instance.

    Args:
        folder: has `func.py`; it becomes the first place of imports.

    Returns:
        What `new()` of `func.py` returns, or the module itself if it has `handle`.

    Raises:
        FunctionError: there is no such file, or it defines neither `handle` nor `new`.
        Exception: what `func.py` raised while it was imported or `new()` ran.
    """
    if not (folder / FILE).is_file():
        raise FunctionError(f"{folder} has no {FILE}")
    sys.path.insert(0, str(folder))
    module = importlib.import_module("func")
    if callable(getattr(module, "new", None)):
        instance = module.new()
        if not callable(getattr(instance, "handle", None)):
            raise FunctionError(f"the object that new() of {FILE} returns has no method handle(scope, receive, send)")
        return instance
    if callable(getattr(module, "handle", None)):
        return module
    raise FunctionError(f"{FILE} defines neither handle(scope, receive, send) nor new()")
