"""The reference as Markdown: the record, the columns, the settings and the commands.

Every row comes from the definition that the program itself uses, so that a page cannot say
something else. ``raybench schema --pages FOLDER`` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raybench.analysis.columns import Column


def record_page(schema: Mapping[str, Any]) -> str:
    """Return the page of a record's fields, of its JSON Schema."""
    return _page(
        "The record, field by field",
        "One JSON document a trial, `<experiment>/records/<trial_id>.json` in the results folder. "
        "The times of its\ntraining steps stand beside it in `steps/<trial_id>.npz` "
        "(`train_step_ms`, [epochs, steps]). Nothing in a\nresults folder is ever unpickled. "
        "`raybench schema` prints the JSON Schema.",
        record_table(schema),
    )


def record_table(schema: Mapping[str, Any]) -> str:
    """Return a schema's fields as a Markdown table: dotted name, type, meaning."""
    rows = ((f"`{name}`", kind, text) for name, kind, text in _fields(schema, schema["$defs"]))
    return _table(("field", "type", "meaning"), rows)


def columns_page(columns: Mapping[str, Column]) -> str:
    """Return the page of the data frame's columns, which are given by their names."""
    rows = (
        (f"`{each.name}`", each.dtype, each.role.name.lower(), each.meaning)
        for each in columns.values()
    )
    heads = ("column", "dtype", "role", "meaning")
    return _page("The columns of the data frame", _COLUMNS, _table(heads, rows))


_COLUMNS = """\
`raybench.load` returns one row a trial, and `raybench analyze --save-trials FILE` writes the same
to a file. What is not known is missing: NaN in a number, NA in a count or flag, None in a text.

The role says what a column means for a comparison of two results: a *cell* names what a table's
cell shows; a *replicate* differs between independent repeats; a *factor* has to be equal before one
result is divided by another (`--allow-mismatch` takes these); *context* is listed where it differs;
a *figure* was measured; *bookkeeping* says nothing of the measurement."""


def settings_page(settings: type[BaseModel], prefix: str) -> str:
    """Return the page of the environment variables: a field each, whose name follows the prefix."""
    rows = []
    for name, field in settings.model_fields.items():
        value = int(field.default) if isinstance(field.default, (bool, float)) else field.default
        default = "–" if value is None else f"`{value}`"
        rows.append((f"`{prefix}{name.upper()}`", default, field.description or ""))
    return _page(
        "The settings",
        "Environment variables; an empty one counts as unset. An option of the same name on the "
        "command line\noutranks its variable. In `site.env` they hold for every job. "
        "`RAYBENCH_SITE`, `RAYBENCH_ENVIRONMENT` and\n`RAYBENCH_PACKAGE` are read by the scripts "
        "before raybench runs: [Slurm](../slurm.md).",
        _table(("variable", "default", "meaning"), rows),
    )


def commands_page(commands: Mapping[str, Any], fields: Collection[str]) -> str:
    """Return the page of the command line: Click's commands by their names, as in ``data fetch``.

    ``fields`` are parameters that several commands have all, and stand in a table of their own.
    """
    shared = {
        param.name: param
        for command in commands.values()
        for param in command.params
        if param.name in fields and _is_option(param)
    }
    ordered = [shared[name] for name in fields if name in shared]
    parts = [
        "# The command line\n\n" + _GENERATED,
        "`raybench COMMAND --help` says the same. Before the command, `--debug` shows an error's "
        "traceback.\nExit codes: 0 done; 1 a trial or a check failed; 2 the command or its input "
        "is wrong; 130 interrupted.",
        *(_command(name, command, shared) for name, command in commands.items()),
        "## The fields of a trial",
        "Options of `run` and of other commands that take a single trial; lines of a grid's YAML "
        "([grids](../grids.md)).",
        _table(("option", "meaning"), ((_option(param), _meaning(param)) for param in ordered)),
    ]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any, shared: Mapping[str, Any]) -> str:
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [param for param in shown if not _is_option(param)]
    options = [param for param in shown if _is_option(param)]
    own = [param for param in options if param.name not in shared]
    usage = ["raybench", name, *map(_argument, arguments), *["[OPTIONS]"] * bool(options)]
    parts = [f"## raybench {name}", (command.help or "").strip(), f"    {' '.join(usage)}"]
    if command.epilog:
        word, _, example = command.epilog.partition(": ")
        parts.append(f"{word}: `{example}`")
    rows = [(f"`{_argument(p)}`", _meaning(p)) for p in arguments]
    rows += [(_option(p), _meaning(p)) for p in own]
    if len(own) < len(options):
        rows.append(("[fields of a trial](#the-fields-of-a-trial)", "each an option"))
    if rows:
        parts.append(_table(("argument or option", "meaning"), rows))
    return "\n\n".join(parts)


def _is_option(param: Any) -> bool:
    return str(param.opts[0]).startswith("-")


def _argument(param: Any) -> str:
    name = str(param.metavar or param.name).upper().strip("[]") + "…" * (param.nargs == -1)
    return name if param.required else f"[{name}]"


def _option(param: Any) -> str:
    names = ", ".join([*param.opts, *param.secondary_opts])
    if param.is_flag:
        return f"`{names}`"
    value = param.metavar or param.name.upper().replace("-", "_")
    return f"`{names} {value}`" + (" (repeatable)" if param.multiple else "")


def _meaning(param: Any) -> str:
    text = " ".join((getattr(param, "help", None) or "").split()).replace("\\[", "[")
    variables = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or ())
    if variables:
        text += f" Variable: {', '.join(f'`{name}`' for name in variables)}."
    plain = isinstance(param.default, (str, int, float)) and not isinstance(param.default, bool)
    if plain and "default:" not in text:
        text += f" Default: `{param.default}`."
    return text


_GENERATED = "<!-- generated by `make docs`; not to be edited -->"


def _page(title: str, introduction: str, table: str) -> str:
    return f"# {title}\n\n{_GENERATED}\n\n{introduction}\n\n{table}\n"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(headers), "|" + "---|" * len(headers), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    # A bar would end the cell; a name in angle brackets would vanish as an unknown tag of HTML.
    escaped = (" ".join(cell.split()).replace("|", "\\|").replace("<", "\\<") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _fields(
    part: Mapping[str, Any], parts: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield each field's name, type and meaning, followed by the fields below it."""
    for name, field in part["properties"].items():
        yield f"{prefix}{name}", _type(field, parts), field["description"]
        for inner, plural in _inner_parts(field, parts):
            if not _is_plain(inner):
                yield from _fields(inner, parts, f"{prefix}{name}{plural}.")


def _inner_parts(
    field: Mapping[str, Any], parts: Mapping[str, Any], plural: str = ""
) -> Iterator[tuple[Mapping[str, Any], str]]:
    for choice in field.get("anyOf", [field]):
        if "$ref" in choice:
            yield parts[choice["$ref"].rpartition("/")[2]], plural
        elif isinstance(choice.get("items"), dict):
            yield from _inner_parts(choice["items"], parts, "[]")


def _is_plain(part: Mapping[str, Any]) -> bool:
    """Whether a part is a few numbers of one kind, such as quartiles: one row says it all."""
    return len(part["properties"]) <= 3 and all(
        field.get("type") == "number" for field in part["properties"].values()
    )


def _type(field: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(choice, parts) for choice in field["anyOf"])
    if "enum" in field or "const" in field:
        values = field.get("enum") or [field["const"]]
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    if "$ref" in field:
        part = parts[field["$ref"].rpartition("/")[2]]
        return f"{{{', '.join(part['properties'])}}}" if _is_plain(part) else "object"
    if "items" in field:
        return f"list of {_type(field['items'], parts)}"
    values = field.get("additionalProperties")
    if isinstance(values, dict) and "type" in values:
        return f"object of {_type(values, parts)}"
    return str(field["type"])


def write_pages(pages: Mapping[str, str], folder: Path) -> list[Path]:
    """Write pages by their files' names, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in pages]
