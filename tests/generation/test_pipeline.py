import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants

from mxqvae.autoencoder.kinds import build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAE
from mxqvae.data.batch import PairBatch, PairShape, to_floats
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.errors import MxqvaeError
from mxqvae.generation import redrawing
from mxqvae.generation.pair_fit import PairFit
from mxqvae.generation.pipeline import (
    GENERATION_FILE,
    NUM_ATTEMPTS_THAT_KEEP,
    SHIPPED_WEIGHTS,
    GenerationConfig,
    PairGenerator,
    SampledPairs,
    find_weights,
)
from mxqvae.prior.bits import caption_code_bits
from mxqvae.prior.reader import CaptionReader
from mxqvae.prior.sampling import SamplingConfig, sample_indices
from mxqvae.prior.transformer import Prior
from mxqvae.recipes import Recipe

FILES = [
    "tokenizer.json",
    "autoencoder/config.json",
    "autoencoder/model.safetensors",
    "prior/config.json",
    "prior/model.safetensors",
    "reader/config.json",
    "reader/model.safetensors",
]


@pytest.fixture
def opinionated_generator(tiny_generator: PairGenerator) -> PairGenerator:
    """An untrained model to which pairs are not all alike: its weights are larger than at the start."""
    torch.manual_seed(0)
    for parameter in tiny_generator.autoencoder.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return tiny_generator


@pytest.fixture
def folder(tiny_generator: PairGenerator, tmp_path: Path) -> Path:
    """A model folder."""
    tiny_generator.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def worst_word_bits(generator: PairGenerator, pairs: SampledPairs) -> torch.Tensor:
    autoencoder = generator.autoencoder
    assert isinstance(autoencoder, MXQVAE)
    return PairFit(autoencoder, generator.prior).worst_word_bits(autoencoder.decode(pairs.indices))


def median_bits(generator: PairGenerator) -> float:
    """Half of the pairs of seed 0, refined once, have a word dearer than this."""
    (pairs,) = generator.sample(64, generation=GenerationConfig(num_refinements=1))
    return float(worst_word_bits(generator, pairs).median())


def rarest_code_bits(generator: PairGenerator, pairs: SampledPairs) -> torch.Tensor:
    """Bits of each pair's rarest caption code."""
    return caption_code_bits(generator.prior, pairs.indices).amax(1)


def equal(first: SampledPairs, second: SampledPairs) -> bool:
    return (
        np.array_equal(first.images, second.images)
        and first.captions == second.captions
        and first.indices.equal(second.indices)
    )


class TestSampling:
    def test_pairs_are_what_the_prior_s_codes_decode_to(self, tiny_generator: PairGenerator):
        sampling = SamplingConfig(temperature=0.7, top_k=5)
        generation = GenerationConfig(sampling=sampling)
        batches = list(tiny_generator.sample(70, seed=3, first=10, generation=generation))
        blocks = sample_indices(tiny_generator.prior, sampling, num=70, seed=3, first=10)
        for batch, indices in zip(batches, blocks, strict=True):
            assert equal(batch, tiny_generator.decode(indices))
        assert sum(len(batch.captions) for batch in batches) == 70

    def test_refinement_is_a_pass_through_stage_1(self, tiny_generator: PairGenerator):
        (drawn,) = tiny_generator.sample(64, generation=GenerationConfig())
        (refined,) = tiny_generator.sample(64, generation=GenerationConfig(num_refinements=2))
        once = tiny_generator.refine(drawn.indices)
        decoded = tiny_generator.autoencoder.decode(drawn.indices)
        assert once.equal(tiny_generator.autoencoder.encode(decoded))
        assert refined.indices.equal(tiny_generator.refine(once))

    @pytest.mark.parametrize(("num_refinements", "bounded"), [(0, False), (2, False), (1, True)])
    def test_a_pair_does_not_depend_on_how_many_are_asked_for(
        self, opinionated_generator: PairGenerator, num_refinements: int, bounded: bool
    ):
        bound = median_bits(opinionated_generator) if bounded else None
        generation = GenerationConfig(num_refinements=num_refinements, max_word_bits=bound)
        many = list(opinionated_generator.sample(100, seed=3, generation=generation))
        for number in (17, 70):
            (one,) = opinionated_generator.sample(1, seed=3, first=number, generation=generation)
            assert np.array_equal(one.images[0], many[number // 64].images[number % 64])
            assert one.captions[0] == many[number // 64].captions[number % 64]

    def test_pairs_with_a_doubted_word_are_drawn_anew(self, opinionated_generator: PairGenerator):
        (first,) = opinionated_generator.sample(64, generation=GenerationConfig(num_refinements=1))
        bound = median_bits(opinionated_generator)
        strict = GenerationConfig(num_refinements=1, max_word_bits=bound)
        (drawn,) = opinionated_generator.sample(64, generation=strict)
        before, after = (worst_word_bits(opinionated_generator, pairs) for pairs in (first, drawn))
        doubted = before > bound
        assert 0 < doubted.sum() < 64
        assert drawn.indices[~doubted].equal(first.indices[~doubted])
        assert (after[doubted] < before[doubted]).any()
        assert (after <= before + 1e-4).all()

    def test_what_is_drawn_anew_keeps_its_caption_in_the_first_attempts(
        self, opinionated_generator: PairGenerator, monkeypatch: pytest.MonkeyPatch
    ):
        # Later ones draw a new one.
        monkeypatch.setattr(redrawing, "NUM_ATTEMPTS", 1 + NUM_ATTEMPTS_THAT_KEEP)
        caption = list(opinionated_generator.prior.config.caption_positions)
        (first,) = opinionated_generator.sample(64, generation=GenerationConfig())
        strict = GenerationConfig(max_word_bits=median_bits(opinionated_generator))
        (drawn,) = opinionated_generator.sample(64, generation=strict)
        assert (drawn.indices != first.indices).any()
        assert drawn.indices[:, caption].equal(first.indices[:, caption])

    def test_captions_with_a_rare_code_are_drawn_anew(self, opinionated_generator: PairGenerator):
        (first,) = opinionated_generator.sample(64, generation=GenerationConfig())
        before = rarest_code_bits(opinionated_generator, first)
        bound = float(before.median())
        (drawn,) = opinionated_generator.sample(64, generation=GenerationConfig(max_caption_code_bits=bound))
        after = rarest_code_bits(opinionated_generator, drawn)
        assert drawn.indices[before <= bound].equal(first.indices[before <= bound])
        assert (after <= before + 1e-4).all()
        assert (after <= bound + 1e-4).float().mean() > 0.9

    def test_bounds_that_all_pairs_keep_change_nothing(self, tiny_generator: PairGenerator):
        (first,) = tiny_generator.sample(64, generation=GenerationConfig())
        loose = GenerationConfig(max_word_bits=1e6, max_caption_code_bits=1e6)
        (drawn,) = tiny_generator.sample(64, generation=loose)
        assert equal(first, drawn)

    def test_pairs_are_as_people_look_at_them(self, tiny_generator: PairGenerator):
        (pairs,) = tiny_generator.sample(3)
        assert pairs.images.shape == (3, 64, 64, 3)
        assert pairs.images.dtype == np.uint8
        assert len(pairs.captions) == 3
        assert all(isinstance(caption, str) for caption in pairs.captions)
        assert pairs.indices.shape == (3, 8)

    def test_what_is_sampled_can_be_encoded(self, tiny_generator: PairGenerator):
        (pairs,) = tiny_generator.sample(2)
        words = ["This is red 7.", "This is white 0."]
        assert tiny_generator.encode(pairs.images, words).shape == pairs.indices.shape

    @pytest.mark.parametrize("change", [{"num": 0}, {"seed": -1}, {"first": -1}])
    def test_bad_numbers_are_refused_before_the_first_pair_is_asked_for(
        self, tiny_generator: PairGenerator, change: dict[str, Any]
    ):
        options: dict[str, Any] = {"num": 1} | change
        with pytest.raises(MxqvaeError, match=f"^{next(iter(change))} must be"):
            tiny_generator.sample(**options)

    def test_dropout_is_off(self, tiny_generator: PairGenerator):
        assert not tiny_generator.autoencoder.training
        assert not tiny_generator.prior.training


class TestEncoding:
    def test_pairs_become_the_autoencoder_s_codes(
        self, tiny_generator: PairGenerator, caption_mnist_small: Path
    ):
        pairs = PairDataset.from_parquet(caption_mnist_small, "test")
        indices = tiny_generator.encode(pairs.images[:5].numpy(), pairs.captions[:5])
        token_ids = tiny_generator.tokenizer.encode(pairs.captions[:5])
        batch = PairBatch(to_floats(pairs.images[:5]), token_ids)
        assert indices.equal(tiny_generator.autoencoder.encode(batch))
        assert tiny_generator.decode(indices).images.shape == (5, 64, 64, 3)

    def test_unknown_words_are_named(self, tiny_generator: PairGenerator):
        with pytest.raises(MxqvaeError, match="unknown in captions: 'purple'"):
            tiny_generator.encode(np.zeros((1, 64, 64, 3), np.uint8), ["This is purple 7."])

    @pytest.mark.parametrize(
        ("images", "captions"),
        [
            (np.zeros((0, 64, 64, 3), np.uint8), []),
            (np.zeros((2, 64, 64, 3), np.uint8), ["This is red 7."]),
            (np.zeros((1, 64, 64), np.uint8), ["This is red 7."]),
            (np.zeros((1, 64, 64, 3), np.float32), ["This is red 7."]),
        ],
    )
    def test_images_of_another_form_are_named(
        self, tiny_generator: PairGenerator, images: np.ndarray, captions: list[str]
    ):
        with pytest.raises(MxqvaeError, match=r"captions need as many images of 64 x 64 pixels, .* got"):
            tiny_generator.encode(images, captions)

    def test_images_of_another_size_are_named(self, tiny_generator: PairGenerator):
        message = r"images of 32 x 48 pixels, the model takes 64 x 64; give other weights \(--weights\)"
        with pytest.raises(MxqvaeError, match=message):
            tiny_generator.encode(np.zeros((1, 48, 32, 3), np.uint8), ["This is red 7."])


class TestFolders:
    def test_what_is_saved_samples_the_same_when_loaded(self, folder: Path, tmp_path: Path):
        loaded = PairGenerator.from_pretrained(folder)
        loaded.save_pretrained(tmp_path / "copy")
        again = PairGenerator.from_pretrained(str(tmp_path / "copy"))
        for first, second in zip(loaded.sample(70, seed=5), again.sample(70, seed=5), strict=True):
            assert equal(first, second)

    def test_a_folder_holds_a_file_of_each_kind(self, folder: Path):
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == {*FILES, GENERATION_FILE}

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_named(self, folder: Path, name: str):
        (folder / name).unlink()
        with pytest.raises(MxqvaeError) as refusal:
            PairGenerator.from_pretrained(folder)
        stage = name.split("/")[0] if "/" in name else "autoencoder"
        assert str(refusal.value).startswith(f"{folder / name} is missing; ")
        assert f"`mxqvae train {stage}`" in str(refusal.value)

    @pytest.mark.parametrize("name", FILES)
    def test_a_damaged_file_is_named(self, folder: Path, name: str):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(MxqvaeError) as refusal:
            PairGenerator.from_pretrained(folder)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize("stage", ["autoencoder", "prior"])
    def test_weights_of_another_size_are_named(self, folder: Path, stage: str):
        config = folder / stage / "config.json"
        config.write_text(config.read_text().replace('"num_codes": 16', '"num_codes": 17'))
        with pytest.raises(
            MxqvaeError, match=r"model\.safetensors does not fit config\.json beside it; train"
        ):
            PairGenerator.from_pretrained(folder)

    def test_a_model_without_a_reader_samples_the_same(self, folder: Path):
        with_reader = PairGenerator.from_pretrained(folder)
        shutil.rmtree(folder / "reader")
        without = PairGenerator.from_pretrained(folder)
        assert with_reader.reader is not None
        assert without.reader is None
        assert equal(*(next(generator.sample(3)) for generator in (with_reader, without)))

    def test_an_empty_folder_is_no_model(self, tmp_path: Path):
        with pytest.raises(MxqvaeError, match=r"tokenizer\.json is missing; `mxqvae train autoencoder`"):
            PairGenerator.from_pretrained(tmp_path)


class TestHalvesApart:
    @pytest.fixture
    def generator(self, tiny_recipe_of: Callable[[str], Recipe], caption_mnist_small: Path) -> PairGenerator:
        """The baseline I&T, untrained."""
        recipe = tiny_recipe_of("caption-mnist-cpu-i-t")
        pairs = PairDataset.from_parquet(caption_mnist_small, "train")
        tokenizer = CaptionTokenizer.train(pairs.captions, recipe.caption_length)
        config = recipe.autoencoder(pairs.shape(tokenizer))
        return PairGenerator(tokenizer, build_autoencoder(config), Prior(recipe.prior(config)))

    def test_what_is_saved_samples_the_same_when_loaded(self, generator: PairGenerator, tmp_path: Path):
        generator.save_pretrained(tmp_path / "model")
        loaded = PairGenerator.from_pretrained(tmp_path / "model")
        assert loaded.autoencoder.config == generator.autoencoder.config
        loaded.save_pretrained(tmp_path / "copy")
        again = PairGenerator.from_pretrained(tmp_path / "copy")
        for first, second in zip(loaded.sample(70, seed=5), again.sample(70, seed=5), strict=True):
            assert equal(first, second)

    def test_weights_carry_how_their_pairs_are_drawn(self, tiny_generator: PairGenerator, tmp_path: Path):
        drawn_as = GenerationConfig(sampling=SamplingConfig(temperature=0.5, top_k=3), num_refinements=1)
        tiny_generator.save_pretrained(tmp_path / "default")
        tiny_generator.generation = drawn_as
        tiny_generator.save_pretrained(tmp_path / "drawn")
        plain, drawn = (PairGenerator.from_pretrained(tmp_path / name) for name in ("default", "drawn"))
        assert (plain.generation, drawn.generation) == (GenerationConfig(), drawn_as)
        (first,) = drawn.sample(3)
        (second,) = plain.sample(3, generation=drawn_as)
        assert equal(first, second)

    def test_without_a_word_on_it_pairs_are_drawn_as_the_prior_gives_them(
        self, tiny_generator: PairGenerator, tmp_path: Path
    ):
        tiny_generator.save_pretrained(tmp_path)
        (tmp_path / GENERATION_FILE).unlink()
        assert PairGenerator.from_pretrained(tmp_path).generation == GenerationConfig()
        (tmp_path / GENERATION_FILE).write_text('{"num_refinement": 1}')
        with pytest.raises(MxqvaeError, match=r"generation\.json: unknown key 'num_refinement'"):
            PairGenerator.from_pretrained(tmp_path)

    def test_codes_of_two_halves_can_be_refined(self, generator: PairGenerator):
        (drawn,) = generator.sample(64)
        (refined,) = generator.sample(64, generation=GenerationConfig(num_refinements=1))
        assert refined.indices.equal(generator.refine(drawn.indices))

    def test_pairs_of_two_halves_cannot_be_doubted(self, generator: PairGenerator):
        with pytest.raises(
            MxqvaeError, match="image and caption apart and cannot tell which pairs fit; leave"
        ):
            generator.sample(1, generation=GenerationConfig(max_word_bits=1.0))

    def test_captions_that_are_not_drawn_first_cannot_be_judged_alone(self, generator: PairGenerator):
        with pytest.raises(MxqvaeError, match="leave max_caption_code_bits out"):
            generator.sample(1, generation=GenerationConfig(max_caption_code_bits=10.0))

    def test_a_prior_of_another_layout_is_refused(
        self, generator: PairGenerator, tiny_recipe_of: Callable[[str], Recipe]
    ):
        tokenizer, autoencoder = generator.tokenizer, generator.autoencoder
        other = tiny_recipe_of("caption-mnist-cpu-t-i")
        priors = [
            Prior(other.prior(other.autoencoder(PairShape(tokenizer.vocab_size, tokenizer.max_length, 64)))),
            Prior(dataclasses.replace(generator.prior.config, segments=())),
        ]
        for prior in priors:
            with pytest.raises(MxqvaeError) as refusal:
                PairGenerator(tokenizer, autoencoder, prior)
            message = "the prior was trained on codes of another autoencoder; train it on this one's"
            assert str(refusal.value) == message


class TestParts:
    def test_a_prior_of_other_codes_is_refused(self, tiny_generator: PairGenerator):
        for change in ({"num_codes": 17}, {"sequence_length": 9}):
            other = Prior(dataclasses.replace(tiny_generator.prior.config, **change))
            with pytest.raises(MxqvaeError, match="the prior was trained on codes of another autoencoder"):
                PairGenerator(tiny_generator.tokenizer, tiny_generator.autoencoder, other)

    def test_a_tokenizer_of_other_captions_is_refused(self, tiny_generator: PairGenerator):
        words = [
            tiny_generator.tokenizer.decode(torch.arange(4, tiny_generator.tokenizer.vocab_size)[None])[0]
        ]
        for tokenizer in (CaptionTokenizer.train(["Red."]), CaptionTokenizer.train(words, 99)):
            with pytest.raises(MxqvaeError, match="the tokenizer is not the autoencoder's"):
                PairGenerator(tokenizer, tiny_generator.autoencoder, tiny_generator.prior)

    def test_the_reader_of_another_model_is_refused(self, tiny_generator: PairGenerator):
        parts = (tiny_generator.tokenizer, tiny_generator.autoencoder, tiny_generator.prior)
        assert tiny_generator.reader is not None
        config = tiny_generator.reader.config
        wider = dataclasses.replace(config.prior, width=16)
        for change in ({"vocab_size": 99}, {"caption_length": 9}, {"prior": wider}):
            other = CaptionReader(dataclasses.replace(config, **change))
            with pytest.raises(MxqvaeError, match="the reader was trained with another model; train it with"):
                PairGenerator(*parts, reader=other)

    def test_parts_are_put_in_eval_mode(self, tiny_generator: PairGenerator):
        autoencoder = build_autoencoder(tiny_generator.autoencoder.config)
        prior = Prior(tiny_generator.prior.config)
        PairGenerator(tiny_generator.tokenizer, autoencoder, prior)
        assert not autoencoder.training
        assert not prior.training


class TestHub:
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    @pytest.mark.parametrize("name", ["nobody/nothing", "no such folder", "a/b/c", "runs/mine", ""])
    def test_what_is_neither_folder_nor_repository_is_named(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(MxqvaeError) as refusal:
            PairGenerator.from_pretrained(name)
        message = str(refusal.value)
        assert "\n" not in message
        if name:
            assert message.startswith(
                f"weights {name!r}: no such folder, nor a Hugging Face repository within reach ("
            )
            assert message.endswith(
                "; give a folder that training wrote, emoji-cpu, or nothing for the weights of Caption MNIST"
            )

    def test_a_repository_is_downloaded(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        asked = []

        def download(repository: str) -> str:
            asked.append(repository)
            return str(folder)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        assert find_weights("somebody/pairs") == folder
        assert asked == ["somebody/pairs"]

    def test_shipped_weights_are_found_by_name(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
        assert find_weights("emoji-cpu") == SHIPPED_WEIGHTS.with_name("emoji-cpu")
        sampled = next(PairGenerator.from_pretrained("emoji-cpu").sample(2))
        assert sampled.images.shape == (2, 64, 64, 3)

    def test_a_folder_is_preferred(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
        shutil.move(folder, folder.parent / "somebody")
        monkeypatch.chdir(folder.parent)
        assert find_weights("somebody") == Path("somebody")

    def test_uploading_sends_the_folder(
        self, tiny_generator: PairGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        calls: list[tuple[str, dict[str, Any]]] = []

        class FakeHub:
            def create_repo(self, repository: str, **options: Any) -> None:
                calls.append((repository, options))

            def upload_folder(self, **options: Any) -> str:
                calls.append((options["repo_id"], options))
                return "https://hub/somebody/pairs"

        monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
        address = tiny_generator.push_to_hub("somebody/pairs", tmp_path / "upload", private=True)
        assert address == "https://hub/somebody/pairs"
        assert [name for name, _ in calls] == ["somebody/pairs", "somebody/pairs"]
        assert calls[0][1]["private"] is True
        assert PairGenerator.from_pretrained(calls[1][1]["folder_path"])
