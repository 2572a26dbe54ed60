from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from mxqvae.data.captioned_images import reading
from mxqvae.data.captioned_images.reading import read_images
from mxqvae.data.captioned_images.source import SourcePair


@pytest.fixture
def pairs(picture: Callable[..., Image.Image], encode: Callable[..., bytes]) -> list[SourcePair]:
    """Of every kind, with images of very different size."""
    sizes = [20, 300, 20, 20, 150, 20, 20]
    images: list[bytes | None] = [encode(picture(number, size, size)) for number, size in enumerate(sizes)]
    return [
        SourcePair(str(number), image, ("a caption",))
        for number, image in enumerate([*images, None, b"broken", *images, None])
    ]


def test_processes_make_no_difference(pairs: list[SourcePair], monkeypatch: pytest.MonkeyPatch):
    alone = list(read_images(pairs, size=16))
    monkeypatch.setattr(reading, "CHUNK_SIZE", 2)
    together = list(read_images(pairs, size=16, num_processes=2))
    assert [square for _, square in together] == [square for _, square in alone]
    assert [pair.name for pair, _ in together] == [pair.name for pair in pairs]
    assert [square is None for _, square in alone] == [pair.image is None for pair in pairs]


def test_pairs_are_taken_as_they_are_needed(pairs: list[SourcePair], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "CHUNK_SIZE", 2)
    num_taken = 0

    def endless() -> Iterator[SourcePair]:
        nonlocal num_taken
        while True:
            yield pairs[0]
            num_taken += 1

    squares = read_images(endless(), size=16, num_processes=2)
    for _ in range(5):
        next(squares)
    assert num_taken < 30
    squares.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_large_images_make_small_chunks(pairs: list[SourcePair], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MAX_CHUNK_BYTES", 1)
    chunks = list(reading._chunks(pairs))
    assert [pair for chunk in chunks for pair in chunk] == pairs
    assert [len(chunk) for chunk in chunks] == [1] * 7 + [2] + [1] * 7 + [1]
