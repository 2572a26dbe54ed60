"""`mxqvae report`: the tables of the README and the pages."""

from pathlib import Path
from typing import Annotated

import tyro


def report(
    *,
    pages: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PAGES")] = (),
    results: Path = Path("results"),
) -> None:
    """Write the tables of the README and the pages anew from the result files.

    Args:
        pages: Files with the marks between which tables stand; none: all of the repository in this folder.
        results: Folder of the result files, which `mxqvae reproduce` writes.
    """
    from mxqvae.report.pages import find_pages, update_page

    for page in pages or find_pages(Path()):
        print(f"{page}: {'written' if update_page(page, results) else 'up to date'}")
