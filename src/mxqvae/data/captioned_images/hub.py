"""A data set of the Hugging Face hub, streamed with the library `datasets` (an optional extra)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mxqvae.data.captioned_images.columns import AskedColumns, find_columns
from mxqvae.data.captioned_images.image_files import ImageFinder
from mxqvae.data.captioned_images.parquet_files import pair_of_row
from mxqvae.data.captioned_images.source import SourcePair
from mxqvae.data.captioned_images.splitting import splits_of_names
from mxqvae.errors import MxqvaeError

if TYPE_CHECKING:
    from datasets import IterableDataset


class HubDataset:
    """All splits of a data set, one after the other, images as they were uploaded."""

    layout = "data set of the hub"

    def __init__(self, name: str, asked: AskedColumns) -> None:
        """Look the data set up.

        Args:
            name: As user/name, or user/name:configuration.
            asked: Columns.

        Raises:
            MxqvaeError: `datasets` is not installed, finds no such data set, or finds several configurations.
        """
        try:
            import datasets
        except ImportError:
            raise MxqvaeError(
                f"{name}: no such file or folder; a data set on Hugging Face takes the library datasets: "
                "pip install 'mxqvae[hub]'"
            ) from None
        repository, _, configuration = name.partition(":")
        try:
            splits: Any = datasets.load_dataset(repository, configuration or None, streaming=True)
        except Exception as error:  # the library raises many kinds, those of its network layer among them
            reason, *more = str(error).splitlines() or [type(error).__name__]
            if more and more[0].startswith("Please pick one among"):
                raise MxqvaeError(f"{name}: {more[0]}; give it as {name}:CONFIGURATION") from None
            raise MxqvaeError(
                f"{name}: no such file or folder, nor a data set on Hugging Face within reach ({reason}); "
                "check the name and the network"
            ) from None
        self._name = name
        self._asked = asked
        self._splits: dict[str, IterableDataset] = dict(splits)

    def count(self) -> int:
        infos = [(split.info.splits or {}).get(name) for name, split in self._splits.items()]
        return sum(info.num_examples for info in infos if info is not None)

    def __iter__(self) -> Iterator[SourcePair]:
        try:
            yield from self._pairs()
        except MxqvaeError:
            raise
        except Exception as error:  # as above, and of rows that do not fit the columns
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise MxqvaeError(
                f"data set {self._name}: reading stopped ({reason}); check the network, or download it first"
            ) from None

    def _pairs(self) -> Iterator[SourcePair]:
        from datasets import Image

        finder = ImageFinder([Path(self._name.partition(":")[0])])
        published = splits_of_names(self._splits)
        for split_name, split in self._splits.items():
            names = split.column_names or list(next(iter(split), ()))
            if not names:
                continue  # without a row
            columns = find_columns(names, self._asked, f"data set {self._name}")
            if isinstance((split.features or {}).get(columns.image), Image):
                split = split.cast_column(columns.image, Image(decode=False))
            for number, row in enumerate(split):
                pair = pair_of_row(row, f"{split_name}, row {number}", columns, finder)
                yield pair._replace(split=pair.split or published.get(split_name))
