"""Emoji in two styles, with the names that Unicode gives them: 3,822 small drawings under free licences.

The drawings are Google's Noto Emoji and Twemoji as `emoji-datasource` packs them, 64 pixels a side; the names
are CLDR's English short names. Both styles of an emoji have the same name and stay in one split. Emoji that
lack a drawing in one of the styles are left out, and so are skin tones: the names would differ by a word that
the drawings of most emoji hardly show.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mxqvae.data.archives.contents import Contents, open_contents
from mxqvae.data.archives.published import PublishedFile, find_published
from mxqvae.data.captioned_images.card import CardText
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.errors import MxqvaeError
from mxqvae.progress import Progress

_REGISTRY = "https://registry.npmjs.org"


def _of_npm(package: str, version: str, sha512: str) -> PublishedFile:
    name = f"{package}-{version}.tgz"
    return PublishedFile(
        name,
        f"https://www.npmjs.com/package/{package}",
        (f"{_REGISTRY}/{package}/-/{name}",),
        sha512=sha512,
        unpacked=f"{package}-{version}",
    )


NOTO = _of_npm(
    "emoji-datasource-google",
    "16.0.0",
    "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
)
TWEMOJI = _of_npm(
    "emoji-datasource-twitter",
    "16.0.0",
    "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
)
NAMES = _of_npm(
    "cldr-annotations-full",
    "48.2.0",
    "DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ==",
)
DERIVED_NAMES = _of_npm(
    "cldr-annotations-derived-full",
    "48.2.0",
    "log62km+AOzI7n/NEuNNFV0mg9DWnt67EYCh1RwxZq9dyRuyteB586LT83Ke8TchEfnwI9cIk2P31zO4nTvZmw==",
)
STYLES = {"noto": "google", "twemoji": "twitter"}
"""A style by its name here, and what the packages call it."""

CARD = CardText(
    title="Emoji in two styles with their names",
    terms=(
        "Drawings: Noto Emoji, Google, Apache License 2.0, and Twemoji, copyright Twitter, Inc. and other "
        "contributors, CC BY 4.0, resized to 64 pixels by emoji-datasource (Cal Henderson, MIT) and laid on "
        "white here. Names: Unicode CLDR, Unicode License v3."
    ),
    splits="Splits are dealt by emoji: both styles of one are in the same.",
)

_ROOT = "package"
_EMOJI_VARIATION = "\ufe0f"
"""The invisible character that asks for the coloured form; CLDR leaves it out."""


class Emoji:
    """Drawings by style and code points: `noto/1f600.png`, in the order of the packages' list."""

    layout = "emoji-datasource's drawings and CLDR's names"

    def __init__(
        self,
        drawings: Mapping[str, Contents],
        entries: Mapping[str, Mapping[str, Mapping[str, Any]]],
        names: Mapping[str, str],
    ) -> None:
        """Put together what the packages say.

        Args:
            drawings: By style, the content of its package.
            entries: By style and code points, such as "261D-FE0F", what the package says of an emoji.
            names: By the characters of an emoji, without `_EMOJI_VARIATION`.

        Raises:
            MxqvaeError: An emoji has no name.
        """
        self._drawings = drawings
        self._entries = entries
        drawn = [
            {points for points, entry in entries[style].items() if entry[f"has_img_{STYLES[style]}"]}
            for style in STYLES
        ]
        listed = entries[next(iter(STYLES))]
        self._names = {
            points: _name(points, names) for points in listed if all(points in style for style in drawn)
        }

    def count(self) -> int:
        return len(self._names) * len(STYLES)

    def __iter__(self) -> Iterator[SourcePair]:
        for style, folder in STYLES.items():
            for points, name in self._names.items():
                file = self._entries[style][points]["image"]
                image = self._drawings[style].image(f"img/{folder}/64/{file}")
                yield SourcePair(f"{style}/{file}", image, (name,), group=points)


@contextmanager
def open_emoji(archives: Path | None = None, *, progress: Progress | None = None) -> Iterator[Emoji]:
    """Find the four packages, or fetch them, and open them.

    Args:
        archives: Folder with the packages as npm has them, or unpacked to folders of their names; without it
            they are fetched to the cache.

    Raises:
        MxqvaeError: A package is missing, altered or damaged.
    """
    files = (NOTO, TWEMOJI, NAMES, DERIVED_NAMES)
    paths = find_published(files, archives, title="Emoji", progress=progress)
    with ExitStack() as stack:
        noto, twemoji, *cldr = (
            stack.enter_context(open_contents(path, _ROOT, progress))
            for path in (path / _ROOT if path.is_dir() else path for path in paths)
        )
        names = {
            emoji: annotation["tts"][0]
            for contents, kind in zip(cldr, ("annotations", "annotationsDerived"), strict=True)
            for emoji, annotation in _read_annotations(contents, kind).items()
            if "tts" in annotation
        }
        drawings = {"noto": noto, "twemoji": twemoji}
        entries = {
            style: {entry["unified"]: entry for entry in _read_json(contents, "emoji.json")}
            for style, contents in drawings.items()
        }
        yield Emoji(drawings, entries, names)


def _name(points: str, names: Mapping[str, str]) -> str:
    emoji = "".join(chr(int(point, 16)) for point in points.split("-"))
    for spelling in (emoji, emoji.replace(_EMOJI_VARIATION, "")):
        if spelling in names:
            return names[spelling]
    raise MxqvaeError(f"emoji {points} has no name in {NAMES.name} or {DERIVED_NAMES.name}; use the releases")


def _read_annotations(contents: Contents, kind: str) -> Mapping[str, Mapping[str, Any]]:
    """CLDR's words for each emoji, in English."""
    return _read_json(contents, f"{kind}/en/annotations.json")[kind]["annotations"]


def _read_json(contents: Contents, name: str) -> Any:
    try:
        return json.loads(contents.read(name))
    except ValueError as error:
        raise MxqvaeError(f"{contents.path}: {name} is damaged ({error}); put the original there") from None
