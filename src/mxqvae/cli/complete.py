"""`mxqvae complete`: the other half of a pair, or whatever is hidden of it."""

import json as json_format
import time
from pathlib import Path

from mxqvae.cli.arguments import Changes, IntOrNone, PathOrNone, TextOrNone, at_least
from mxqvae.errors import MxqvaeError


def complete(
    *,
    out: Path,
    image: PathOrNone = None,
    caption: TextOrNone = None,
    hide: TextOrNone = None,
    mask: PathOrNone = None,
    pairs: PathOrNone = None,
    split: TextOrNone = None,
    hide_images: bool = False,
    hide_captions: bool = False,
    num_answers: int = 4,
    seed: int = 0,
    weights: TextOrNone = None,
    changes: Changes = (),
    processes: IntOrNone = None,
    json: bool = False,
    overwrite: bool = False,
) -> None:
    """Complete pairs that are known in part: captions for an image, images for a caption, or what is hidden.

    Every answer keeps what is given as it is. Answers are ranked, likeliest first, by the bits of their codes
    under the prior and of their words under stage 1; each is a function of the weights, its pair, the seed
    and its number. With --pairs, the same command goes on after a stop; pairs that cannot be completed are
    left out, and listed in left_out.jsonl.

    Args:
        out: Folder to make: the answers' images, metadata.jsonl, contact_sheet.png.
        image: Image file; without it, images are to be found. Of another size or shape, its middle square is
            taken and resized, as `mxqvae data folder` does.
        caption: Caption, a hidden word written [MASK]; without it, captions are to be found. [MASK] is one
            token: where the vocabulary is of subwords, as `mxqvae data folder` makes it, a word may take
            several, and [MASK*3] stands for three.
        hide: Rectangle of the image to hide, in its own pixels: X,Y,WIDTH,HEIGHT.
        mask: Picture of the image's size, white where it is hidden.
        pairs: Folder of many pairs: a data set, or one that `mxqvae sample` wrote.
        split: With --pairs, one split of a data set, such as test; without it, all of them.
        hide_images: With --pairs, take the captions alone and find images for them.
        hide_captions: With --pairs, take the images alone, each once, and find captions for them.
        num_answers: Answers to each pair.
        seed: Seed of every answer.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        changes: Another value for a field of the search, such as guidance=2 (how closely images follow given
            words; 1: as learned), num_captions=64 or num_images=64 (candidates of an answer), num_attempts=8
            (how often so many are drawn at most) or sampling.temperature=0.9; else 1.5, 32, 32, 4 and 1.
        processes: With --pairs, processes that share the work; without it, from 20 rows on one for each
            core, else one. The answers are the same.
        json: Print the summary as JSON.
        overwrite: Replace a folder that has content.
    """
    at_least(1, num_answers=num_answers, processes=processes)
    at_least(0, seed=seed)
    if pairs is not None and (image is not None or caption is not None):
        raise MxqvaeError("--pairs stands alone; give it, or one pair by --image and --caption")
    if pairs is None and image is None and caption is None:
        raise MxqvaeError("nothing is given; give --image, --caption or --pairs, or draw by `mxqvae sample`")
    if pairs is None and (hide_images or hide_captions or split is not None or processes is not None):
        raise MxqvaeError(
            "--split, --hide-images, --hide-captions and --processes are for --pairs; leave the option out"
        )
    if (hide is not None or mask is not None) and pairs is None and image is None:
        raise MxqvaeError("--hide and --mask hide a part of an image; give one by --image")
    if (hide is not None or mask is not None) and hide_images:
        raise MxqvaeError("--hide-images leaves nothing for --hide and --mask to hide; give one of them")

    from mxqvae.output_folder import CONTACT_SHEET_NAME, check_output_folder, check_sources_stay
    from mxqvae.progress import format_duration, progress_beside

    # Before the weights are read, which takes seconds.
    check_sources_stay(out, image, mask, pairs, weights)
    check_output_folder(out, overwrite=overwrite)

    from mxqvae.config import override
    from mxqvae.data.pair_source import open_pairs
    from mxqvae.device import find_device
    from mxqvae.generation.completion import DEFAULT_COMPLETION, check_completion
    from mxqvae.generation.completion import complete as complete_pairs
    from mxqvae.generation.completion_folder import write_completions
    from mxqvae.generation.folder_completion import LEFT_OUT_FILE, HiddenParts, complete_folder
    from mxqvae.generation.parallel import FEW_ANSWERS, fitting_processes
    from mxqvae.generation.partial_pairs import HiddenRegion, batch_of, parse_rectangle, read_pair
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator

    region = HiddenRegion(None if hide is None else parse_rectangle(hide), mask)
    config = override(DEFAULT_COMPLETION, changes)
    source = None if pairs is None else open_pairs(pairs, split)
    generator = PairGenerator.from_pretrained(weights or SHIPPED_WEIGHTS).to(find_device())
    start = time.monotonic()
    if source is None:
        size = check_completion(generator).config.image_size
        given = read_pair(image, caption or "", region, size)
        (found,) = complete_pairs(
            generator,
            batch_of([given], generator.tokenizer),
            num_answers=num_answers,
            seed=seed,
            config=config,
        )
        rows = write_completions(
            given, found, out, tokenizer=generator.tokenizer, seed=seed, overwrite=overwrite
        )
        num_written, figures = len(rows), {"num_pairs": 1, "answers": rows}
        lines = [f"{row['bits']:8.1f} bits  {row['file_name']}  {row['caption']}" for row in rows]
    else:
        done = complete_folder(
            generator,
            source,
            out,
            hidden=HiddenParts(hide_images, hide_captions, region),
            num_answers=num_answers,
            seed=seed,
            config=config,
            num_processes=processes or fitting_processes(generator, source.num_rows, FEW_ANSWERS),
            overwrite=overwrite,
            progress=progress_beside(json=json),
        )
        num_written, figures = done.num_completed * num_answers, done._asdict()
        lines = [*done.problems]
        if num_left_out := done.num_pairs - done.num_completed:
            lines.append(f"{num_left_out:,} of {done.num_pairs:,} pairs left out: {out / LEFT_OUT_FILE}")
    seconds = time.monotonic() - start

    if json:
        summary = {
            "num_answers": num_answers,
            "seed": seed,
            "weights": str(weights or SHIPPED_WEIGHTS),
            "out": str(out),
            "seconds": round(seconds, 3),
            **figures,
        }
        print(json_format.dumps(summary))
    else:
        lines.append(f"{num_written:,} answers of seed {seed} in {format_duration(seconds)}: {out}")
        lines.append(f"Given parts and answers at a glance: {out / CONTACT_SHEET_NAME}")
        print("\n".join(lines))
