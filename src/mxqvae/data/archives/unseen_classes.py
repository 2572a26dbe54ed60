"""Splits by class in place of the published ones: the classes of a list are for testing, no other is.

Reed et al. publish such lists beside their captions, `testclasses.txt`; StackGAN and others took them.
"""

import re
from collections.abc import Collection
from pathlib import Path

from mxqvae.errors import MxqvaeError


def read_test_classes(path: Path, class_numbers: Collection[int]) -> frozenset[int]:
    """Read the numbers of the classes that a file lists.

    Args:
        path: A class a line, known by its number: `class_00034`, `034.Gray_crowned_Rosy_Finch` or `34`.
        class_numbers: Of all classes that there are.

    Raises:
        MxqvaeError: Names the line that is no class; or all classes are listed, or none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise MxqvaeError(f"--test-classes {path}: {reason}; give a list of classes, one a line") from None
    listed = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        digits = re.search(r"\d+", line)
        if digits is None or int(digits[0]) not in class_numbers:
            raise MxqvaeError(
                f"--test-classes {path}, line {number}: no class {line.strip()!r}; fix the line"
            )
        listed.add(int(digits[0]))
    if not listed or len(listed) == len(set(class_numbers)):
        raise MxqvaeError(
            f"--test-classes {path}: lists {'all' if listed else 'no'} classes; list some of them"
        )
    return frozenset(listed)
