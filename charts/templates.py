"""From objects and their bindings to the text of a template. Pure."""

import copy
import json
import re
from collections.abc import Iterable
from typing import Any

import yaml

from charts.bindings import Binding, Manifest
from charts.errors import ChartError

# A scalar that stands for the binding of this number until the object is YAML.
_MARK = "__binding_{}__"
_LINE = re.compile(r"^(?P<indent> *)(?P<key>[^\n]*?)__binding_(?P<number>\d+)__$", re.MULTILINE)
_WIDE = 1 << 20


def template_of(item: Manifest, bindings: Iterable[Binding]) -> str:
    """The object as YAML, with an expression at each bound place.

    Raises:
        ChartError: the object itself contains what Helm would take for an expression.
    """
    if "{{" in json.dumps(item):
        raise ChartError(f"{item['kind']} {item['metadata']['name']} contains {{{{, which Helm would evaluate")
    bound = copy.deepcopy(item)
    numbered = list(bindings)
    for number, binding in enumerate(numbered):
        _put(bound, binding, _MARK.format(number))
    text = yaml.safe_dump(bound, sort_keys=False, width=_WIDE)

    def filled(line: re.Match[str]) -> str:
        binding = numbered[int(line["number"])]
        indent, key = line["indent"], line["key"]
        if binding.optional:
            return (
                f"{indent}{{{{- with {binding.expression} }}}}\n{indent}{key}{{{{ toJson . }}}}\n{indent}{{{{- end }}}}"
            )
        return f"{indent}{key}{{{{ {binding.expression} | toJson }}}}"

    return _LINE.sub(filled, text)


def _put(item: Any, binding: Binding, mark: str) -> None:
    *steps, last = binding.path
    for step in steps:
        item = item.setdefault(step, {}) if isinstance(item, dict) else item[step]
    item[last] = mark


def settings_template(data: dict[str, str]) -> str:
    """The gateway's settings of the manifests, as a template that gives them as JSON."""
    return f'{{{{- define "osfaas.baseSettings" -}}}}\n{json.dumps(data, indent=2)}\n{{{{- end -}}}}\n'


def conditional(condition: str, text: str) -> str:
    """Text for the case that a component is switched on."""
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n" if condition else text
