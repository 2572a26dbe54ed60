import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mxqvae.audit.auditor import PairAuditor
from mxqvae.data.corruption import corrupt_captions


@pytest.fixture(scope="session")
def auditor() -> PairAuditor:
    """The shipped stage 1."""
    return PairAuditor.from_pretrained()


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
