"""`mxqvae complete`: the other half of a pair, or whatever is hidden of it."""

import json as json_format
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import PathOrNone, TextOrNone, at_least
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from mxqvae.generation.partial_pairs import PartialPair


def complete(
    *,
    out: Path,
    image: PathOrNone = None,
    caption: TextOrNone = None,
    hide: TextOrNone = None,
    mask: PathOrNone = None,
    pairs: PathOrNone = None,
    hide_images: bool = False,
    hide_captions: bool = False,
    num_answers: int = 4,
    seed: int = 0,
    weights: TextOrNone = None,
    json: bool = False,
    overwrite: bool = False,
) -> None:
    """Complete pairs that are known in part: captions for an image, images for a caption, or what is hidden.

    Every answer keeps what is given as it is. Answers are ranked by the bits of their codes under the prior,
    likeliest first; each is a function of the weights, its pair, the seed and its number.

    Args:
        out: Folder to make: the answers' images, metadata.jsonl, contact_sheet.png.
        image: Image file; without it, images are to be found. Of another size or shape, its middle square is
            taken and resized, as `mxqvae data folder` does.
        caption: Caption, a hidden word written [MASK]; without it, captions are to be found.
        hide: Rectangle of the image to hide, in its own pixels: X,Y,WIDTH,HEIGHT.
        mask: Picture of the image's size, white where it is hidden.
        pairs: Folder of many pairs that `mxqvae sample` wrote, or any with such a metadata.jsonl.
        hide_images: Take the captions of the folder only.
        hide_captions: Take the images of the folder only.
        num_answers: Answers to each pair.
        seed: Seed of every answer.
        weights: Model folder, or a hub repository such as user/name; without it, the shipped weights.
        json: Print the summary as JSON.
        overwrite: Replace a folder that has content.
    """
    at_least(1, num_answers=num_answers)
    at_least(0, seed=seed)
    if pairs is not None and (image is not None or caption is not None):
        raise MxqvaeError("--pairs stands alone; give it, or one pair by --image and --caption")
    if pairs is None and image is None and caption is None:
        raise MxqvaeError("nothing is given; give --image, --caption or --pairs, or draw by `mxqvae sample`")
    if pairs is None and (hide_images or hide_captions):
        raise MxqvaeError("--hide-images and --hide-captions are for --pairs; leave the option out")
    if (hide is not None or mask is not None) and (image is None if pairs is None else hide_images):
        raise MxqvaeError("--hide and --mask hide a part of an image; give one by --image")

    from mxqvae.output_folder import check_output_folder
    from mxqvae.progress import NoProgress, format_duration, progress_on

    check_output_folder(out, overwrite=overwrite)  # before the weights are read, which takes seconds

    from mxqvae.data.split_file import encode_image
    from mxqvae.generation.completion import check_completion
    from mxqvae.generation.completion import complete as complete_pairs
    from mxqvae.generation.completion_folder import write_completions
    from mxqvae.generation.partial_pairs import HiddenRegion, batch_of, parse_rectangle, read_pair
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator
    from mxqvae.generation.sample_folder import CONTACT_SHEET_NAME, read_sample_folder

    region = HiddenRegion(None if hide is None else parse_rectangle(hide), mask)
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS)
    size = check_completion(generator).config.image.image_size
    given: list[PartialPair]
    if pairs is None:
        given = [read_pair(image, caption or "", region, size)]
    else:
        given = [
            read_pair(
                None if hide_images else encode_image(pixels)["bytes"],
                "" if hide_captions else text,
                region,
                size,
            )
            for pixels, text in zip(*read_sample_folder(pairs), strict=True)
        ]
    progress = NoProgress() if json else progress_on()
    start = time.monotonic()
    answers = complete_pairs(
        generator, batch_of(given, generator.tokenizer), num_answers=num_answers, seed=seed
    )
    with progress.task("complete", total=len(given), unit="pairs") as advance:
        rows = write_completions(
            given,
            answers,
            out,
            tokenizer=generator.tokenizer,
            seed=seed,
            overwrite=overwrite,
            advance=advance,
        )
    seconds = time.monotonic() - start

    if json:
        summary = {
            "num_pairs": len(given),
            "num_answers": num_answers,
            "seed": seed,
            "weights": str(weights or SHIPPED_WEIGHTS),
            "out": str(out),
            "seconds": round(seconds, 3),
            "answers": rows,
        }
        print(json_format.dumps(summary))
    else:
        if len(given) == 1:
            for row in rows:
                print(f"{row['bits']:8.1f} bits  {row['file_name']}  {row['caption']}")
        print(f"{len(rows):,} answers of seed {seed} in {format_duration(seconds)}: {out}")
        print(f"Given parts and answers at a glance: {out / CONTACT_SHEET_NAME}")
