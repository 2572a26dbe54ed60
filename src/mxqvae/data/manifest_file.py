"""What a data set of any kind says of itself, where it says it."""

import json
from pathlib import Path
from typing import Any

MANIFEST_FILE = "manifest.json"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of the data set in `folder`, whatever its keys; None where there is none to read."""
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None
