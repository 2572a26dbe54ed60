import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mxqvae.data.batch import PairBatch, to_floats
from mxqvae.data.caption_grammar import Slot
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation import completion
from mxqvae.evaluation.completion import WAYS, CompletionScore, Way, measure_completion
from mxqvae.generation import parallel
from mxqvae.generation.completion import CompletionConfig, Completions
from mxqvae.generation.pipeline import PairGenerator

SHOWN = (Slot("upper left", 7, "red"), Slot("lower right", 3, "blue"))


class TruthReader:
    """A judge that knows real images, and takes all others for empty."""

    def __init__(self, pairs: PairDataset) -> None:
        assert pairs.slots is not None
        self.slots = {
            image.numpy().tobytes(): slots for image, slots in zip(pairs.images, pairs.slots, strict=True)
        }

    def read(self, images: torch.Tensor, /) -> list[tuple[Slot, ...]]:
        return [self.slots.get(image.numpy().tobytes(), ()) for image in images]


@pytest.fixture
def few_pairs(caption_mnist_small: Path) -> PairDataset:
    """The first 30 test pairs: six of each kind."""
    pairs = PairDataset.from_parquet(caption_mnist_small, "test")
    assert pairs.slots is not None
    return PairDataset(pairs.images[:30], pairs.captions[:30], pairs.slots[:30])


def measure_with_answers(
    monkeypatch: pytest.MonkeyPatch,
    generator: PairGenerator,
    pairs: PairDataset,
    answers: PairDataset,
    ways: Collection[Way] = WAYS,
) -> CompletionScore:
    """The score of a model whose answers are whole pairs of another data set."""
    whole = PairBatch(to_floats(answers.images), generator.tokenizer.encode(answers.captions))

    def complete(_, batch: PairBatch, **options):
        for row in range(len(batch.images)):
            pair = PairBatch(whole.images[row][None], whole.token_ids[row][None])
            yield Completions(pair, answers.captions[row : row + 1], torch.zeros(1), [0])

    monkeypatch.setattr(parallel, "complete", complete)
    return measure_completion(generator, pairs, TruthReader(pairs), ways=ways)


def test_the_truth_is_right_everywhere(
    monkeypatch: pytest.MonkeyPatch, tiny_generator: PairGenerator, few_pairs: PairDataset
):
    score = measure_with_answers(monkeypatch, tiny_generator, few_pairs, few_pairs)
    assert score.captions is not None
    assert score.images is not None
    assert score.halves is not None
    assert score.captions.right.consistent.rate == score.captions.parsed.rate == 1
    assert score.images.right.consistent.rate == 1
    assert score.images.distance == 0  # both seeds gave the same image
    assert score.images.real_distance > 0.1
    assert score.halves.determined_right == score.halves.free_consistent == 1
    assert score.halves.pairs.consistent.rate == score.ceiling.consistent.rate == 1
    assert score.floor.consistent.rate < 0.1
    assert score.halves.num_determined + score.halves.num_free == sum(map(len, few_pairs.slots or ()))
    assert json.loads(json.dumps(asdict(score), allow_nan=False)) == asdict(score)


def test_other_pairs_are_wrong(
    monkeypatch: pytest.MonkeyPatch, tiny_generator: PairGenerator, few_pairs: PairDataset
):
    def turned(rows: Sequence):
        return [*rows[1:], rows[0]]

    others = PairDataset(
        few_pairs.images.roll(-1, 0), turned(few_pairs.captions), turned(few_pairs.slots or [])
    )
    score = measure_with_answers(monkeypatch, tiny_generator, few_pairs, others)
    assert score.captions is not None
    assert score.images is not None
    assert score.halves is not None
    assert score.captions.right.consistent.rate < 0.1
    assert score.captions.parsed.rate == 1
    assert score.images.right.consistent.rate < 0.1
    assert score.images.right.kinds.keys() == score.ceiling.kinds.keys()
    assert score.halves.determined_right is not None
    assert score.halves.determined_right < 0.2
    assert score.halves.pairs.consistent.rate == 1  # they agree with themselves


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_measured_alone_and_as_among_others(
    monkeypatch: pytest.MonkeyPatch, tiny_generator: PairGenerator, few_pairs: PairDataset, way: Way
):
    together = asdict(measure_with_answers(monkeypatch, tiny_generator, few_pairs, few_pairs))
    alone = asdict(measure_with_answers(monkeypatch, tiny_generator, few_pairs, few_pairs, [way]))
    assert alone == together | dict.fromkeys({*WAYS} - {way})


@pytest.mark.parametrize(
    ("half", "given"), [("left half", 1), ("right half", 0), ("upper half", 1), ("lower half", 0)]
)
def test_a_slot_is_given_where_its_cell_is(half: str, given: int):
    assert [completion._is_given(slot, half) for slot in SHOWN] == [given == 0, given == 1]
    assert not completion._is_given(Slot("centre", 1, "red"), half)


def test_a_clause_is_whole_where_none_of_its_words_is_hidden():
    caption = "The red 7 is on the upper left, and the 3 on the lower right is blue."
    tokenizer = CaptionTokenizer.train([caption])
    tokens = len(caption.replace(",", " ,").replace(".", " .").split())
    found = [
        completion._slots_of_whole_clauses(tokenizer, caption, {token}, SHOWN) for token in range(tokens)
    ]
    assert found[:8] == [{SHOWN[1]}] * 8
    assert found[8] == {*SHOWN}  # the comma
    assert found[9:] == [{SHOWN[0]}] * (tokens - 9)


def test_messages(tiny_generator: PairGenerator, few_pairs: PairDataset):
    unknown = PairDataset(few_pairs.images, few_pairs.captions)
    with pytest.raises(MxqvaeError, match="pairs without slots; give a data set that"):
        measure_completion(tiny_generator, unknown, TruthReader(few_pairs))
    partly = PairDataset(few_pairs.images, few_pairs.captions, [(), *(few_pairs.slots or [])[1:]])
    with pytest.raises(MxqvaeError, match="pairs without slots; give a data set that"):
        measure_completion(tiny_generator, partly, TruthReader(few_pairs))
    one = PairDataset(few_pairs.images[:1], few_pairs.captions[:1], (few_pairs.slots or [])[:1])
    with pytest.raises(MxqvaeError, match="1 pairs to complete; give two or more"):
        measure_completion(tiny_generator, one, TruthReader(few_pairs))
    with pytest.raises(MxqvaeError, match="no way to complete pairs; give some of captions, images, halves"):
        measure_completion(tiny_generator, few_pairs, TruthReader(few_pairs), ways=[])


def test_processes_make_no_difference(tiny_generator: PairGenerator, few_pairs: PairDataset):
    asked = {"ways": ["captions"], "config": CompletionConfig(num_captions=2, num_attempts=1, num_rounds=1)}
    alone = measure_completion(tiny_generator, few_pairs, TruthReader(few_pairs), **asked)
    assert alone == measure_completion(
        tiny_generator, few_pairs, TruthReader(few_pairs), num_processes=2, **asked
    )
