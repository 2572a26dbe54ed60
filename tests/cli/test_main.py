import subprocess
import sys
from collections.abc import Callable

import pytest

from mxqvae import __version__
from mxqvae.cli import main as main_module
from mxqvae.cli.main import COMMANDS, main
from mxqvae.errors import MxqvaeError

Run = Callable[..., tuple[int, str, str]]

FAMILIES = ", ".join(dict.fromkeys(command.words[0] for command in COMMANDS))


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_every_command(run: Run, arguments: list[str]):
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    for command in COMMANDS:
        assert f"  {' '.join(command.words)}  " in out
        assert command.summary in out


def test_help_imports_nothing_heavy():
    script = """
import sys
from mxqvae.cli.main import main
code = main(["--help"])
print(*sorted({"torch", "numpy", "pydantic", "tyro", "rich"} & set(sys.modules)), code)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1].split() == ["0"]


def test_version(run: Run):
    assert run("--version") == (0, f"mxqvae {__version__}\n", "")


def test_module_runs_as_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "mxqvae", "sampel"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == "mxqvae: error: unknown command `mxqvae sampel`; did you mean `mxqvae sample`?\n"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_describes_itself(run: Run, command: main_module.Command):
    code, out, err = run(*command.words, "--help")
    assert (code, err) == (0, "")
    assert f"usage: mxqvae {' '.join(command.words)}" in out
    assert "options" in out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_describing_a_command_does_not_import_torch(command: main_module.Command):
    script = f"""
import sys
from mxqvae.cli.main import main
assert main([*{command.words!r}, "--help"]) == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)


def test_a_group_lists_its_commands(run: Run):
    code, out, _ = run("train", "--help")
    assert code == 0
    assert "train prior" in out
    assert "sample" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smaple"], "unknown command `mxqvae smaple`; did you mean `mxqvae sample`?"),
        (
            ["zzz"],
            f"unknown command `mxqvae zzz`; choose from {FAMILIES}",
        ),
        (["train"], "`mxqvae train` needs one of: pairs, autoencoder, prior, reader, judge, "),
        (["train", "--data", "pairs"], "`mxqvae train` needs one of: pairs, autoencoder, prior, reader, "),
        (["train", "pryor"], "unknown command `mxqvae train pryor`; did you mean `mxqvae train prior`?"),
        (
            ["reproduce", "table9"],
            "unknown command `mxqvae reproduce table9`; did you mean `mxqvae reproduce table",
        ),
        (["--verbose"], "unknown command `mxqvae --verbose`; choose from data, train"),
    ],
)
def test_unknown_commands_are_named(run: Run, arguments: list[str], message: str):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"mxqvae: error: {message}")
    assert err.count("\n") == 1


def interrupt() -> None:
    raise KeyboardInterrupt("checkpoint in runs/prior")


def bad_input() -> None:
    raise MxqvaeError("runs/prior: no such\nfolder")


def full_disk() -> None:
    raise OSError(28, "No space left on device", "runs/prior")


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        (interrupt, 130, "mxqvae: stopped: checkpoint in runs/prior\n"),
        (bad_input, 2, "mxqvae: error: runs/prior: no such folder\n"),
        (full_disk, 2, "mxqvae: error: runs/prior: No space left on device\n"),
    ],
)
def test_errors_end_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], code: int, line: str
):
    monkeypatch.setattr(main_module, "_load", lambda _: command)
    assert run("sample") == (code, "", line)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    def mistake() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module, "_load", lambda _: mistake)
    with pytest.raises(ZeroDivisionError):
        main(["sample"])
