"""Writes the data card: what a data set of captioned images holds, how it was made, and what was met."""

from typing import NamedTuple

from mxqvae.data.captioned_images.manifest import Manifest
from mxqvae.data.captioned_images.problems import ProblemKind
from mxqvae.data.shard_files import data_files


class CardText(NamedTuple):
    """What a data card says of the source and no manifest holds."""

    title: str = "Captioned images"
    terms: str = "The terms of the source hold for this data set too."
    """What the source's licence allows, and whom to cite."""
    crop: str = "cropped to the square in the middle"
    splits: str | None = None
    """Where the splits come from; None for splits that were dealt or are named in the source."""


OWN_PAIRS = CardText()
"""Images of which nothing is known beforehand."""
DEALT = "Splits are dealt by image, never by caption."
PUBLISHED = (
    "Splits are those that the source names; its validation split is the test split where it names no other."
)


def card_of(manifest: Manifest, text: CardText = OWN_PAIRS, *, sheet: str | None) -> str:
    """The README.md of a data set, which `datasets.load_dataset` reads too.

    Args:
        sheet: File name of the contact sheet, where there is one.
    """
    picture = "" if sheet is None else f"\n![Pairs of the training split, chosen by the seed]({sheet})\n"
    longest = f"{manifest.tokenizer.longest_caption:,} tokens"
    size, tokenizer = manifest.config.image_size, manifest.tokenizer
    splits = text.splits or (PUBLISHED if manifest.published_splits else DEALT)
    return f"""\
---
configs:
- config_name: default
  data_files:
{data_files(manifest.splits)}
---
# {text.title}

{size} x {size} pixels, made by mxqvae (definition {manifest.version}, seed {manifest.config.seed}) from: \
{manifest.layout}.

{text.terms}
{picture}
{_splits(manifest)}

| column | content |
|---|---|
| `image` | PNG, RGB; null where captions have no image. `path` says where it comes from |
| `captions` | list of captions; empty where an image has none |

Images are turned upright, laid on white where transparent, converted to sRGB, {text.crop} and resized once
(Lanczos). No image occurs twice in a split: captions of images with the same pixels are put together.
{splits} `manifest.json` holds counts and SHA-256: the same
source, seed and version of mxqvae give the same data set.

The tokenizer, `tokenizer.json`, has {tokenizer.vocab_size:,} subwords, trained on the training captions, and
holds {tokenizer.max_length} tokens. Longer captions are cut in training, not here: {tokenizer.num_cut:,} of
them, up to {longest} long.

{_problems(manifest)}
"""


def _splits(manifest: Manifest) -> str:
    lines = [
        "| split | images | captions | images without caption | captions without image |",
        "|---|---|---|---|---|",
    ]
    for split, counts in manifest.splits.items():
        nums = (
            *(counts.num_images, counts.num_captions, counts.num_images_without_caption),
            counts.num_rows_without_image,
        )
        lines.append(f"| {split} | " + " | ".join(f"{num:,}" for num in nums) + " |")
    if manifest.config.pairing_note is not None:
        lines += ["", f"How captions and images are paired: {manifest.config.pairing_note}"]
    return "\n".join(lines)


def _problems(manifest: Manifest) -> str:
    if not manifest.problems:
        return "Nothing was wrong with any image or caption."
    lines = [
        "What was met in the source (`problems.jsonl` names every case):",
        "",
        "| problem | done | number |",
    ]
    lines.append("|---|---|---|")
    for kind in ProblemKind:
        if kind.key in manifest.problems:
            lines.append(f"| {kind.title} | {kind.remedy} | {manifest.problems[kind.key].num:,} |")
    return "\n".join(lines)
