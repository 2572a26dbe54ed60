"""Rows on captioned images that `mxqvae data` built, each data set in a work folder of its own."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxqvae.config import from_json
from mxqvae.data.batch import PairShape
from mxqvae.data.captioned_images.manifest import Manifest
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.errors import MxqvaeError
from mxqvae.recipes import Recipe
from mxqvae.reproduction.rows import Reproduction

_BUILDERS = "as `mxqvae data folder`, `flowers102`, `cub200` and `coco` build them"


@dataclass(frozen=True, kw_only=True)
class CaptionedImagesReproduction(Reproduction):
    """Rows on one data set; those of several tables share the models in a work folder."""

    data: Path
    """Folder of the data set."""
    data_set: str
    """Its name in the table."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*", self.data_set):
            raise MxqvaeError(f"data_set {self.data_set!r} names files; take letters, digits, dots, - and _")

    @property
    def data_folder(self) -> Path:
        """As given."""
        return self.data

    @property
    def data_settings(self) -> dict[str, Any]:
        """The hash of its manifest: equal manifests mean equal data sets."""
        manifest = (self.data / MANIFEST_FILE).read_bytes().rstrip()
        return {"data_set": self.data_set, "manifest": hashlib.sha256(manifest).hexdigest()}

    @property
    def image_size(self) -> int:
        """What the manifest says."""
        return self._manifest().config.image_size

    def pair_shape(self, recipe: Recipe) -> PairShape:
        """What the manifest says, whatever the recipe."""
        tokenizer = self._manifest().tokenizer
        return PairShape(tokenizer.vocab_size, tokenizer.max_length, self.image_size)

    def _manifest(self) -> Manifest:
        path = self.data / MANIFEST_FILE
        try:
            text = path.read_bytes()
            name = json.loads(text)["name"]
        except (OSError, ValueError, KeyError, TypeError):
            raise MxqvaeError(f"{path} is missing or damaged; build the data set, {_BUILDERS}") from None
        if name != Manifest.name:
            raise MxqvaeError(f"{path} is of the kind {name!r}; take captioned images, {_BUILDERS}")
        return from_json(Manifest, text, str(path))
