"""The README keeps its word: commands parse, Python runs, lists and tables are those of the repository."""

import re
import shlex
from pathlib import Path

import pytest

from mxqvae.cli.arguments import parse
from mxqvae.cli.main import COMMANDS, _load, _match
from mxqvae.report.pages import fill_blocks, find_pages, render_blocks
from mxqvae.results import read_results

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *(REPOSITORY / folder / "README.md" for folder in ("models", "results")),
    *sorted((REPOSITORY / "src").glob("mxqvae/weights/*/README.md")),
]
ALL_TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def code_blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def shell_commands(text: str) -> list[list[str]]:
    blocks = (block.replace("\\\n", " ") for block in code_blocks("sh", text))
    lines = [line for block in blocks for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


SHOWN = dict.fromkeys(map(tuple, shell_commands(ALL_TEXT)))
OUR_COMMANDS = [list(words[1:]) for words in SHOWN if Path(words[0]).name == "mxqvae"]
IN_PROSE = sorted(set(re.findall(r"`mxqvae ([a-z][a-z0-9 -]*)`", ALL_TEXT)))
MAKE_TARGETS = sorted({words[1] for words in shell_commands(ALL_TEXT) if words[0] == "make"})


@pytest.mark.parametrize("arguments", OUR_COMMANDS, ids=" ".join)
def test_commands_parse(arguments: list[str]):
    command = _match(arguments)
    assert command is not None
    assert parse(_load(command), command.words, arguments[len(command.words) :]) is not None


@pytest.mark.parametrize("command", IN_PROSE)
def test_commands_in_prose_exist(command: str):
    words = tuple(command.split())
    is_group = any(known.words[: len(words)] == words for known in COMMANDS)
    assert is_group or _match(list(words)) is not None


def test_every_command_is_shown():
    shown = {
        command.words for words in [*OUR_COMMANDS, *map(str.split, IN_PROSE)] if (command := _match(words))
    }
    assert {command.words for command in COMMANDS} - shown == set()


@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_make_targets_exist(target: str):
    assert re.search(f"^{target}:", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path):
    links = set(re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")))
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


def test_the_layout_lists_what_is_there():
    listed = re.findall(r"^\| `([\w./]+)` \|", README, re.MULTILINE)
    package = REPOSITORY / "src" / "mxqvae"
    there = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    there |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert len(listed) == len(set(listed))
    assert set(listed) == there


def test_the_tables_are_made_from_the_results():
    blocks = render_blocks(read_results(REPOSITORY / "results"))
    pages = find_pages(REPOSITORY)
    assert {"README.md", "goals.md", "table2.md"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert fill_blocks(text, blocks, str(page)) == text, "run `mxqvae report`"


@pytest.mark.parametrize("example", code_blocks("python", README))
def test_the_python_examples_run(example: str, capsys: pytest.CaptureFixture[str]):
    exec(compile(example, "README.md", "exec"), {})
    shape, caption = capsys.readouterr().out.splitlines()
    assert shape == "(16, 64, 64, 3)"
    assert caption.endswith(".")


@pytest.mark.parametrize("page", ["audit.md", "completion.md", "likelihood.md"])
def test_the_python_examples_of_the_pages_run(page: str):
    (example,) = code_blocks("python", (REPOSITORY / "docs" / page).read_text(encoding="utf-8"))
    exec(compile(example, page, "exec"), {})
