"""Result files: the figures of one row of a table, with all that is needed to make them again.

    results/table2-mxqvae-seed0.json    one file for each row and seed, named by the result

`reproduce` writes them and `report` reads them; a row can be reported again without running it again.
"""

import dataclasses
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mxqvae.audit.measurement import AuditScore
from mxqvae.config import configuration, from_json, to_json
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.consistency import ConsistencyScore
from mxqvae.evaluation.correlation import CorrelationScore
from mxqvae.evaluation.diversity import DiversityScore
from mxqvae.evaluation.image_quality import ImageQualityScore
from mxqvae.evaluation.likelihood import LikelihoodScore
from mxqvae.evaluation.memorization import MemorizationScore
from mxqvae.evaluation.retrieval import RetrievalScore
from mxqvae.evaluation.similarity import SimilarityComparison
from mxqvae.output_file import new_output_file


@configuration
class Cost:
    """Wall-clock time of each step, in seconds; 0 where a step was not run."""

    data: float
    """Build of the data set."""
    degree: float = 0.0
    """Build of the Degree sets."""
    judge: float = 0.0
    """Training of the judge, or of the joint embedding that stands in its place."""
    autoencoder: float
    """Training of stage 1; of all parts, where rows share them, and of the one that audited."""
    audit: float = 0.0
    """Audit of the training pairs, and what was made of them by it."""
    prior: float = 0.0
    """Training of stage 2, its code extraction not included."""
    sampling: float = 0.0
    """All pairs that were scored."""
    scoring: float
    """Everything that was measured."""

    def __post_init__(self) -> None:
        for step, seconds in dataclasses.asdict(self).items():
            if seconds < 0:
                raise ValueError(f"{step} must take a time from 0 seconds up, got {seconds}")


CAPTION_MNIST = "Caption MNIST"
"""The data set of Table 2, and of Table 1 where a result names no other."""
SHARES = (
    "samples",
    "samples_refined",
    "samples_as_drawn",
    "drawn_anew",
    "ceiling",
    "floor",
    "judge_accuracy",
    "restored_captions",
    "reconstructed",
)
"""The figures of Table 2 in which every float is a share, in [0, 1]."""


@configuration
class Table2Figures:
    """One row of Table 2."""

    samples: ConsistencyScore
    """The pairs that the model sampled."""
    samples_refined: ConsistencyScore
    """The same before any was drawn anew; equal to `samples` where the recipe draws none anew."""
    samples_as_drawn: ConsistencyScore
    """These before stage 1 refined them; equal to `samples_refined` where the recipe refines none."""
    drawn_anew: float
    """Share of the samples that are not the first draw of their number."""
    ceiling: ConsistencyScore
    """Real test pairs, by the same judge."""
    floor: ConsistencyScore
    """The same images with captions dealt at random."""
    judge_accuracy: float
    """Share of real test digits that the judge names right."""
    diversity: DiversityScore
    """Distinct captions' slots among the samples, and among real pairs."""
    memorization: MemorizationScore
    """How near samples come to the training images that both stages saw, and real test images do."""
    likelihood: LikelihoodScore
    """Bits of real test pairs' codes under stage 2."""
    restored_captions: float
    """Share of test captions that come back word for word through stage 1."""
    reconstructed: ConsistencyScore
    """Test pairs that stage 1 has encoded and decoded, by the same judge."""

    def __post_init__(self) -> None:
        tree = dataclasses.asdict(self)
        for name, value in _leaves({name: tree[name] for name in SHARES}):
            if isinstance(value, float) and not 0 <= value <= 1:
                raise ValueError(f"{name} must be a share from 0 to 1, got {value}")


@configuration
class Run:
    """How a row was run, and what it cost."""

    name: str
    """Name of the file, without its ending."""
    row: str
    """The paper's label of the row, such as MXQ-VAE."""
    recipe: str
    """The recipe that makes it."""
    seed: int
    """Seed of training and sampling."""
    commit: str
    """The source it was run from, see `provenance.current_commit`; of steps from several, all of them."""
    hardware: str
    """The machine, or the machines of its steps, see `provenance.describe_hardware`."""
    versions: dict[str, str]
    """Versions of Python and of the packages that matter, see `provenance.list_versions`."""
    cost: Cost
    """Time taken."""
    date: datetime.date
    """Day it was run."""


@configuration
class Table1Result(Run):
    """One row of Table 1, as it was run."""

    table: Literal["table1"] = "table1"
    """The table it belongs to."""
    data_set: str = CAPTION_MNIST
    """The pairs that it was trained on, and whose Degree sets it is scored on."""
    figures: CorrelationScore
    """By kind and degree, on the Degree sets of the test pairs."""


@configuration
class Table2Result(Run):
    """One row of Table 2, as it was run."""

    table: Literal["table2"] = "table2"
    """The table it belongs to."""
    figures: Table2Figures
    """What came out."""


@configuration
class PairsUsed:
    """What a set of captioned images held."""

    num_training_images: int
    """Images for training."""
    num_training_captions: int
    """Captions for training."""
    captioned_share: float
    """Share of the training images that have a caption."""
    num_test_images: int
    """Images with a caption for testing."""
    image_size: int
    """Side of an image in pixels."""
    pairing_note: str | None = None
    """What captions belong to where that is not their image."""


@configuration
class Table3Result(Run):
    """One row of Table 3 on one data set, as it was run."""

    table: Literal["table3"] = "table3"
    """The table it belongs to."""
    data_set: str
    """The captioned images that it was trained on and is scored against."""
    references: str
    """Split that the references come from."""
    pairs: PairsUsed
    """What the set held."""
    figures: SimilarityComparison
    """Samples between ceiling and floor."""


@configuration
class ReconstructionResult(Run):
    """What stage 1 of a recipe makes of the test images of one data set, as it was run."""

    table: Literal["reconstruction"] = "reconstruction"
    """The table it belongs to."""
    data_set: str
    """The captioned images that it was trained on and is measured with."""
    image_size: int
    """Their height and width, in pixels."""
    perceptual_weight: float
    """Weight of the perceptual loss that it was trained with; 0: the paper's loss."""
    figures: ImageQualityScore
    """Reconstructed images beside what went in."""


@configuration
class PairsFigures:
    """A recipe on captioned images, without a judge that knows what they show."""

    retrieval: RetrievalScore
    """Sampled captions that find their image, beside real ones."""
    memorization: MemorizationScore
    """How near samples come to training images, and real test images do."""
    image_quality: ImageQualityScore
    """Test images that stage 1 has encoded and decoded, and samples, beside real ones."""
    likelihood: LikelihoodScore
    """Bits of real test pairs under both stages."""


@configuration
class PairsResult(Run):
    """A recipe on captioned images of any kind, as it was run."""

    table: Literal["pairs"] = "pairs"
    """The table it belongs to."""
    data_set: str
    """The captioned images that it was trained on."""
    pairs: PairsUsed
    """What the set held."""
    figures: PairsFigures
    """What came out."""


@configuration
class DirtyDataFigures:
    """A stage 1 whose training captions lied, or were cleaned up."""

    num_pairs: dict[str, int]
    """Pairs that it learned from, by kind."""
    num_lying: dict[str, int]
    """Those whose captions say something else of their image than the true ones, by kind."""
    precision: float | None
    """Share of the pairs taken for lies that were lies; None where none were looked for, or taken for any."""
    recall: float | None
    """Share of the lies that were taken for lies; None where none were looked for."""
    correlation: CorrelationScore
    """On the Degree sets of the test pairs, which no training caption has touched."""
    audit: AuditScore
    """As an auditor of these, whose words it is shown."""
    audit_hidden: AuditScore
    """The same with the words that are asked for hidden."""


@configuration
class DirtyDataResult(Run):
    """Stage 1 on Caption MNIST of which some captions lie, as it was run."""

    table: Literal["dirty-data"] = "dirty-data"
    """The table it belongs to."""
    figures: DirtyDataFigures
    """What came out."""


Result = Table1Result | Table2Result | Table3Result | ReconstructionResult | PairsResult | DirtyDataResult
RESULTS: dict[str, type[Result]] = {
    "table1": Table1Result,
    "table2": Table2Result,
    "table3": Table3Result,
    "reconstruction": ReconstructionResult,
    "pairs": PairsResult,
    "dirty-data": DirtyDataResult,
}


def write_result(result: Result, folder: Path) -> Path:
    """Write `folder/NAME.json`, in place of an older one, and return its path."""
    path = folder / f"{result.name}.json"
    with new_output_file(path) as partial:
        partial.write_text(to_json(result) + "\n", encoding="utf-8")
    return path


def read_result(path: Path) -> Result:
    """Read one result file.

    Raises:
        MxqvaeError: The file is missing or not text, a key is missing, unknown or of the wrong type, a share
            lies outside [0, 1], or the file has another name than the result.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MxqvaeError(f"{path}: not a readable result file ({error}); name a file of results/") from None
    result = from_json(_result_class(text, path), text, str(path))
    if result.name != path.stem:
        raise MxqvaeError(f"{path}: holds the result {result.name!r}; rename the file to {result.name}.json")
    return result


def _result_class(text: str, path: Path) -> type[Result]:
    """The class of the table that the file names."""
    try:
        table = json.loads(text)["table"]
    except (ValueError, KeyError, TypeError):
        raise MxqvaeError(
            f"{path}: not a result file (no JSON object with a key 'table'); move it elsewhere"
        ) from None
    if table not in RESULTS:
        raise MxqvaeError(f"{path}: unknown 'table' {table!r}; choose from {', '.join(RESULTS)}")
    return RESULTS[table]


def read_results(folder: Path) -> list[Result]:
    """Read all result files of a folder, in the order of their names.

    Raises:
        MxqvaeError: The folder is missing, two files hold the same row and seed, or as `read_result`.
    """
    if not folder.is_dir():
        raise MxqvaeError(f"{folder}: no such folder; name the folder of the result files")
    results: dict[tuple[str, str, str, int], Result] = {}
    for path in sorted(folder.glob("*.json")):
        result = read_result(path)
        # A set is scored with as many recipes as somebody likes.
        is_of_digits = isinstance(result, Table2Result | DirtyDataResult)
        data_set = "" if is_of_digits else f"{result.data_set} {result.recipe}"
        other = results.setdefault((result.table, data_set, result.row, result.seed), result)
        if other is not result:
            raise MxqvaeError(
                f"{folder}: {other.name}.json and {result.name}.json both hold the row {result.row!r} of "
                f"{result.table} with seed {result.seed}; keep one"
            )
    return list(results.values())


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested dicts that is no dict, under its dotted name."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, branch in tree.items():
        yield from _leaves(branch, f"{name}.{key}" if name else key)
