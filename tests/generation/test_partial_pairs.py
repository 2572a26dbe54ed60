from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.partial_pairs import (
    HIDDEN_GREY,
    HiddenRegion,
    Rectangle,
    batch_of,
    parse_rectangle,
    read_pair,
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """64 x 64 random pixels."""
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return path


def save_mask(path: Path, hidden: np.ndarray) -> Path:
    Image.fromarray(np.where(hidden, 255, 0).astype(np.uint8)).save(path)
    return path


def test_an_image_of_the_model_s_size_is_taken_as_it_is(picture: Path):
    pair = read_pair(picture, "", HiddenRegion(), 64)
    np.testing.assert_array_equal(pair.image, np.asarray(Image.open(picture)))
    assert not pair.hidden.any()


def test_a_rectangle_and_a_mask_hide_together(picture: Path, tmp_path: Path):
    hidden = np.zeros((64, 64), bool)
    hidden[:5, :7] = True
    region = HiddenRegion(Rectangle(60, 50, 20, 3), save_mask(tmp_path / "mask.png", hidden))
    pair = read_pair(picture, "", region, 64)
    hidden[50:53, 60:] = True
    np.testing.assert_array_equal(pair.hidden, hidden)
    assert (pair.shown()[hidden] == HIDDEN_GREY).all()


def test_what_is_hidden_is_resized_with_its_image(tmp_path: Path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (256, 128)).save(path)
    pair = read_pair(path, "", HiddenRegion(Rectangle(64, 0, 64, 128)), 64)  # the square's left half
    assert pair.hidden[:, :32].all()
    assert not pair.hidden[:, 32:].any()


def test_a_batch_has_nan_and_mask(picture: Path):
    tokenizer = CaptionTokenizer.train(["This is red 7."])
    known = read_pair(picture, "This is [MASK] 7.", HiddenRegion(Rectangle(0, 0, 64, 10)), 64)
    unknown = read_pair(None, "This is red 7.", HiddenRegion(), 64)
    images, token_ids = batch_of([known, unknown], tokenizer)
    assert images[0, :, :10].isnan().all()
    assert not images[0, :, 10:].isnan().any()
    assert images[1].isnan().all()
    assert (token_ids == tokenizer.mask_id).sum(1).tolist() == [1, 0]


class TestMessages:
    @pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "1,2,3,4,5"])
    def test_no_rectangle(self, text: str):
        with pytest.raises(MxqvaeError, match="give X,Y,WIDTH,HEIGHT in whole pixels"):
            parse_rectangle(text)

    @pytest.mark.parametrize("text", ["-1,2,3,4", "0,0,0,4"])
    def test_an_impossible_rectangle(self, text: str):
        with pytest.raises(MxqvaeError, match="X and Y start at 0, WIDTH and HEIGHT at 1"):
            parse_rectangle(text)

    def test_a_rectangle_outside(self, picture: Path):
        with pytest.raises(MxqvaeError, match=r"hidden rectangle 64,0,5,5 lies outside .* of 64 x 64 pixels"):
            read_pair(picture, "", HiddenRegion(Rectangle(64, 0, 5, 5)), 64)

    def test_a_mask_of_another_size(self, picture: Path, tmp_path: Path):
        mask = save_mask(tmp_path / "mask.png", np.zeros((32, 64), bool))
        with pytest.raises(MxqvaeError, match=r"mask\.png is 64 x 32 pixels, .* is 64 x 64; give a mask of"):
            read_pair(picture, "", HiddenRegion(None, mask), 64)

    def test_what_is_no_image(self, picture: Path, tmp_path: Path):
        (tmp_path / "text.png").write_text("no picture")
        with pytest.raises(
            MxqvaeError, match=r"text\.png: image is damaged .* \(unknown format\); give another"
        ):
            read_pair(tmp_path / "text.png", "", HiddenRegion(), 64)
        with pytest.raises(MxqvaeError, match=r"mask .*text\.png is not a readable image"):
            read_pair(picture, "", HiddenRegion(None, tmp_path / "text.png"), 64)
        with pytest.raises(MxqvaeError, match=r"nowhere\.png: No such file or directory"):
            read_pair(tmp_path / "nowhere.png", "", HiddenRegion(), 64)


def test_a_large_photo_is_hidden_in_part(tmp_path: Path):
    """A JPEG of more pixels than are decoded at once: the decoder reduces it, its mask is cut as it is."""
    path = tmp_path / "phone.jpg"
    Image.new("RGB", (14_000, 7_000), "white").save(path, quality=10)
    pair = read_pair(path, "", HiddenRegion(Rectangle(3_500, 0, 3_500, 7_000)), 64)
    assert pair.hidden[:, :32].all()
    assert not pair.hidden[:, 32:].any()
