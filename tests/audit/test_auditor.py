import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mxqvae.audit.auditor import BLOCK_SIZE, PairAuditor
from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder, ConcatenatedConfig
from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.mxqvae import MXQVAE, MXQVAEConfig
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import ConvolutionalTextConfig
from mxqvae.autoencoder.unimodal import CaptionTokensConfig, ImageVQVAEConfig
from mxqvae.data.caption_grammar import QUADRANTS, parse_caption
from mxqvae.data.degree import read_degree_set
from mxqvae.data.masking import MaskingConfig
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import PairGenerator

NUM = 8


@pytest.fixture(scope="module")
def right(degree_sets_small) -> PairDataset:
    return read_degree_set(degree_sets_small, "Quad4", 4)


@pytest.fixture(scope="module")
def wrong(degree_sets_small) -> PairDataset:
    return read_degree_set(degree_sets_small, "Quad4", 3)


@pytest.fixture(scope="module")
def audited_right(auditor: PairAuditor, right: PairDataset):
    return auditor.audit(right.images[:NUM], right.captions[:NUM])


@pytest.fixture(scope="module")
def audited_wrong(auditor: PairAuditor, wrong: PairDataset):
    return auditor.audit(wrong.images[:NUM], wrong.captions[:NUM])


def test_a_pair_scores_worse_with_a_slot_replaced(audited_right, audited_wrong):
    assert all(w.score > r.score for r, w in zip(audited_right, audited_wrong, strict=True))


def test_the_score_is_the_sum_of_the_words_bits(audited_wrong):
    for pair in audited_wrong:
        assert pair.score == pytest.approx(sum(pair.word_bits))
        assert min(pair.word_bits) >= 0
        assert pair.word_bits[pair.worst_word] == max(pair.word_bits)


def test_the_wrong_word_is_named_and_mended(audited_wrong, right: PairDataset, wrong: PairDataset):
    for pair, true, said in zip(audited_wrong, right.captions[:NUM], wrong.captions[:NUM], strict=True):
        word = pair.words[pair.worst_word]
        assert word.text_in(said) != word.text_in(true)
        assert parse_caption(pair.proposed_caption) is not None
    mended = [p.proposed_caption == c for p, c in zip(audited_wrong, right.captions[:NUM], strict=True)]
    assert sum(mended) >= NUM - 1


def test_right_captions_are_kept(audited_right, right: PairDataset):
    kept = [p.proposed_caption == c for p, c in zip(audited_right, right.captions[:NUM], strict=True)]
    assert sum(kept) >= NUM - 1


def test_neither_order_nor_company_matters(auditor: PairAuditor, wrong: PairDataset, audited_wrong):
    order = [5, 0, 7] * (BLOCK_SIZE // 3 + 1)  # more than a block
    captions = [wrong.captions[i] for i in order]
    for pair, number in zip(auditor.audit(wrong.images[order], captions), order, strict=True):
        first = audited_wrong[number]
        assert pair.word_bits == pytest.approx(first.word_bits, abs=1e-3)
        assert pair.proposed_caption == first.proposed_caption


def test_an_image_is_encoded_once_whatever_is_read_of_it(
    auditor: PairAuditor, wrong: PairDataset, monkeypatch: pytest.MonkeyPatch
):
    """Of captions in a row, and when a caption is read again."""
    rows = [0, 0, 1]
    captions = wrong.captions[:3]  # of another image: doubted
    alone = [auditor.audit(wrong.images[[row]], [text])[0] for row, text in zip(rows, captions, strict=True)]
    assert any(pair.proposed_caption != text for pair, text in zip(alone, captions, strict=True))
    sizes: list[int] = []
    encode = PairAuditor._image_latents

    def counting(auditor: PairAuditor, images: Tensor) -> Tensor:
        sizes.append(len(images.flatten(1).unique(dim=0)))
        return encode(auditor, images)

    monkeypatch.setattr(PairAuditor, "_image_latents", counting)
    for pair, by_itself in zip(auditor.audit(wrong.images[rows], captions), alone, strict=True):
        assert pair.word_bits == pytest.approx(by_itself.word_bits, abs=1e-3)
        assert pair.proposed_caption == by_itself.proposed_caption
    assert sizes == [2]


def test_no_pairs(auditor: PairAuditor):
    assert auditor.audit(torch.empty(0, 64, 64, 3, dtype=torch.uint8), []) == []


def test_what_is_no_pair_is_refused(auditor: PairAuditor, right: PairDataset):
    with pytest.raises(MxqvaeError, match="2 images and 1 captions; give one for each"):
        auditor.audit(right.images[:2], right.captions[:1])
    floats = right.images[:1] / 255
    for read in (lambda: auditor.audit(floats, right.captions[:1]), lambda: auditor.regions(floats[0], "a")):
        with pytest.raises(MxqvaeError, match=r"must be torch.uint8, 0 to 255, not torch.float32; convert"):
            read()


def test_the_heat_lies_on_the_slot_that_is_wrong(
    auditor: PairAuditor, right: PairDataset, wrong: PairDataset, audited_wrong
):
    num, num_found = 4, 0
    assert right.slots is not None
    assert wrong.slots is not None
    for number in range(num):
        pair = audited_wrong[number]
        heat = auditor.heat_map(wrong.images[number], wrong.captions[number])
        assert len(heat) == len(pair.words)
        grid = torch.tensor(heat[pair.worst_word])
        assert grid.shape == (8, 8)
        quadrants = grid.unflatten(0, (2, 4)).unflatten(2, (2, 4)).sum((1, 3)).flatten()
        (lie,) = {*wrong.slots[number]} - {*right.slots[number]}
        num_found += QUADRANTS[int(quadrants.argmax())] == lie.position
    assert num_found >= num - 1


def test_a_region_is_a_window_and_the_heat_its_mean(auditor: PairAuditor, wrong: PairDataset):
    regions = auditor.regions(wrong.images[0], wrong.captions[0])
    assert [(r.left, r.top) for r in regions] == [(8 * x, 8 * y) for y in range(5) for x in range(5)]
    heat = auditor.heat_map(wrong.images[0], wrong.captions[0])
    for word, grid in enumerate(heat):
        assert grid[0][0] == pytest.approx(regions[0].word_bits[word], abs=1e-4)
        mean = sum(region.word_bits[word] for region in regions if region.left <= 8 and region.top == 0) / 2
        assert grid[0][1] == pytest.approx(mean, abs=1e-4)


def test_windows_are_read_in_blocks(
    auditor: PairAuditor, wrong: PairDataset, monkeypatch: pytest.MonkeyPatch
):
    at_once = auditor.regions(wrong.images[0], wrong.captions[0])
    monkeypatch.setattr("mxqvae.audit.auditor.WINDOWS_AT_A_TIME", 7)
    for one, other in zip(at_once, auditor.regions(wrong.images[0], wrong.captions[0]), strict=True):
        assert other.word_bits == pytest.approx(one.word_bits, abs=1e-3)


def test_a_caption_alone_is_not_held_against_its_image(auditor: PairAuditor, right: PairDataset):
    bits = auditor.caption_bits(right.captions[:2])
    assert bits.shape == (2,)
    assert bool((bits >= 0).all())
    assert torch.equal(bits, auditor.caption_bits(right.captions[:2]))


def test_a_caption_alone_is_told_word_by_word_from_the_others(auditor: PairAuditor):
    """Ten captions that differ in one word share its probability; copied, each would be nearly certain."""
    captions = [f"The red {digit} is on the upper left." for digit in range(10)]
    bits = auditor.caption_bits([*captions, ""])
    assert float((2 ** -bits[:10]).sum()) <= 1 + 1e-4
    assert bits[10] == 0


def test_no_captions_alone(auditor: PairAuditor):
    assert auditor.caption_bits([""]).tolist() == [0]
    assert auditor.caption_bits([]).shape == (0,)


@pytest.fixture(scope="module")
def unseen() -> PairAuditor:
    """The shipped stage 1, which is shown no word that it is asked for."""
    return PairAuditor.from_pretrained(hides_words=True)


def test_a_hidden_word_cannot_tell_itself(unseen: PairAuditor, right: PairDataset):
    """Captions that differ in one word share its probability; shown, each would be certain of its own."""
    captions = [re.sub("top|upper", word, right.captions[0], count=1) for word in ("top", "upper")]
    top, upper = unseen.audit(right.images[[0, 0]], captions)
    place = next(i for i, word in enumerate(top.words) if word.text_in(captions[0]) == "top")
    assert 2 ** -top.word_bits[place] + 2 ** -upper.word_bits[place] <= 1 + 1e-4


def test_hidden_words_find_and_mend_lies_too(unseen: PairAuditor, right: PairDataset, wrong: PairDataset):
    images, true, said = right.images[:NUM], right.captions[:NUM], wrong.captions[:NUM]
    good, bad = unseen.audit(images, true), unseen.audit(images, said)
    assert all(w.score > r.score for r, w in zip(good, bad, strict=True))
    for pair, caption in zip(good + bad, true + said, strict=True):
        assert pair.score == pytest.approx(sum(pair.word_bits))
        assert next(word.text_in(caption) for word in pair.words) == "The"
    assert sum(pair.proposed_caption == caption for pair, caption in zip(bad, true, strict=True)) >= NUM - 1
    assert sum(pair.proposed_caption == caption for pair, caption in zip(good, true, strict=True)) >= NUM - 1


def test_with_words_hidden_heat_is_of_the_words_as_asked_for(
    unseen: PairAuditor, auditor: PairAuditor, wrong: PairDataset
):
    relief = []
    for image, caption in zip(wrong.images[:4], wrong.captions[:4], strict=True):
        shown, hidden = (some.regions(image, caption) for some in (auditor, unseen))
        assert [region[:4] for region in shown] == [region[:4] for region in hidden]
        assert shown != hidden
        (pair,) = unseen.audit(image[None], [caption])
        worst = pair.word_bits.index(max(pair.word_bits))
        relief.append(max(region.word_bits[worst] for region in hidden) / pair.word_bits[worst])
    # Without the region that contradicts it, a wrong word costs little more than any digit or colour.
    assert sorted(relief)[1] > 0.25
    assert unseen.regions(wrong.images[0], "")[0].word_bits == []


def test_hidden_words_do_not_mind_company_or_empty_captions(unseen: PairAuditor, wrong: PairDataset):
    alone = [unseen.audit(wrong.images[[i]], [wrong.captions[i]])[0] for i in range(3)]
    together = unseen.audit(wrong.images[:4], [*wrong.captions[:3], ""])
    for pair, other in zip(alone, together, strict=False):
        assert pair.word_bits == pytest.approx(other.word_bits, abs=1e-3)
        assert pair.proposed_caption == other.proposed_caption
    assert (together[3].score, together[3].words) == (0, [])
    assert unseen.audit(wrong.images[:1], [""])[0].proposed_caption == ""


def test_the_identity_is_that_of_the_weights(auditor: PairAuditor, tiny_generator: PairGenerator):
    other = PairAuditor(tiny_generator.autoencoder, tiny_generator.tokenizer)
    assert auditor.identity() == PairAuditor.from_pretrained().identity() != other.identity()


def test_images_of_another_size_are_refused(auditor: PairAuditor, right: PairDataset):
    with pytest.raises(MxqvaeError, match="images of 32 x 64 pixels, the model takes 64 x 64; give"):
        auditor.audit(right.images[:2, :, :32], right.captions[:2])
    with pytest.raises(MxqvaeError, match="images of 64 x 32 pixels"):
        auditor.heat_map(right.images[0, :32], right.captions[0])


@pytest.mark.parametrize(
    ("masking", "seen"),
    [
        (None, False),
        (MaskingConfig(), False),
        (MaskingConfig(word_share=0, random_word_share=0.5), False),
        (MaskingConfig(random_word_share=0.5), True),
    ],
    ids=range(4),
)
def test_weights_tell_whether_they_saw_captions_that_lie(
    tiny_generator: PairGenerator, masking: MaskingConfig | None, seen: bool
):
    config = tiny_generator.autoencoder.config
    assert isinstance(config, MXQVAEConfig)
    untrained = MXQVAE(replace(config, masking=masking))
    assert PairAuditor(untrained, tiny_generator.tokenizer).has_seen_lies is seen


@pytest.mark.parametrize("masking", [None, MaskingConfig(word_share=0)], ids=range(2))
def test_weights_that_never_did_without_a_word_cannot_hide_them(
    tiny_generator: PairGenerator, masking: MaskingConfig | None
):
    config = tiny_generator.autoencoder.config
    assert isinstance(config, MXQVAEConfig)
    untrained = MXQVAE(replace(config, masking=masking))
    with pytest.raises(MxqvaeError, match="no word hidden; leave --hide-words out"):
        PairAuditor(untrained, tiny_generator.tokenizer, hides_words=True)
    with pytest.raises(MxqvaeError, match="no word hidden; what words cost is not known"):
        PairAuditor(untrained, tiny_generator.tokenizer).caption_bits(["a"])


def test_halves_that_share_nothing_are_refused(auditor: PairAuditor):
    tokenizer = auditor.tokenizer
    image = ImageVQVAEConfig(image=ImageConfig(strides=(8, 4), widths=(4, 8), num_residual_blocks=0))
    text = CaptionTokensConfig(vocab_size=tokenizer.vocab_size, caption_length=tokenizer.max_length)
    with pytest.raises(MxqvaeError, match="apart and cannot audit; give weights of another recipe"):
        PairAuditor(ConcatenatedAutoencoder(ConcatenatedConfig(parts=(image, text))), tokenizer)


def untrained_auditor(tokenizer: CaptionTokenizer) -> PairAuditor:
    """Of images of 16 pixels and captions of 12 tokens."""
    config = MXQVAEConfig(
        vocab_size=tokenizer.vocab_size,
        caption_length=12,
        latent_size=8,
        image=ImageConfig(image_size=16, strides=(4,), widths=(8,), num_residual_blocks=0),
        text=ConvolutionalTextConfig(num_latents=4, widths=(8, 8), mixing_size=4),
        joint=None,
        quantizer=QuantizerConfig(num_codes=16, code_size=4),
    )
    return PairAuditor(MXQVAE(config), tokenizer)


def test_pieces_of_a_wrong_word_that_are_right_stay(monkeypatch: pytest.MonkeyPatch):
    tokenizer = CaptionTokenizer.train_subwords(["a win", "a grin"], vocab_size=280, max_length=12)
    true, said = "a grinning", "a winking"
    pieces = [tokenizer.encode([caption])[0] for caption in (true, said)]
    words = [int((row >= len(SPECIAL_TOKENS)).sum()) for row in pieces]
    same = pieces[0][: max(words)] == pieces[1][: max(words)]
    assert words[0] == words[1]
    assert same[1:].any()  # a piece that both words share, at the same place
    shares = torch.full((12, tokenizer.vocab_size), -9.0).scatter(1, pieces[0][:, None], -0.1)
    monkeypatch.setattr(PairAuditor, "_log_shares", lambda *_: shares.expand(BLOCK_SIZE, -1, -1))
    (audited,) = untrained_auditor(tokenizer).audit(torch.zeros(1, 16, 16, 3, dtype=torch.uint8), [said])
    assert audited.proposed_caption == true


def test_subwords_and_captions_that_are_cut():
    captions = ["Two zebras, playing in the snow", "a T-shirt's ball!", "two dogs"]
    tokenizer = CaptionTokenizer.train_subwords(captions[2:], vocab_size=300, max_length=12)
    untrained = untrained_auditor(tokenizer)
    pairs = untrained.audit(torch.zeros(3, 16, 16, 3, dtype=torch.uint8), captions)
    first = [word.text_in(captions[0]) for word in pairs[0].words]
    assert first[:2] == ["Two", "zebras"]
    assert len(pairs[0].word_bits) == len(first) < 7
    end = pairs[0].words[-1].end
    assert pairs[0].proposed_caption.endswith(captions[0][end:])
    assert len(untrained.heat_map(torch.zeros(16, 16, 3, dtype=torch.uint8), captions[1])) == len(
        pairs[1].words
    )
