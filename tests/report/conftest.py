from collections.abc import Callable

import pytest


def cells(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def rows() -> Callable[[str], list[list[str]]]:
    """Read the lines of a Markdown table, without its header."""

    def read(block: str) -> list[list[str]]:
        lines = [cells(line) for line in block.splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) == 1, "lines with more or fewer cells than the header"
        return lines[2:]

    return read


@pytest.fixture
def row(rows: Callable[[str], list[list[str]]]) -> Callable[..., list[str]]:
    """Read the one line that begins with the given cells: what comes after them."""

    def read(block: str, *labels: str) -> list[str]:
        (found,) = [line[len(labels) :] for line in rows(block) if tuple(line[: len(labels)]) == labels]
        return found

    return read
