"""`mxqvae report`: the tables of the README."""

from pathlib import Path


def report(*, readme: Path = Path("README.md"), results: Path = Path("results")) -> None:
    """Write the tables of the README anew from the result files, the paper's figures beside ours.

    Args:
        readme: File with the marks between which the tables stand.
        results: Folder of the result files, which `mxqvae reproduce` writes.
    """
    from mxqvae.report.readme import update_readme

    print(f"{readme}: {'written' if update_readme(readme, results) else 'up to date'}")
