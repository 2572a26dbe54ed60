"""Audits chunks of pairs, on several cores where asked: rows come out in order, the same from any number."""

from collections.abc import Iterable, Iterator, Sequence

from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.preparation import prepare
from mxqvae.audit.score_table import ScoredPair
from mxqvae.data.pair_source import Chunk, FoundPair
from mxqvae.process_pool import ProcessPool

PAIRS_AT_A_TIME = 500
"""Pairs that a process takes: half a chunk, and 25 blocks of the auditor."""


def audit_chunks(
    auditor: PairAuditor, chunks: Iterable[Chunk], *, num_processes: int = 1
) -> Iterator[tuple[Chunk, list[ScoredPair]]]:
    """Yield each chunk, without its pairs, and the rows of the table for them.

    Args:
        num_processes: 1 audits in this process, with its threads; two of one thread each are faster than one
            of two. They are started for as long as the iteration lasts.

    Raises:
        MxqvaeError: A process was killed or could not begin.
    """
    if num_processes == 1:
        for chunk in chunks:
            yield chunk._replace(pairs=[]), audit_pairs(auditor, chunk.pairs)
        return
    with ProcessPool(num_processes, "audits", auditor) as pool:
        audited = pool.map(audit_pairs, _in_parts(chunks), num_waiting=2 * num_processes)
        rows: list[ScoredPair] = []
        for (chunk, is_whole), some in audited:
            rows += some
            if is_whole:
                yield chunk, rows
                rows = []


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


def _in_parts(chunks: Iterable[Chunk]) -> Iterator[tuple[tuple[Chunk, bool], list[FoundPair]]]:
    """What a process takes; beside it its chunk without pairs, and whether that is whole then."""
    for chunk in chunks:
        kept = chunk._replace(pairs=[])
        for first in range(0, max(1, len(chunk.pairs)), PAIRS_AT_A_TIME):
            last = first + PAIRS_AT_A_TIME
            yield (kept, last >= len(chunk.pairs)), chunk.pairs[first:last]
