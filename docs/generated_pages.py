"""Pages of reference that are made from the code: commands, settings, and the cameras file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from msflow_stream.config.cameras_file import json_schema
from msflow_stream.config.settings import Settings
from pipelines.commands.app import EXIT_CODES, app

Schema = Mapping[str, Any]
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def write_pages(folder: Path) -> None:
    """Writes the pages into the folder; one that is the same already is left as it is."""
    for name, text in {"cli": commands_page(), "settings": settings_page(), "cameras": cameras_page()}.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def commands_page() -> str:
    """Returns the page of all commands, as their help has them."""
    command = typer.main.get_command(app)
    for name in [name for name, one in command.commands.items() if one.hidden]:
        del command.commands[name]
    command.epilog = None  # the exit codes in it get a table
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="msflow-stream", title="Commands")
    for one in _all_of(command):
        page = page.replace(f"`{one.name}`: {one.get_short_help_str()}", f"`{one.name}`: {one.get_short_help_str(500)}")
    title, _, rest = page.partition("\n\n")
    intro = "After this page you know every command and every option. `msflow-stream COMMAND --help` says the same."
    return f"{title}\n\n{intro}\n\n{rest}\n{_exit_codes()}"


def _exit_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["## Exit codes", "", "| code | |", "|---|---|", *rows, ""])


def _all_of(command: Any) -> Iterator[Any]:
    """Yields the commands below a command."""
    for one in getattr(command, "commands", {}).values():
        yield one
        yield from _all_of(one)


def settings_page() -> str:
    """Returns the page of all settings, section by section."""
    schema = Settings.model_json_schema()
    lines = [
        "# Settings",
        "",
        "After this page you can set anything that a fit or scoring depends on: with `--set section.key=value`, or in",
        "a file that `--config` names. `msflow-stream scenes show NAME` prints those of a scene.",
        "",
    ]
    for name, part in schema["properties"].items():
        section = _resolved(part, schema)
        lines += [f"## {name}", "", _first(section), "", *_table(section, schema, f"{name}."), ""]
    return "\n".join(lines)


def cameras_page() -> str:
    """Returns the page of the cameras file: its parts, and what each may hold."""
    schema = json_schema()
    parts = {
        "Camera": "a camera, under `cameras:` by its name",
        "CameraSettings": "what all cameras inherit, under `defaults:`",
        "Backoff": "the waits between attempts, `backoff:` of a camera",
        "Shift": "an entry of `schedule:`",
        "Learn": "`scene:` of a camera that is to be learnt",
        "Teaching": "what becomes of labels, under `teaching:`",
        "JsonLinesSettings": "an alert of `type: jsonl`",
        "WebhookSettings": "an alert of `type: webhook`",
        "MqttSettings": "an alert of `type: mqtt`",
        "EmailSettings": "an alert of `type: email`",
        "CommandSettings": "an alert of `type: command`",
        "Quiet": "an entry of `quiet:` of an alert",
    }
    lines = [
        "# The cameras file",
        "",
        "After this page you can write a cameras file. `msflow-stream watch --schema` prints the same as a JSON",
        "schema, with which editors complete and check the file; [watch](../watch.md) begins with an example.",
        "",
    ]
    for name, what in parts.items():
        section = schema["$defs"][name]
        lines += [f"## {what[0].upper()}{what[1:]}", "", _first(section), "", *_table(section, schema), ""]
    return "\n".join(lines)


def _table(section: Schema, schema: Schema, prefix: str = "") -> Iterator[str]:
    required = section.get("required", ())
    yield "| key | default | values | |"
    yield "|---|---|---|---|"
    for name, field in section["properties"].items():
        default = "needed" if name in required else f"`{_written(field.get('default'))}`"
        cells = (f"`{prefix}{name}`", default, _values(field, schema), field.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _values(field: Schema, schema: Schema) -> str:
    """What a field may be, in words."""
    field = _resolved(field, schema)
    if "enum" in field:
        return ", ".join(f"`{_written(one)}`" for one in field["enum"])
    if "const" in field:
        return f"`{_written(field['const'])}`"
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(dict.fromkeys(_values(one, schema) for one in field.get("anyOf") or field["oneOf"]))
    kind = field.get("type", "anything")
    if kind == "array":
        items = field.get("items") or {"anyOf": field.get("prefixItems", [])}
        return f"list of {_values(items, schema)}"
    if kind == "object":
        return f"keys of its own: {field['title']}" if "title" in field and "properties" in field else "keys and values"
    bounds = " and ".join(f"{sign} {field[bound]:g}" for bound, sign in BOUNDS.items() if bound in field)
    words = {"string": "text", "boolean": "`true`, `false`", "integer": "whole number", "null": "`null`"}
    return f"{words.get(kind, kind)} {bounds}".strip()


def _resolved(field: Schema, schema: Schema) -> Schema:
    reference = field.get("$ref") or next((one["$ref"] for one in field.get("allOf", ()) if "$ref" in one), None)
    return field if reference is None else schema["$defs"][reference.rsplit("/", 1)[1]]


def _written(value: Any) -> str:
    """A value as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(one)}' for key, one in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first(section: Schema) -> str:
    """The first paragraph of its description."""
    return str(section.get("description", "")).split("\n\n")[0].replace("\n", " ")
