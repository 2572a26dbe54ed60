"""The command `mxqvae`: finds the command asked for, runs it, turns errors into one line and an exit code.

The top level is a table of names, so that `mxqvae --help` imports neither torch nor an argument parser.

Exit codes: 0 done; 2 bad input, nothing written; 130 stopped by Ctrl-C.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mxqvae.errors import MxqvaeError

BAD_INPUT = 2
INTERRUPTED = 130


class Command(NamedTuple):
    """A command by its words, and where its function is found when it is asked for."""

    words: tuple[str, ...]
    summary: str
    module: str
    function: str


COMMANDS = (
    Command(("data", "caption-mnist"), "build Caption MNIST from the raw digits", "data", "caption_mnist"),
    Command(
        ("data", "degree"), "build the Degree sets: test captions with 0 to 4 lies each", "data", "degree"
    ),
    Command(
        ("data", "colour-degree"),
        "build the Degree sets of photos: captions that name other colours",
        "data",
        "colour_degree",
    ),
    Command(("data", "folder"), "build a data set from your own captioned images", "data_folder", "folder"),
    Command(("data", "flowers102"), "build Flower-102 from its archives", "data_archives", "flowers102"),
    Command(("data", "cub200"), "build CUB-200-2011 from its archives", "data_archives", "cub200"),
    Command(("data", "coco"), "build COCO captions from its archives", "data_archives", "coco"),
    Command(("data", "emoji"), "build emoji with their names from npm's packages", "data_archives", "emoji"),
    Command(
        ("data", "corrupt"), "let a share of the training captions lie about a slot", "corrupt", "corrupt"
    ),
    Command(("data", "filter"), "leave out the pairs that an audit found worst", "filter", "filter_pairs"),
    Command(("train", "pairs"), "train all parts of a model, one after the other", "train", "pairs"),
    Command(("train", "autoencoder"), "train stage 1, pairs to codes and back", "train", "autoencoder"),
    Command(("train", "prior"), "train stage 2, the prior over the codes", "train", "prior"),
    Command(("train", "reader"), "train the reader, which draws images for captions", "train", "reader"),
    Command(("train", "judge"), "train the judge that reads images for the scores", "train", "judge"),
    Command(("train", "joint-gan"), "train the baseline Joint GAN + MMVAE of Table 3", "train", "joint_gan"),
    Command(
        ("train", "contrastive"),
        "train a joint embedding on real pairs, for retrieval",
        "train",
        "contrastive",
    ),
    Command(("train", "recipes"), "list the recipes: what each is for", "train", "recipes"),
    Command(("sample",), "sample image-caption pairs into a folder", "sample", "sample"),
    Command(("audit",), "find the pairs whose image contradicts their caption", "audit", "audit"),
    Command(("complete",), "complete pairs that are known in part", "complete", "complete"),
    Command(
        ("evaluate", "consistency"),
        "score how many sampled pairs agree (Table 2)",
        "consistency",
        "consistency",
    ),
    Command(
        ("evaluate", "correlation"),
        "score which half stage 1 believes, caption or image (Table 1)",
        "correlation",
        "correlation",
    ),
    Command(
        ("evaluate", "diversity"),
        "count the different pairs that samples describe",
        "diversity",
        "diversity",
    ),
    Command(
        ("evaluate", "memorization"),
        "find how near samples come to training images",
        "memorization",
        "memorization",
    ),
    Command(("evaluate", "likelihood"), "measure how likely pairs are, in bits", "likelihood", "likelihood"),
    Command(
        ("evaluate", "similarity"),
        "score sampled captions by those of similar real images (Table 3)",
        "similarity",
        "similarity",
    ),
    Command(
        ("evaluate", "reconstruction"),
        "measure what stage 1 makes of test images",
        "reconstruction",
        "reconstruction",
    ),
    Command(
        ("evaluate", "retrieval"),
        "find sampled images by their captions, beside real ones",
        "retrieval",
        "retrieval",
    ),
    Command(
        ("evaluate", "audit"),
        "score how well an audit finds wrong pairs and words",
        "audit_score",
        "audit_score",
    ),
    Command(
        ("evaluate", "completion"),
        "score how well pairs known in part are completed",
        "completion",
        "completion",
    ),
    Command(
        ("evaluate", "hidden-words"),
        "find hidden words of captions again, digits and colours",
        "hidden_words",
        "hidden_words",
    ),
    Command(
        ("evaluate", "guidance"),
        "score images of captions by guidance: how many are right, how diverse",
        "completion",
        "guidance",
    ),
    Command(("reproduce", "table1"), "rerun rows of Table 1 from the raw digits", "reproduce", "table1"),
    Command(("reproduce", "table2"), "rerun rows of Table 2 from the raw digits", "reproduce", "table2"),
    Command(("reproduce", "table3"), "train and score rows of Table 3 on your data", "reproduce", "table3"),
    Command(("reproduce", "pairs"), "train, sample and measure your own pairs", "reproduce", "pairs"),
    Command(
        ("reproduce", "reconstruction"),
        "train stage 1 and measure what it makes of test images",
        "reproduce",
        "reconstruction",
    ),
    Command(
        ("reproduce", "dirty-data"),
        "train stage 1 on captions that lie, audit them, train it anew",
        "reproduce",
        "dirty_data",
    ),
    Command(("report",), "write the tables of README and docs from the results", "report", "report"),
    Command(("bench",), "measure the claims about speed on this machine", "bench", "bench"),
)

USAGE = "usage: mxqvae COMMAND [OPTIONS]"
DESCRIPTION = """Unconditional image-caption pairs from one joint codebook (MXQ-VAE).

To start: `mxqvae sample --out samples`. With images of yours: `data folder`, `train pairs`, `sample`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mxqvae` with `arguments`, those of the process by default, and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(arguments)
    except MxqvaeError as error:
        return _fail(f"error: {error}", BAD_INPUT)
    except KeyboardInterrupt as interrupt:
        return _fail(f"stopped: {interrupt}" if str(interrupt) else "stopped", INTERRUPTED)
    except BrokenPipeError:
        # The reader has left, as in `mxqvae report | head`; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _fail(f"error: {error.filename or 'system'}: {error.strerror or error}", BAD_INPUT)
    return 0


def _run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_listing(COMMANDS, USAGE, DESCRIPTION))
    elif arguments[0] == "--version":
        from mxqvae import __version__

        print(f"mxqvae {__version__}")
    elif command := _match(arguments):
        from mxqvae.cli.arguments import parse

        call = parse(_load(command), command.words, arguments[len(command.words) :])
        if call is not None:
            call()
    elif group := [command for command in COMMANDS if command.words[0] == arguments[0]]:
        _run_group(group, arguments)
    else:
        raise MxqvaeError(_unknown(arguments[0], "", [command.words[0] for command in COMMANDS]))


def _run_group(group: Sequence[Command], arguments: Sequence[str]) -> None:
    name = arguments[0]
    choices = [command.words[1] for command in group]
    if arguments[1:2] in (["-h"], ["--help"]):
        print(_listing(group, f"usage: mxqvae {name} COMMAND [OPTIONS]", ""))
    elif len(arguments) == 1 or arguments[1].startswith("-"):
        raise MxqvaeError(f"`mxqvae {name}` needs one of: {', '.join(choices)}")
    else:
        raise MxqvaeError(_unknown(arguments[1], f"{name} ", choices))


def _match(arguments: Sequence[str]) -> Command | None:
    for command in COMMANDS:
        if tuple(arguments[: len(command.words)]) == command.words:
            return command
    return None


def _load(command: Command) -> Callable[..., None]:
    return getattr(importlib.import_module(f"mxqvae.cli.{command.module}"), command.function)


def _listing(commands: Sequence[Command], usage: str, description: str) -> str:
    width = max(len(" ".join(command.words)) for command in commands)
    lines = [usage, ""] + ([description, ""] if description else [])
    lines += [f"  {' '.join(command.words):<{width}}   {command.summary}" for command in commands]
    return "\n".join(
        [*lines, "", "`mxqvae COMMAND --help` describes a command, `mxqvae --version` prints the version."]
    )


def _unknown(word: str, group: str, choices: Sequence[str]) -> str:
    import difflib  # a fifth of the time that the help takes

    names = list(dict.fromkeys(choices))
    close = difflib.get_close_matches(word, names, n=1)
    remedy = f"did you mean `mxqvae {group}{close[0]}`?" if close else f"choose from {', '.join(names)}"
    return f"unknown command `mxqvae {group}{word}`; {remedy}"


def _fail(text: str, code: int) -> int:
    print(f"mxqvae: {' '.join(text.splitlines())}", file=sys.stderr)
    return code
