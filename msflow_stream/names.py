"""Names of files and folders that are made from what people and cameras are called: valid on every system."""

from __future__ import annotations

import re

FORBIDDEN = re.compile(r'[\x00-\x1f"*/:<>?\\|]')
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)


def portable_name(text: str) -> str:
    """Returns a text as the name of a file or a folder on Linux, macOS and Windows; one that is such a name as it is.

    Windows knows no names with certain characters, none that end in a dot or a space, and keeps some for devices,
    whatever comes behind a dot.

    >>> portable_name("gate"), portable_name("22:30"), portable_name("nul.mp4")
    ('gate', '22-30', '_nul.mp4')
    """
    name = FORBIDDEN.sub("-", text).rstrip(". ")
    return f"_{name}" if not name or DEVICE.fullmatch(name) else name


def is_portable(name: str) -> bool:
    """Returns whether a file or a folder can be called so on every system."""
    return portable_name(name) == name
