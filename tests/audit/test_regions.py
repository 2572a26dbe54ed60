from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mxqvae.audit.regions import SCHEMA, Region, heat_map, region_of, windows_of, write_regions
from mxqvae.audit.score_table import ScoredPair
from mxqvae.data.pair_source import PairKey


@pytest.mark.parametrize(("grid_size", "num"), [(1, 1), (2, 4), (8, 25), (16, 81)])
def test_windows_are_half_as_wide_and_cover_every_cell(grid_size: int, num: int):
    windows = windows_of(grid_size)
    assert windows.shape == (num, grid_size, grid_size)
    assert len(windows.unique(dim=0)) == num
    assert bool(windows.any(0).all())
    assert set(windows.sum((1, 2)).tolist()) == {max(1, grid_size // 2) ** 2}


def test_a_region_is_told_in_pixels():
    window = torch.zeros(4, 4, dtype=torch.bool)
    window[1:3, 2:] = True
    assert region_of(window, 8, [1.0]) == Region(16, 8, 16, 16, [1.0])


def test_the_heat_of_equal_regions_is_theirs():
    regions = [region_of(window, 8, [2.0, -1.0]) for window in windows_of(8)]
    heat = torch.tensor(heat_map(regions, 8))
    assert heat.shape == (2, 8, 8)
    torch.testing.assert_close(heat, torch.tensor([2.0, -1.0])[:, None, None].expand(2, 8, 8))


def test_the_table_has_the_warm_words_worst_first(tmp_path: Path):
    pair = ScoredPair(
        PairKey("data/a", 7, 1), "a b c", 9.0, "c", "a b d", ["a", "b", "c"], [1.5, 0.1, 7.4], None
    )
    regions = [Region(0, 0, 8, 8, [0.5, 0.0, 7.0]), Region(8, 0, 8, 8, [1.0, 0.0, -2.0])]
    write_regions(tmp_path / "regions.parquet", [(pair, regions), (pair._replace(word_scores=None), regions)])
    table = pq.read_table(tmp_path / "regions.parquet")
    assert table.schema == SCHEMA
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        ("data/a", 7, 1, 2, "c", 0, 0, 8, 8, 7.0),
        ("data/a", 7, 1, 2, "c", 8, 0, 8, 8, -2.0),
        ("data/a", 7, 1, 0, "a", 0, 0, 8, 8, 0.5),
        ("data/a", 7, 1, 0, "a", 8, 0, 8, 8, 1.0),
    ]


def test_no_pairs(tmp_path: Path):
    write_regions(tmp_path / "regions.parquet", [])
    assert pq.read_table(tmp_path / "regions.parquet").num_rows == 0
