"""Named extension points: backbones, heads, feature extractors, predictors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _register_generic(module_dict: dict, module_name: str, module: Any) -> None:
    if module_name in module_dict:
        raise ValueError(f"{module_name} is registered already")
    module_dict[module_name] = module


class Registry(dict):
    """A dictionary with `register`, as a call `register(name, object)` or as a decorator `@register(name)`."""

    def register(self, module_name: str, module: Any = None) -> Callable | None:
        if module is not None:
            _register_generic(self, module_name, module)
            return None

        def decorate(thing):
            _register_generic(self, module_name, thing)
            return thing

        return decorate
