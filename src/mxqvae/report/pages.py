"""Writes the tables into the README and the other pages, where nobody types them.

A page marks where each generated block goes:

    <!-- table2:begin -->
    ...
    <!-- table2:end -->
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mxqvae.errors import MxqvaeError
from mxqvae.output_file import new_output_file
from mxqvae.report import dirty_data, own_pairs, reconstruction, table1, table2, table3
from mxqvae.report.goals import render_count, render_goals, render_pairs_goals
from mxqvae.report.runs import render_runs
from mxqvae.results import (
    CAPTION_MNIST,
    DirtyDataResult,
    PairsResult,
    ReconstructionResult,
    Result,
    Table1Result,
    Table2Result,
    Table3Result,
)

PAGES = ("README.md", "docs/*.md", "results/*.md", "src/mxqvae/weights/*/*.md")
"""Where the repository may have tables."""
SHIPPED = ("caption-mnist-cpu", "pairs-cpu")
"""Recipes of the weights in the package, whose cards tell their own runs."""


def find_pages(repository: Path) -> list[Path]:
    """The pages of a repository that have marks, the README first.

    Raises:
        MxqvaeError: There is none.
    """
    pages = [page for pattern in PAGES for page in sorted(repository.glob(pattern))]
    marked = [page for page in pages if ":begin -->" in page.read_text(encoding="utf-8", errors="replace")]
    if not marked:
        raise MxqvaeError(f"{repository.resolve()}: no page with tables in it; name one")
    return marked


def update_page(page: Path, blocks: Mapping[str, str]) -> bool:
    """Write those of `blocks` that `page` has marks for anew.

    Args:
        page: A file with the marks of one block or more.
        blocks: Of `render_blocks`.

    Returns:
        Whether the file has changed.

    Raises:
        MxqvaeError: The file or its marks are missing, or as `fill_blocks`.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MxqvaeError(f"{page}: not a readable text file ({error}); name a page") from None
    new_text = fill_blocks(text, blocks, str(page))
    if new_text == text:
        return False
    with new_output_file(page) as partial:
        partial.write_text(new_text, encoding="utf-8")
    return True


def render_blocks(results: Sequence[Result]) -> dict[str, str]:
    """Return the Markdown of every block by its name.

    Raises:
        MxqvaeError: A result names a row that its table does not have.
    """
    first = [result for result in results if isinstance(result, Table1Result)]
    digits = [result for result in first if result.data_set == CAPTION_MNIST]
    photos = [result for result in first if result.data_set != CAPTION_MNIST]
    second = [result for result in results if isinstance(result, Table2Result)]
    third = [result for result in results if isinstance(result, Table3Result)]
    reconstructed = [result for result in results if isinstance(result, ReconstructionResult)]
    pairs = [result for result in results if isinstance(result, PairsResult)]
    dirty = [result for result in results if isinstance(result, DirtyDataResult)]
    for runs, rows in (
        (first, table1.ROWS),
        (second, table2.ROWS),
        (third, table3.ROWS),
        (reconstructed, reconstruction.ROWS),
        (pairs, own_pairs.ROWS),
        (dirty, dirty_data.ROWS),
    ):
        for run in runs:
            if run.row not in rows:
                raise MxqvaeError(
                    f"result {run.name}: {run.table} has no row {run.row!r}; choose from {', '.join(rows)}"
                )
    return {
        "table1-summary": table1.render_summary(digits),
        "table1": table1.render_table1(digits),
        "table1-kinds": table1.render_kinds(digits),
        "table1-photos": table1.render_photos(photos),
        "table2-summary": table2.render_summary(second),
        "table2": table2.render_table2(second),
        "table3": table3.render_table3(third),
        "reconstruction": reconstruction.render_reconstruction(reconstructed),
        "pairs": own_pairs.render_pairs(pairs),
        "dirty-data": dirty_data.render_dirty_data(dirty),
        "measures": table2.render_measures(second),
        "goals": render_goals(digits, second),
        "goals-count": render_count(digits, second),
        "pairs-goals": render_pairs_goals(pairs),
        "runs": render_runs(results),
        **{f"runs-{name}": render_runs([run for run in results if run.recipe == name]) for name in SHIPPED},
    }


def fill_blocks(text: str, blocks: Mapping[str, str], source: str) -> str:
    """Put every block between its marks in `text`; a text need not have marks for all.

    Args:
        source: What `text` is, for the error message.

    Raises:
        MxqvaeError: A block's marks are not one pair in order, or there are none at all.
    """
    num_filled = 0
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin not in text and end not in text:
            continue
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        filled = f"{begin}\n{block}\n{end}"
        text, num_found = pattern.subn(lambda _, filled=filled: filled, text)
        if num_found != 1 or text.count(begin) != 1 or text.count(end) != 1:
            raise MxqvaeError(f"{source}: needs the marks {begin} and {end} once, in this order; add them")
        num_filled += 1
    if not num_filled:
        names = ", ".join(blocks)
        raise MxqvaeError(f"{source}: has no marks such as <!-- table2:begin -->; blocks are {names}")
    return text
