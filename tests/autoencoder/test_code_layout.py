import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mxqvae.autoencoder.code_layout import (
    Segment,
    join_codes,
    possible_codes,
    split_codes,
    total_codes,
    total_length,
    vocabularies,
)

LAYOUTS = st.lists(
    st.builds(
        Segment,
        modality=st.sampled_from(["image", "text"]),
        length=st.integers(1, 5),
        num_codes=st.integers(1, 6),
    ),
    min_size=1,
    max_size=4,
)


def draw_parts(segments: list[Segment], num: int) -> list[torch.Tensor]:
    return [torch.randint(segment.num_codes, (num, segment.length)) for segment in segments]


@given(LAYOUTS)
def test_vocabularies_partition_the_codes(segments: list[Segment]):
    codes = [code for vocabulary in vocabularies(segments) for code in vocabulary]
    assert codes == list(range(total_codes(segments)))
    sizes = [len(vocabulary) for vocabulary in vocabularies(segments)]
    assert sizes == [segment.num_codes for segment in segments]


@given(LAYOUTS)
def test_what_is_joined_is_split_again(segments: list[Segment]):
    parts = draw_parts(segments, 3)
    joined = join_codes(segments, parts)
    assert joined.shape == (3, total_length(segments))
    for part, again in zip(parts, split_codes(segments, joined), strict=True):
        assert part.equal(again)


@given(LAYOUTS)
def test_joined_codes_are_possible_where_they_stand(segments: list[Segment]):
    possible = possible_codes(segments)
    assert possible.shape == (total_length(segments), total_codes(segments))
    for position, code in enumerate(join_codes(segments, draw_parts(segments, 1))[0].tolist()):
        assert possible[position, code]
    per_position = [segment.num_codes for segment in segments for _ in range(segment.length)]
    assert possible.sum(1).tolist() == per_position


def test_vocabularies_are_numbered_in_the_order_of_the_segments():
    segments = [
        Segment(modality="text", length=1, num_codes=3),
        Segment(modality="image", length=2, num_codes=2),
    ]
    assert vocabularies(segments) == [range(3), range(3, 5)]
    assert join_codes(segments, [torch.tensor([[2]]), torch.tensor([[0, 1]])]).tolist() == [[2, 3, 4]]
    assert possible_codes(segments).int().tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize("change", [{"length": 0}, {"num_codes": 0}, {"modality": "sound"}])
def test_impossible_segments_are_refused(change: dict[str, object]):
    with pytest.raises(ValidationError):
        Segment(**{"modality": "image", "length": 1, "num_codes": 1, **change})  # pyright: ignore[reportArgumentType]
