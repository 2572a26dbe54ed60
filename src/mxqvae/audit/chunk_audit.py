"""Audits chunks of pairs, on several cores where asked: rows come out in order, the same from any number."""

import gc
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.preparation import prepare
from mxqvae.audit.score_table import ScoredPair
from mxqvae.data.pair_source import Chunk, FoundPair
from mxqvae.errors import MxqvaeError

PAIRS_AT_A_TIME = 500
"""Pairs that a process takes: half a chunk, and 25 blocks of the auditor."""

_auditor: PairAuditor | None = None
"""That of this process, where it is one of several."""


def audit_chunks(
    auditor: PairAuditor, chunks: Iterable[Chunk], *, num_processes: int = 1
) -> Iterator[tuple[Chunk, list[ScoredPair]]]:
    """Yield each chunk, without its pairs, and the rows of the table for them.

    Args:
        num_processes: 1 audits in this process, with its threads; two of one thread each are faster than one
            of two. They are started for as long as the iteration lasts.

    Raises:
        MxqvaeError: A process was killed.
    """
    if num_processes == 1:
        for chunk in chunks:
            yield chunk._replace(pairs=[]), audit_pairs(auditor, chunk.pairs)
        return
    pool = ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn"), _begin, (auditor,))
    waiting: deque[tuple[Chunk, list[Future[list[ScoredPair]]]]] = deque()
    try:
        for chunk in chunks:
            firsts = range(0, len(chunk.pairs), PAIRS_AT_A_TIME)
            parts = [chunk.pairs[first : first + PAIRS_AT_A_TIME] for first in firsts]
            waiting.append((chunk._replace(pairs=[]), [pool.submit(_audit, part) for part in parts]))
            if len(waiting) > 1 + num_processes // 2:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())
    except BrokenProcessPool:
        raise MxqvaeError(
            "a process that audits was killed, for want of memory perhaps; try --processes 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def audit_pairs(auditor: PairAuditor, pairs: Sequence[FoundPair]) -> list[ScoredPair]:
    """The rows of the table for `pairs`, in their order."""
    prepared = prepare(pairs, auditor.tokenizer, auditor.image_size)
    captions = [pairs[place].caption for place in prepared.places]
    audited = dict(zip(prepared.places, auditor.audit(prepared.images, captions), strict=True))
    rows = []
    for place, (key, _, caption) in enumerate(pairs):
        pair = audited.get(place)
        if pair is None:
            rows.append(ScoredPair(key, caption, *(None,) * 5, problem=prepared.problems[place]))
            continue
        words = [word.text_in(caption) for word in pair.words]
        worst = None if pair.worst_word is None else words[pair.worst_word]
        rows.append(
            ScoredPair(key, caption, pair.score, worst, pair.proposed_caption, words, pair.word_bits, None)
        )
    return rows


def _begin(auditor: PairAuditor) -> None:
    # Ctrl-C reaches every process of a terminal; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    global _auditor
    _auditor = auditor
    # What is loaded by now stays; looking through it for garbage takes as long as finding the words.
    gc.freeze()


def _audit(pairs: Sequence[FoundPair]) -> list[ScoredPair]:
    assert _auditor is not None
    return audit_pairs(_auditor, pairs)


def _finished(chunk: Chunk, parts: list[Future[list[ScoredPair]]]) -> tuple[Chunk, list[ScoredPair]]:
    return chunk, [row for part in parts for row in part.result()]
