"""Strict configuration: frozen dataclasses that refuse what they do not know.

This module knows no field of ours. A config dataclass sits beside the class that it configures and is
declared with `@configuration`; `to_json` and `from_json` write and read it, `override` changes single fields
by dotted name (`"optimiser.learning_rate=1e-3"`).
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from mxqvae.errors import MxqvaeError

C = TypeVar("C")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def configuration(cls: type[C]) -> type[C]:
    """Declare a frozen, keyword-only, strictly typed config dataclass; unknown keys are refused."""
    decorate: Callable[[type[C]], Any] = pydantic_dataclass(
        frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    )
    return decorate(cls)


def to_tree(config: Any) -> dict[str, Any]:
    """The config as nested dicts of JSON types."""
    return json.loads(to_json(config))


def to_json(config: Any) -> str:
    """The config as indented JSON."""
    return TypeAdapter(type(config)).dump_json(config, indent=2).decode()


def from_json(cls: type[C], text: str | bytes, source: str) -> C:
    """Read a config of class `cls` from JSON.

    Args:
        text: JSON object.
        source: What is being read, for the error message (a file's path, say).

    Raises:
        MxqvaeError: Names the first key that is unknown, of the wrong type or impossible.
    """
    try:
        return TypeAdapter(cls).validate_json(text)
    except ValidationError as error:
        raise MxqvaeError(f"{source}: {_first_problem(error, cls, text)}") from None


def changed(config: C, source: str, **values: Any) -> C:
    """A copy of `config` with fields replaced; what is impossible is the user's error, not a traceback.

    Args:
        source: What the values are for, for the error message.

    Raises:
        MxqvaeError: Names the first impossible value.
    """
    return from_json(type(config), json.dumps(to_tree(config) | values), source)


def override(config: C, assignments: Sequence[str]) -> C:
    """A copy of `config` with fields replaced, e.g. `["num_steps=100", "optimiser.learning_rate=1e-3"]`.

    Raises:
        MxqvaeError: An assignment without `=`, an unknown field, or a value of the wrong type.
    """
    tree = to_tree(config)
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise MxqvaeError(f"--set {assignment!r}: write FIELD=VALUE, for example num_steps=100")
        *parents, leaf = name.strip().split(".")
        branch = tree
        for parent in parents:
            branch = branch.get(parent) if isinstance(branch, dict) else None
        if not isinstance(branch, dict) or leaf not in branch:
            fields = ", ".join(_field_names(to_tree(config)))
            raise MxqvaeError(f"--set {name}: no such field; choose from {fields}")
        try:
            branch[leaf] = json.loads(value)
        except json.JSONDecodeError:
            branch[leaf] = value
    return from_json(type(config), json.dumps(tree), "--set")


def _field_names(tree: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key, value in tree.items():
        names += _field_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return names


def _first_problem(error: ValidationError, cls: type, text: str | bytes) -> str:
    problem = error.errors(include_url=False)[0]
    kind, message = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind == "json_invalid":
        return f"{message}; fix it"
    parts = _path_in_file(problem["loc"], json.loads(text))
    if kind == "union_tag_not_found":
        parts, kind = [*parts, problem.get("ctx", {})["discriminator"].strip("'")], "missing"
    key = ".".join(parts)
    if kind == "unexpected_keyword_argument":
        is_nested = len(parts) > 1 or not dataclasses.is_dataclass(cls)
        known = "" if is_nested else f", or choose from {', '.join(f.name for f in dataclasses.fields(cls))}"
        return f"unknown key {key!r}; remove it{known}"
    if kind == "missing":
        return f"key {key!r} is missing; add it"
    # What a cross-check of several fields was given is too long to repeat.
    got = "" if isinstance(problem["input"], dict | list) else f" (got {problem['input']!r})"
    return (f"{key!r}: " if key else "") + message + got


def _path_in_file(location: Sequence[int | str], tree: Any) -> list[str]:
    """Keys that lead to a problem, without the tags by which pydantic tells the members of a union apart."""
    parts = []
    for number, part in enumerate(location):
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):  # a tag, or what the file lacks
            if number < len(location) - 1:
                continue
        parts.append(str(part))
    return parts
