"""Completes a folder of pairs into a folder of answers, pair after pair: what was done before a stop is kept.

The layout is that of `completion_folder`; a line of the metadata also has the file, row and caption_number
where its pair was found. Besides,

left_out.jsonl    a line for each pair that cannot be completed: pair, file, row, caption_number, problem
completion.json   what was completed, by which weights, and how
parts/            while it runs: what is done of each pair
"""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mxqvae.config import to_json, to_tree
from mxqvae.data.pair_source import METADATA_NAME, FoundPair, PairFolder, PairKey
from mxqvae.data.tokenizer import HIDDEN_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.completion import (
    DEFAULT_COMPLETION,
    CompletionConfig,
    Completions,
    check_asked,
    check_completion,
    complete,
)
from mxqvae.generation.completion_folder import (
    CONTACT_SHEET_ROWS,
    Row,
    read_image,
    write_answers,
    write_lines,
    write_sheet,
)
from mxqvae.generation.contact_sheet import write_picture
from mxqvae.generation.parallel import processes_with
from mxqvae.generation.partial_pairs import HiddenRegion, PartialPair, batch_of, read_pair
from mxqvae.generation.pipeline import PairGenerator
from mxqvae.output_file import new_output_file
from mxqvae.output_folder import check_sources_stay, resumed_output_folder
from mxqvae.progress import NoProgress, Progress

VERSION = 1
"""Raised whenever the same pairs and weights would get other answers than before."""
RECORD_FILE, LEFT_OUT_FILE, PARTS_FOLDER = "completion.json", "left_out.jsonl", "parts"
NUM_PROBLEMS_NAMED = 3
NUM_TRIED = 1000
"""Pairs that are looked at before any is completed."""


class HiddenParts(NamedTuple):
    """What of every pair is hidden, beside the words that are written [MASK]."""

    images: bool = False
    """All images."""
    captions: bool = False
    """All captions; an image with several of them is then completed once."""
    region: HiddenRegion = HiddenRegion()
    """A part of each image."""


class FolderCompletion(NamedTuple):
    """What came out."""

    num_pairs: int
    """Pairs that were asked for."""
    num_completed: int
    """Pairs with answers; the others cannot be completed."""
    num_new: int
    """Pairs that this call looked at, not one that was stopped before."""
    problems: list[str]
    """What is wrong with the first pairs that cannot be completed."""


def complete_folder(
    generator: PairGenerator,
    source: PairFolder,
    out: Path,
    *,
    hidden: HiddenParts,
    num_answers: int = 4,
    seed: int = 0,
    config: CompletionConfig = DEFAULT_COMPLETION,
    num_processes: int = 1,
    overwrite: bool = False,
    progress: Progress = NoProgress(),
) -> FolderCompletion:
    """Complete all pairs of `source` into the folder `out`, which appears when the last one is done.

    Until then the work lies beside it, and the same call goes on with it. Memory does not grow with the
    number of pairs. A pair that cannot be completed is left out and listed.

    Args:
        num_answers: Answers to each pair, at least 1.
        seed: In [0, 2^64).
        num_processes: That share the work, see `parallel.completing_on`; a stop loses what is under way.

    Raises:
        MxqvaeError: `out` has content and `overwrite` is false, or holds the pairs; another call for `out`
            was stopped; a file of pairs is damaged; no pair can be completed, or nothing of the first ones is
            hidden; or what `complete` raises of weights and numbers, or `completing_on` of processes.
    """
    check_asked(num_answers, seed)
    check_completion(generator)
    check_sources_stay(out, source.folder)
    _check_hidden(source, hidden)
    identity = {
        "version": VERSION,
        "weights": _digest(generator),
        "pairs": source.identity(),
        **_identity(hidden),
        "num_answers": num_answers,
        "seed": seed,
        "config": to_tree(config),
    }
    with resumed_output_folder(out, RECORD_FILE, identity, overwrite=overwrite) as folder:
        asked = _Asked(hidden, num_answers, seed, config)
        job = _Job(generator.tokenizer, folder, seed)
        try:
            done = job.finish(_complete_all(job, generator, source, asked, num_processes, progress))
        except BaseException:
            if not any(folder.glob("*.png")):
                shutil.rmtree(folder)  # nothing is lost, and another command is welcome
            raise
    shutil.rmtree(out / PARTS_FOLDER)
    return done


def _check_hidden(source: PairFolder, hidden: HiddenParts) -> None:
    """Refuse whole pairs, of which there is nothing to find, before all of them are read."""
    if hidden != HiddenParts():
        return
    first = list(itertools.islice(_pairs(source, hidden), NUM_TRIED))
    if first and all(
        pair.image and pair.caption and not HIDDEN_TOKENS.search(pair.caption) for pair in first
    ):
        raise MxqvaeError(
            f"nothing of the first {len(first):,} pairs is hidden; give --hide, --mask, --hide-images or "
            "--hide-captions, or write [MASK] in captions"
        )


def _complete_all(
    job: "_Job",
    generator: PairGenerator,
    source: PairFolder,
    asked: "_Asked",
    num_processes: int,
    progress: Progress,
) -> int:
    """Complete the pairs that are not done yet; how many these were."""
    pairs = enumerate(_pairs(source, asked.hidden))
    num_done = num_kept = job.count()
    rows_done = sum(pair.key.caption_number == 0 for _, pair in itertools.islice(pairs, num_kept))
    with progress.task("complete", total=source.num_rows, unit="rows", done=rows_done) as advance:
        try:
            for (number, key), answered in _answer_all(generator, asked, pairs, num_processes):
                job.write(number, key, answered)
                num_done = number + 1
                advance(int(key.caption_number == 0))
        except KeyboardInterrupt:
            progress.say(f"stopped after {num_done:,} pairs; the same command goes on from there")
            raise
    return num_done - num_kept


def _pairs(source: PairFolder, hidden: HiddenParts) -> Iterator[FoundPair]:
    for chunk in source.chunks():
        yield from (pair for pair in chunk.pairs if not (hidden.captions and pair.key.caption_number))


class _Asked(NamedTuple):
    """What is asked of every pair."""

    hidden: HiddenParts
    num_answers: int
    seed: int
    config: CompletionConfig


class _Answered(NamedTuple):
    """A pair that could be completed."""

    given: PartialPair
    answers: Completions


def _answer_all(
    generator: PairGenerator, asked: _Asked, pairs: Iterable[tuple[int, FoundPair]], num_processes: int
) -> Iterator[tuple[tuple[int, PairKey], _Answered | str]]:
    """The number and the place of each pair, and what `_answer` makes of it, in order."""
    work = (((number, pair.key), pair) for number, pair in pairs)
    if num_processes == 1:
        yield from ((place, _answer(generator, asked, pair)) for place, pair in work)
        return
    with processes_with(generator, num_processes, "completes pairs", asked) as pool:
        yield from pool.map(_answer, work, num_waiting=2 * num_processes)


def _answer(generator: PairGenerator, asked: _Asked, pair: FoundPair) -> _Answered | str:
    """Complete one pair, or say why it cannot be."""
    try:
        given = _hide(pair, asked.hidden, generator.autoencoder.config.image_size)
        (answers,) = complete(
            generator,
            batch_of([given], generator.tokenizer),
            num_answers=asked.num_answers,
            seed=asked.seed,
            config=asked.config,
        )
    except MxqvaeError as error:
        return str(error)
    return _Answered(given, answers)


class _Job:
    """One folder in the making."""

    def __init__(self, tokenizer: CaptionTokenizer, folder: Path, seed: int) -> None:
        self.tokenizer, self.seed = tokenizer, seed
        self.folder, self.parts = folder, folder / PARTS_FOLDER
        self.parts.mkdir(exist_ok=True)
        self.num_shown = sum(1 for _ in self.parts.glob("*.png"))

    def count(self) -> int:
        """Pairs that are done, from number 0 on without a gap."""
        return next(number for number in itertools.count() if not self._part(number).is_file())

    def write(self, number: int, key: PairKey, answered: _Answered | str) -> None:
        """Write what became of one pair; its part appears last."""
        place = key._asdict()
        if isinstance(answered, str):
            rows = [{"pair": number, **place, "problem": answered}]
        else:
            given, answers = answered
            found = write_answers(
                self.folder, number, given, answers, tokenizer=self.tokenizer, seed=self.seed
            )
            rows = [row | place for row in found]
            if self.num_shown < CONTACT_SHEET_ROWS and not self._shown(number).is_file():
                write_picture(self._shown(number), Image.fromarray(given.shown()))
                self.num_shown += 1
        with new_output_file(self._part(number)) as partial:
            partial.write_text(json.dumps(rows), encoding="utf-8")

    def finish(self, num_new: int) -> FolderCompletion:
        """Write all but the images, which are there.

        Raises:
            MxqvaeError: There are none.
        """
        shown: list[np.ndarray] = []
        answers: list[list[Row]] = []
        problems: list[str] = []
        left_out, num_pairs, num_completed = self.folder / LEFT_OUT_FILE, self.count(), 0
        with (
            (self.folder / METADATA_NAME).open("w", encoding="utf-8") as answer_lines,
            left_out.open("w", encoding="utf-8") as problem_lines,
        ):
            for number in range(num_pairs):
                rows = json.loads(self._part(number).read_text(encoding="utf-8"))
                if "problem" in rows[0]:
                    write_lines(problem_lines, rows)
                    if len(problems) < NUM_PROBLEMS_NAMED:
                        problems.append(f"pair {number}: {rows[0]['problem']}")
                    continue
                write_lines(answer_lines, rows)
                num_completed += 1
                if self._shown(number).is_file():
                    shown.append(read_image(self._shown(number)))
                    answers.append(rows)
        if not num_pairs:
            raise MxqvaeError("there are no pairs to complete; give a folder that holds some")
        if not num_completed:
            raise MxqvaeError(f"none of {num_pairs:,} pairs can be completed; {problems[0]}")
        if not problems:
            left_out.unlink()
        write_sheet(self.folder, shown, answers)
        return FolderCompletion(num_pairs, num_completed, num_new, problems)

    def _part(self, number: int) -> Path:
        return self.parts / f"{number:06}.json"

    def _shown(self, number: int) -> Path:
        """What is given of a pair of the contact sheet."""
        return self.parts / f"{number:06}.png"


def _hide(pair: FoundPair, hidden: HiddenParts, size: int) -> PartialPair:
    """What is given of a pair.

    Raises:
        MxqvaeError: Its image is missing where it should be given, or `read_pair` refuses it.
    """
    caption = "" if hidden.captions else pair.caption
    if hidden.images:
        return read_pair(None, caption, hidden.region, size)
    if pair.image is None:
        raise MxqvaeError("no image; hide all images, as --hide-images does, to find some for captions")
    return read_pair(pair.image, caption, hidden.region, size)


def _identity(hidden: HiddenParts) -> dict[str, Any]:
    mask = hidden.region.mask
    return {
        "hide_images": hidden.images,
        "hide_captions": hidden.captions,
        "hide": hidden.region.rectangle,
        "mask": None if mask is None else hashlib.sha256(mask.read_bytes()).hexdigest(),
    }


def _digest(generator: PairGenerator) -> str:
    """SHA-256 of all that decides an answer of a model."""
    models = [generator.autoencoder, generator.prior, *([generator.reader] if generator.reader else [])]
    digest = hashlib.sha256(to_json(generator.generation).encode())
    for model in models:
        for name, value in model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
