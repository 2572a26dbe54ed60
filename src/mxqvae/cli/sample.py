"""`mxqvae sample`: pairs out of a trained model."""

import json as json_format
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from mxqvae.cli.arguments import FloatOrNone, IntOrNone, TextOrNone, at_least
from mxqvae.errors import MxqvaeError


def sample(
    *,
    out: Path,
    num: int = 64,
    seed: int = 0,
    first: int = 0,
    temperature: FloatOrNone = None,
    top_k: IntOrNone = None,
    top_p: FloatOrNone = None,
    num_refinements: IntOrNone = None,
    max_word_bits: FloatOrNone = None,
    max_caption_code_bits: FloatOrNone = None,
    weights: TextOrNone = None,
    processes: IntOrNone = None,
    json: bool = False,
    overwrite: bool = False,
) -> None:
    """Sample image-caption pairs into a folder that `datasets` opens, with a contact sheet of the first ones.

    The same weights, seed, number and settings give the same pair, however many are sampled with it. Settings
    that are not given, such as the temperature, are those that the weights bring (generation.json).

    Args:
        out: Folder to make.
        num: Pairs to sample.
        seed: Seed of every pair.
        first: Number of the first pair; 64 goes on after the pairs of --num 64.
        temperature: Below 1 safer, above 1 more varied.
        top_k: Draw each code from the k likeliest only; as many as there are codes: from all.
        top_p: Draw each code from the likeliest that together reach this probability; 1: from all.
        num_refinements: How often stage 1 decodes a drawn pair and encodes it again, which repairs pairs that
            nearly agree; 0: never.
        max_word_bits: Draw a pair anew, 7 times at most, while a word costs stage 1 more bits than this
            (-log2 of its probability); inf: never. Caption MNIST's weights have 0.05, emoji-cpu's 2.
        max_caption_code_bits: The same while a code of the caption costs the prior more bits; inf: never.
            Caption MNIST's weights have 10, emoji-cpu's none.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        processes: Processes that share the work; without it, from 1,000 pairs on one for each core, else one.
            The pairs are the same.
        json: Print the summary as JSON.
        overwrite: Replace a folder that has content.
    """
    at_least(1, num=num, top_k=top_k, processes=processes)
    at_least(0, seed=seed, first=first, num_refinements=num_refinements)
    if temperature is not None and not 0 < temperature < float("inf"):
        raise MxqvaeError(f"--temperature must be above 0, got {temperature}")
    if top_p is not None and not 0 < top_p <= 1:
        raise MxqvaeError(f"--top-p must be above 0 and at most 1, got {top_p}")
    bounds = _given(max_word_bits=max_word_bits, max_caption_code_bits=max_caption_code_bits)
    for name, bound in bounds.items():
        if not bound > 0:
            raise MxqvaeError(f"--{name.replace('_', '-')} must be above 0, got {bound}")

    from mxqvae.output_folder import CONTACT_SHEET_NAME, check_output_folder, check_sources_stay
    from mxqvae.progress import format_duration, format_rate, progress_beside

    check_sources_stay(out, weights)
    check_output_folder(out, overwrite=overwrite)  # before the weights are read, which takes seconds

    from mxqvae.baselines.latent_pairs import LatentPairGenerator, holds_latent_pairs
    from mxqvae.config import to_tree
    from mxqvae.device import find_device
    from mxqvae.generation.parallel import FEW_SAMPLES, fitting_processes, sampling_on
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS, PairGenerator, find_weights
    from mxqvae.generation.sample_folder import write_sample_folder

    filters = _given(temperature=temperature, top_k=top_k, top_p=top_p)
    endless = {name: None if bound == float("inf") else bound for name, bound in bounds.items()}
    mending = _given(num_refinements=num_refinements) | endless
    folder = find_weights(weights or SHIPPED_WEIGHTS)
    if holds_latent_pairs(folder):
        if without_effect := filters | mending | _given(processes=processes):
            name = next(iter(without_effect)).replace("_", "-")
            raise MxqvaeError(
                f"--{name}: {folder} is a Joint GAN + MMVAE, which has no use for it; leave it out"
            )
        drawn_as = {}
        drawing = nullcontext(LatentPairGenerator.from_pretrained(folder).sample)
    else:
        generator = PairGenerator.from_pretrained(folder).to(find_device())
        sampling = replace(generator.generation.sampling, **filters)
        generator.generation = replace(generator.generation, sampling=sampling, **mending)
        drawn_as = to_tree(generator.generation)
        drawn_as |= drawn_as.pop("sampling")
        drawing = sampling_on(generator, processes or fitting_processes(generator, num, FEW_SAMPLES))
    start = time.monotonic()
    progress = progress_beside(json=json)
    with drawing as draw:
        batches = draw(num, seed=seed, first=first)
        with progress.task("sample", total=num, unit="pairs") as advance:
            write_sample_folder(batches, out, seed=seed, first=first, overwrite=overwrite, advance=advance)
    seconds = time.monotonic() - start

    if json:
        summary = {
            "num": num,
            "seed": seed,
            "first": first,
            **drawn_as,
            "weights": str(weights or SHIPPED_WEIGHTS),
            "out": str(out),
            "seconds": round(seconds, 3),
            "pairs_per_second": float(f"{num / seconds:.3g}"),
        }
        print(json_format.dumps(summary))
    else:
        rate = format_rate(num / seconds, "pairs")
        print(f"{num:,} pairs of seed {seed} in {format_duration(seconds)} ({rate}): {out}")
        print(f"The first ones at a glance: {out / CONTACT_SHEET_NAME}")


def _given(**options: float | None) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}
