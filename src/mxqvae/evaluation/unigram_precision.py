"""Modified unigram precision (Papineni et al. 2002, section 2.1.1): the share of right words.

    precision = sum over words w of min(count of w in the caption, count of w in the reference) / its words

The count of a word in several references is its highest count in one of them. There is no brevity penalty.
Words are runs of letters and digits in lower case, apostrophes within them included; marks do not count.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def count_words(caption: str) -> Counter[str]:
    """How often each word stands in a caption."""
    return Counter(_WORD.findall(caption.lower()))


def modified_unigram_precision(caption: Mapping[str, int], references: Sequence[Mapping[str, int]]) -> float:
    """Share of the words of `caption` that the references have together, in [0, 1]; 0 without any word."""
    num_words = sum(caption.values())
    if not num_words:
        return 0.0
    clipped = (
        min(count, max((reference.get(word, 0) for reference in references), default=0))
        for word, count in caption.items()
    )
    return sum(clipped) / num_words


def mean_unigram_precision(caption: Mapping[str, int], references: Sequence[Mapping[str, int]]) -> float:
    """Mean of the precision against one reference at a time, in [0, 1]; 0 without any."""
    if not references:
        return 0.0
    return sum(modified_unigram_precision(caption, [each]) for each in references) / len(references)
