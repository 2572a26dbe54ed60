import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as distributed
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from mxqvae import encoding, stages
from mxqvae.autoencoder.concatenated import ConcatenatedAutoencoder
from mxqvae.autoencoder.kinds import AutoencoderConfig
from mxqvae.data import validation_split
from mxqvae.data.batch import PairShape
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.data.warping import WarpingConfig
from mxqvae.encoding import encode_pairs
from mxqvae.errors import MxqvaeError
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator, load_autoencoder
from mxqvae.prior.sampling import SamplingConfig
from mxqvae.progress import LineProgress
from mxqvae.recipes import Recipe, find_recipe
from mxqvae.stages import (
    derive_autoencoder,
    tokenizer_of,
    train_autoencoder,
    train_prior,
    train_reader,
    trainers_of,
)
from mxqvae.training import loop

TRAINERS = {"autoencoder": train_autoencoder, "prior": train_prior, "reader": train_reader}
WEIGHTS = [Path(stage, "model.safetensors") for stage in TRAINERS]


@pytest.fixture(scope="module")
def model(tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder after both stages and the reader. Shared: tests do not write into it."""
    out = tmp_path_factory.mktemp("stages") / "model"
    for train in TRAINERS.values():
        train(tiny_recipe, caption_mnist_small, out)
    return out


@pytest.fixture(scope="module")
def trained(
    tiny_recipe_of: Callable[[str], Recipe],
    caption_mnist_small: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Stage 1 of the baseline I&T. Shared: tests do not write into it."""
    out = tmp_path_factory.mktemp("baselines") / "i-t"
    train_autoencoder(tiny_recipe_of("caption-mnist-cpu-i-t"), caption_mnist_small, out)
    return out


@pytest.fixture(scope="module")
def own_pairs(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caption MNIST with a tokenizer of its own, as `mxqvae data folder` writes one."""
    out = tmp_path_factory.mktemp("own") / "data"
    shutil.copytree(caption_mnist_small, out)
    captions = PairDataset.from_parquet(out, "train").captions
    CaptionTokenizer.train_subwords(captions, vocab_size=300, max_length=40).save(out / "tokenizer.json")
    return out


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """While the fixture's patch holds, Ctrl-C comes before the third step."""
    step, calls = loop.training_step, []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "training_step", stop_at_the_third)
    return monkeypatch


class TestModelFolder:
    def test_it_samples(self, model: Path):
        (pairs,) = PairGenerator.from_pretrained(model).sample(2)
        assert pairs.images.shape == (2, 64, 64, 3)
        assert len(pairs.captions) == 2

    def test_the_tokenizer_knows_the_training_captions(self, model: Path, caption_mnist_small: Path):
        captions = PairDataset.from_parquet(caption_mnist_small, "train").captions
        tokenizer = CaptionTokenizer.load(model / "tokenizer.json")
        assert tokenizer.decode(tokenizer.encode(captions)) == captions

    @pytest.mark.parametrize("stage", TRAINERS)
    def test_the_log_has_the_first_step_and_the_last(self, model: Path, stage: str):
        lines = [json.loads(line) for line in (model / "runs" / stage / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 4]
        assert all(line["total"] > 0 and line["pairs_per_second"] > 0 for line in lines)

    def test_the_codebook_is_watched_from_the_first_step(self, model: Path):
        for line in (model / "runs" / "autoencoder" / "log.jsonl").read_text().splitlines():
            figures = json.loads(line)
            assert 1 <= figures["codebook_perplexity"] <= 16
            assert 0 <= figures["dead_codes"] < 16
            assert 0 <= figures["words_right"] <= 1

    @pytest.mark.parametrize(
        "picture",
        [
            "autoencoder/reconstructions-0000004.png",
            "prior/samples-0000004.png",
            "reader/images-for-captions-0000004.png",
        ],
    )
    def test_pictures_show_how_far_it_is(self, model: Path, picture: str):
        with Image.open(model / "runs" / picture) as image:
            assert np.asarray(image.convert("RGB")).max() > 0


class TestResuming:
    @pytest.mark.parametrize("stage", TRAINERS)
    def test_a_stopped_stage_ends_in_the_same_weights(
        self,
        stage: str,
        model: Path,
        tiny_recipe: Recipe,
        caption_mnist_small: Path,
        tmp_path: Path,
        stopping: pytest.MonkeyPatch,
    ):
        out = tmp_path / "model"
        for earlier in list(TRAINERS)[: list(TRAINERS).index(stage)]:
            shutil.copytree(model / earlier, out / earlier)
            shutil.copy(model / "tokenizer.json", out)
            shutil.copy(model / "generation.json", out)
        with pytest.raises(KeyboardInterrupt):
            TRAINERS[stage](tiny_recipe, caption_mnist_small, out)
        assert not (out / stage / "model.safetensors").exists() or stage == "autoencoder"
        stopping.undo()
        TRAINERS[stage](tiny_recipe, caption_mnist_small, out)
        weights = Path(stage, "model.safetensors")
        assert (out / weights).read_bytes() == (model / weights).read_bytes()

    def test_finished_stages_are_not_run_again(
        self,
        model: Path,
        tiny_recipe: Recipe,
        caption_mnist_small: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        out = shutil.copytree(model, tmp_path / "model")
        monkeypatch.setattr(loop, "training_step", pytest.fail)
        for train in TRAINERS.values():
            train(tiny_recipe, caption_mnist_small, out)
        for weights in WEIGHTS:
            assert (out / weights).read_bytes() == (model / weights).read_bytes()

    def test_other_settings_are_refused(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model")
        training = dataclasses.replace(tiny_recipe.prior_training, learning_rate=0.5)
        assert tiny_recipe.reader is not None
        other = dataclasses.replace(
            tiny_recipe,
            prior_training=training,
            autoencoder_training=training,
            reader=dataclasses.replace(tiny_recipe.reader, training=training),
        )
        for stage in TRAINERS.values():
            with pytest.raises(
                MxqvaeError, match="belongs to a run with other settings or on other data; delete it to train"
            ):
                stage(other, caption_mnist_small, out)

    def test_another_number_of_processes_draws_other_masks(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stages, "num_processes", lambda: 2)
            for stage in TRAINERS.values():
                with pytest.raises(MxqvaeError, match="belongs to a run with other settings"):
                    stage(tiny_recipe, caption_mnist_small, out)

    def test_draws_that_stage_1_cannot_make_are_refused_before_training(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("prior"))
        wide = GenerationConfig(sampling=SamplingConfig(top_k=10_000))
        with pytest.raises(MxqvaeError, match="top_k must be at most"):
            train_prior(dataclasses.replace(tiny_recipe, generation=wide), caption_mnist_small, out)
        assert not (out / "runs" / "prior" / "log.jsonl").exists()


class TestOwnPairs:
    @pytest.mark.parametrize("name", ["pairs-cpu", "photos-cpu"])
    def test_a_data_set_s_own_tokenizer_is_used(
        self, own_pairs: Path, name: str, tiny_recipe_of: Callable[[str], Recipe], tmp_path: Path
    ):
        recipe = tiny_recipe_of(name)
        train_autoencoder(recipe, own_pairs, tmp_path)
        train_prior(recipe, own_pairs, tmp_path)
        own = CaptionTokenizer.load(own_pairs / "tokenizer.json")
        assert tokenizer_of(own_pairs, [], None).vocab_size == own.vocab_size
        generator = PairGenerator.from_pretrained(tmp_path)
        assert (tmp_path / "tokenizer.json").read_bytes() == (own_pairs / "tokenizer.json").read_bytes()
        assert generator.generation == recipe.generation
        num_pairs = len(PairDataset.from_parquet(own_pairs, "train"))
        indices = load_file(tmp_path / "runs" / "prior" / "indices.safetensors")["indices"]
        assert len(indices) == (2 if recipe.horizontal_flip else 1) * num_pairs

    def test_pairs_known_in_part_train_stage_1_and_whole_ones_the_prior(
        self, own_pairs: Path, tiny_recipe: Recipe, tmp_path: Path
    ):
        data = tmp_path / "data"
        shutil.copytree(own_pairs, data)
        (shard,) = (data / "data").glob("train-*.parquet")
        table = pq.read_table(shard).select(["image", "caption"])
        captions = ["", "", *table["caption"].to_pylist()[2:]]
        pq.write_table(table.set_column(1, "caption", pa.array(captions)), shard)
        train_autoencoder(tiny_recipe, data, tmp_path / "model")
        train_prior(tiny_recipe, data, tmp_path / "model")
        indices = load_file(tmp_path / "model" / "runs" / "prior" / "indices.safetensors")["indices"]
        assert len(indices) == len(captions) - 2

    def test_a_prior_needs_whole_pairs(self, own_pairs: Path, tiny_recipe: Recipe, tmp_path: Path):
        data = tmp_path / "data"
        shutil.copytree(own_pairs, data)
        (shard,) = (data / "data").glob("train-*.parquet")
        table = pq.read_table(shard).select(["image", "caption"])
        pq.write_table(table.set_column(1, "caption", pa.array([""] * len(table))), shard)
        train_autoencoder(tiny_recipe, data, tmp_path / "model")
        with pytest.raises(MxqvaeError, match="no image has a caption; stage 2 learns from whole pairs"):
            train_prior(tiny_recipe, data, tmp_path / "model")


class TestMirrored:
    def test_stage_2_learns_the_codes_of_both_sides(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("prior", "reader"))
        train_prior(dataclasses.replace(tiny_recipe, horizontal_flip=True), caption_mnist_small, out)
        indices = load_file(out / "runs" / "prior" / "indices.safetensors")["indices"].long()
        generator = PairGenerator.from_pretrained(out)
        pairs = PairDataset.from_parquet(caption_mnist_small, "train")
        mirrored = PairDataset(pairs.images.flip(2), pairs.captions)
        for codes, side in zip(indices.split(len(pairs)), (pairs, mirrored), strict=True):
            assert codes.equal(encode_pairs(generator.autoencoder, generator.tokenizer, side))

    def test_stage_1_that_saw_one_side_does_not_pass_for_one_that_saw_both(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model")
        mirroring = dataclasses.replace(tiny_recipe, horizontal_flip=True)
        with pytest.raises(MxqvaeError, match="autoencoder"):
            train_autoencoder(mirroring, caption_mnist_small, out)


class TestWarped:
    def test_stage_1_sees_each_image_warped_anew(
        self, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        seen: list[torch.Tensor] = []

        def warp(images: torch.Tensor, config: WarpingConfig) -> torch.Tensor:
            assert config == WarpingConfig(distance=0.5)
            seen.append(images)
            return images

        monkeypatch.setattr(stages, "warp", warp)
        recipe = dataclasses.replace(tiny_recipe, warping=WarpingConfig(distance=0.5), num_processes=1)
        train_autoencoder(recipe, caption_mnist_small, tmp_path / "warped")
        assert len(seen) == recipe.autoencoder_training.num_steps
        train_autoencoder(dataclasses.replace(recipe, warping=None), caption_mnist_small, tmp_path / "other")
        assert len(seen) == recipe.autoencoder_training.num_steps

    def test_a_stage_1_that_was_warped_in_another_way_is_not_gone_on_with(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model")
        warping = dataclasses.replace(tiny_recipe, warping=WarpingConfig())
        with pytest.raises(MxqvaeError, match="autoencoder"):
            train_autoencoder(warping, caption_mnist_small, out)

    def test_stage_2_learns_the_codes_of_images_as_they_are(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        def codes_of(name: str, warping: WarpingConfig | None) -> torch.Tensor:
            out = shutil.copytree(model, tmp_path / name, ignore=shutil.ignore_patterns("prior", "reader"))
            train_prior(dataclasses.replace(tiny_recipe, warping=warping), caption_mnist_small, out)
            return load_file(out / "runs" / "prior" / "indices.safetensors")["indices"]

        assert codes_of("warped", WarpingConfig()).equal(codes_of("plain", None))


class TestFewPairs:
    @pytest.fixture
    def bounded(self, tiny_recipe: Recipe) -> Recipe:
        """Nine steps of 100 pairs, but one epoch: three steps where there are 300 pairs, six where 600."""
        training = dataclasses.replace(tiny_recipe.autoencoder_training, num_steps=9, batch_size=100)
        assert tiny_recipe.reader is not None
        return dataclasses.replace(
            tiny_recipe,
            autoencoder_training=training,
            prior_training=training,
            reader=dataclasses.replace(tiny_recipe.reader, training=training),
            horizontal_flip=True,
            max_epochs=1,
        )

    def test_they_take_fewer_steps_and_are_resumed_with_as_many(
        self, bounded: Recipe, caption_mnist_small: Path, tmp_path: Path, stopping: pytest.MonkeyPatch
    ):
        said = io.StringIO()
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(bounded, caption_mnist_small, tmp_path, progress=LineProgress(said))
        assert "3 steps in place of 9: each of 300 pairs is then seen 1 times\n" in said.getvalue()
        stopping.undo()
        for train in trainers_of(bounded).values():
            train(bounded, caption_mnist_small, tmp_path, progress=LineProgress(said))
        assert "6 steps in place of 9: each of 600 pairs" in said.getvalue()
        for stage, num_steps in (("autoencoder", 3), ("prior", 6), ("reader", 6)):
            line = (tmp_path / "runs" / stage / "log.jsonl").read_text().splitlines()[-1]
            assert json.loads(line)["step"] == num_steps

    def test_many_take_all(self, bounded: Recipe, caption_mnist_small: Path, tmp_path: Path):
        said = io.StringIO()
        many = dataclasses.replace(bounded, max_epochs=3)
        train_autoencoder(many, caption_mnist_small, tmp_path, progress=LineProgress(said))
        assert "in place of" not in said.getvalue()


class TestHeldOutPairs:
    @pytest.fixture
    def holding_out(self, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
        monkeypatch.setattr(validation_split, "FEWEST_PAIRS", 10)
        return dataclasses.replace(tiny_recipe, held_out_share=0.2, horizontal_flip=True, num_processes=1)

    def test_stage_2_and_the_reader_are_measured_by_them(
        self, model: Path, holding_out: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("prior", "reader"))
        for part in ("prior", "reader"):
            trainers_of(holding_out)[part](holding_out, caption_mnist_small, out)
            log = [json.loads(line) for line in (out / "runs" / part / "log.jsonl").read_text().splitlines()]
            assert all(line["held_out"] > 0 for line in log)
        PairGenerator.from_pretrained(out)

    def test_what_bounds_the_epochs_is_what_is_known_of_learning_by_heart(
        self, model: Path, holding_out: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("prior", "reader"))
        training = dataclasses.replace(holding_out.prior_training, num_steps=9, batch_size=100)
        bounded = dataclasses.replace(
            holding_out, prior_training=training, max_epochs=1_000, max_epochs_of_codes=1
        )
        train_prior(bounded, caption_mnist_small, out)
        last = json.loads((out / "runs" / "prior" / "log.jsonl").read_text().splitlines()[-1])
        assert 4 <= last["step"] <= 5  # of 300 pairs, four fifths, mirrored too

    def test_they_are_not_learned_from(
        self, model: Path, holding_out: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        """A run that was to learn from all pairs is another run."""
        out = shutil.copytree(model, tmp_path / "model")
        learning_all = dataclasses.replace(holding_out, held_out_share=0.0)
        for part in ("prior", "reader"):
            shutil.rmtree(out / "runs" / part, ignore_errors=True)
        train_prior(holding_out, caption_mnist_small, out)
        with pytest.raises(MxqvaeError, match="belongs to a run with other settings"):
            train_prior(learning_all, caption_mnist_small, out)


def test_a_recipe_s_parts_are_trained_in_order(tiny_recipe: Recipe):
    assert trainers_of(tiny_recipe) == TRAINERS
    assert list(trainers_of(dataclasses.replace(tiny_recipe, reader=None))) == ["autoencoder", "prior"]


class TestPerceptualLoss:
    @pytest.fixture
    def perceptual_recipe(self, tiny_recipe: Recipe) -> Recipe:
        """The tiny recipe with a perceptual loss."""

        def autoencoder(pairs: PairShape) -> AutoencoderConfig:
            return dataclasses.replace(tiny_recipe.autoencoder(pairs), perceptual_weight=0.2)

        return dataclasses.replace(tiny_recipe, autoencoder=autoencoder)

    def test_training_and_checkpoint_hold_the_model_alone(
        self, model: Path, perceptual_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        train_autoencoder(perceptual_recipe, caption_mnist_small, tmp_path)
        for path in (WEIGHTS[0], Path("runs", "autoencoder", "checkpoint.safetensors")):
            assert load_file(tmp_path / path).keys() == load_file(model / path).keys()
        log = (tmp_path / "runs" / "autoencoder" / "log.jsonl").read_text().splitlines()
        assert all(json.loads(line)["perceptual"] > 0 for line in log)

    def test_without_its_package_nothing_is_begun(
        self, perceptual_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path, no_feature_package: None
    ):
        out = tmp_path / "model"
        recipe = dataclasses.replace(perceptual_recipe, num_processes=2)
        with pytest.raises(MxqvaeError, match=r"perceptual loss takes .* 'mxqvae\[perceptual\]'"):
            train_autoencoder(recipe, caption_mnist_small, out)
        assert not out.exists()


class TestDeriving:
    @pytest.mark.parametrize("row", ["t-i", "i-t-emb", "t-emb-i"])
    def test_trained_parts_serve_another_row(
        self,
        row: str,
        trained: Path,
        tiny_recipe_of: Callable[[str], Recipe],
        caption_mnist_small: Path,
        tmp_path: Path,
    ):
        recipe, out = tiny_recipe_of(f"caption-mnist-cpu-{row}"), tmp_path / "model"
        for _ in range(2):  # again, as after an interruption
            derive_autoencoder(recipe, trained, out)
        train_prior(recipe, caption_mnist_small, out)
        pairs = PairDataset.from_parquet(caption_mnist_small, "test")
        generator = PairGenerator.from_pretrained(out)
        source, derived = (load_autoencoder(folder / "autoencoder") for folder in (trained, out))
        (first, second) = (encode_pairs(part, generator.tokenizer, pairs) for part in (source, derived))
        assert isinstance(source, ConcatenatedAutoencoder)
        assert isinstance(derived, ConcatenatedAutoencoder)
        assert source.decode(first).images.equal(derived.decode(second).images)

    def test_text_first_is_what_training_text_first_would_give(
        self,
        trained: Path,
        tiny_recipe_of: Callable[[str], Recipe],
        caption_mnist_small: Path,
        tmp_path: Path,
    ):
        recipe = tiny_recipe_of("caption-mnist-cpu-t-i")
        derive_autoencoder(recipe, trained, tmp_path / "derived")
        train_autoencoder(recipe, caption_mnist_small, tmp_path / "trained")
        derived, trained_anew = (load_file(tmp_path / name / WEIGHTS[0]) for name in ("derived", "trained"))
        assert derived.keys() == trained_anew.keys()
        assert all(value.equal(trained_anew[name]) for name, value in derived.items())

    def test_a_joint_stage_1_has_no_parts(
        self, model: Path, tiny_recipe_of: Callable[[str], Recipe], tmp_path: Path
    ):
        with pytest.raises(MxqvaeError, match="is joint and has no parts to take; train it anew"):
            derive_autoencoder(tiny_recipe_of("caption-mnist-cpu-t-i"), model, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_nor_is_it_made_of_parts(self, trained: Path, tiny_recipe: Recipe, tmp_path: Path):
        with pytest.raises(MxqvaeError, match="is joint and cannot be made of parts; train it"):
            derive_autoencoder(tiny_recipe, trained, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_folder_of_something_else_is_left_alone(
        self, trained: Path, tiny_recipe_of: Callable[[str], Recipe], tmp_path: Path
    ):
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(MxqvaeError, match="has content and no run to resume"):
            derive_autoencoder(tiny_recipe_of("caption-mnist-cpu-t-i"), trained, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


class TestSeed:
    def test_it_decides_the_weights(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        for seed, is_same in ((0, True), (1, False)):
            out = tmp_path / str(seed)
            train_autoencoder(tiny_recipe, caption_mnist_small, out, seed)
            same = (out / WEIGHTS[0]).read_bytes() == (model / WEIGHTS[0]).read_bytes()
            assert same == is_same

    @pytest.mark.parametrize("seed", [-1, 2**32])
    def test_one_out_of_range_is_named(
        self, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path, seed: int
    ):
        with pytest.raises(MxqvaeError, match=rf"^training: 'seed': Input should be .* \(got {seed}\)$"):
            train_autoencoder(tiny_recipe, caption_mnist_small, tmp_path / "model", seed)


class TestEncoding:
    def test_images_of_another_size_are_refused(self, model: Path):
        pairs = PairDataset(torch.zeros(1, 48, 48, 3, dtype=torch.uint8), ["This is red 7."])
        autoencoder = load_autoencoder(model / "autoencoder")
        tokenizer = CaptionTokenizer.load(model / "tokenizer.json")
        with pytest.raises(
            MxqvaeError, match="images of 48 x 48 pixels, the model takes 64 x 64; give other weights"
        ):
            encode_pairs(autoencoder, tokenizer, pairs)
        nothing = PairDataset(torch.zeros(0, 64, 64, 3, dtype=torch.uint8), [])
        with pytest.raises(MxqvaeError, match="no pair with both an image and a caption; give a split"):
            encode_pairs(autoencoder, tokenizer, nothing)

    def test_a_split_is_encoded_pair_by_pair(
        self, model: Path, caption_mnist_small: Path, monkeypatch: pytest.MonkeyPatch
    ):
        generator = PairGenerator.from_pretrained(model)
        pairs = PairDataset.from_parquet(caption_mnist_small, "test")
        monkeypatch.setattr(encoding, "PAIRS_AT_A_TIME", 25)
        indices = encode_pairs(generator.autoencoder, generator.tokenizer, pairs)
        assert indices.equal(generator.encode(pairs.images.numpy(), pairs.captions))
        nn.Embedding(16, 2)(indices).sum().backward()  # tensors of inference mode would refuse this

    def test_codes_are_kept_and_made_anew_when_damaged(
        self,
        model: Path,
        tiny_recipe: Recipe,
        caption_mnist_small: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ):
        out = shutil.copytree(model, tmp_path / "model")
        with monkeypatch.context() as patch:
            patch.setattr(encoding, "encode_pairs", pytest.fail)
            train_prior(tiny_recipe, caption_mnist_small, out)
        kept = out / "runs" / "prior" / "indices.safetensors"
        kept.write_bytes(kept.read_bytes()[:-1])
        train_prior(tiny_recipe, caption_mnist_small, out)
        assert (out / WEIGHTS[1]).read_bytes() == (model / WEIGHTS[1]).read_bytes()


class TestReader:
    def test_it_leaves_both_stages_as_they_are(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("reader"))
        train_reader(tiny_recipe, caption_mnist_small, out)
        for weights in WEIGHTS:
            assert (out / weights).read_bytes() == (model / weights).read_bytes()

    def test_that_of_another_prior_does_not_resume(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("prior"))
        train_prior(tiny_recipe, caption_mnist_small, out, seed=5)
        with pytest.raises(MxqvaeError, match="belongs to a run with other settings"):
            train_reader(tiny_recipe, caption_mnist_small, out)

    def test_a_damaged_one_is_trained_anew(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        out = shutil.copytree(model, tmp_path / "model")
        (out / "reader" / "model.safetensors").write_bytes(b"")
        train_reader(tiny_recipe, caption_mnist_small, out)
        for weights in WEIGHTS:
            assert (out / weights).read_bytes() == (model / weights).read_bytes()

    def test_stages_that_cannot_complete_pairs_are_named_at_once(
        self, model: Path, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        first = dataclasses.replace(
            tiny_recipe,
            prior=lambda autoencoder: dataclasses.replace(tiny_recipe.prior(autoencoder), caption_first=None),
        )
        out = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("prior", "reader"))
        train_prior(first, caption_mnist_small, out)
        with pytest.raises(MxqvaeError, match="this prior draws images before captions"):
            train_reader(tiny_recipe, caption_mnist_small, out)
        assert not (out / "runs" / "reader").exists()

    def test_a_recipe_without_one_says_so(self, tiny_recipe: Recipe, caption_mnist_small: Path, model: Path):
        recipe = dataclasses.replace(tiny_recipe, reader=None)
        with pytest.raises(MxqvaeError, match="this recipe has no reader"):
            train_reader(recipe, caption_mnist_small, model)


class TestBadInput:
    def test_a_prior_needs_an_autoencoder(
        self, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        with pytest.raises(
            MxqvaeError, match=r"config\.json is missing; train it with `mxqvae train autoenc"
        ):
            train_prior(tiny_recipe, caption_mnist_small, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_of_something_else_is_left_alone(
        self, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(
            MxqvaeError, match="has content and no run to resume; choose another output folder"
        ):
            train_autoencoder(tiny_recipe, caption_mnist_small, tmp_path)
        with pytest.raises(MxqvaeError, match="is not a folder; choose another output folder"):
            train_autoencoder(tiny_recipe, caption_mnist_small, tmp_path / "thesis.tex")
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_missing_data_set_is_named(self, tiny_recipe: Recipe, tmp_path: Path):
        with pytest.raises(MxqvaeError, match="nowhere: no such folder; check it, or build it: `mxqvae data"):
            train_autoencoder(tiny_recipe, tmp_path / "nowhere", tmp_path / "model")
        assert list(tmp_path.iterdir()) == []

    def test_captions_that_do_not_fit_the_recipe_are_named(
        self, tiny_recipe: Recipe, caption_mnist_small: Path, tmp_path: Path
    ):
        short = dataclasses.replace(tiny_recipe, caption_length=20)
        with pytest.raises(MxqvaeError, match="words and marks, 19 fit: '"):
            train_autoencoder(short, caption_mnist_small, tmp_path / "model")
        assert list(tmp_path.iterdir()) == []


def test_a_stage_trains_in_two_processes(caption_mnist_small: Path, tmp_path: Path):
    """By a recipe whose presets are functions of the package: a companion imports them by name."""
    recipe = find_recipe("caption-mnist-cpu")
    training = dataclasses.replace(recipe.autoencoder_training, num_steps=2, batch_size=4, bf16=False)
    recipe = dataclasses.replace(recipe, num_processes=2, autoencoder_training=training)
    train_autoencoder(recipe, caption_mnist_small, tmp_path / "model")
    assert load_autoencoder(tmp_path / "model" / "autoencoder")
    assert not distributed.is_initialized()
