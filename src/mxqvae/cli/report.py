"""`mxqvae report`: the tables of the README and the pages."""

from pathlib import Path
from typing import Annotated

import tyro


def report(
    *,
    pages: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[PAGES ...]")] = (),
    results: Path = Path("results"),
) -> None:
    """Write the tables of the README and the pages anew from the result files.

    Args:
        pages: Files with the marks between which tables stand; none: all of the repository in this folder.
        results: Folder of the result files, which `mxqvae reproduce` writes.
    """
    from mxqvae.report.pages import find_pages, render_blocks, update_page
    from mxqvae.results import read_results

    blocks = render_blocks(read_results(results))
    for page in pages or find_pages(Path()):
        print(f"{page}: {'written' if update_page(page, blocks) else 'up to date'}")
