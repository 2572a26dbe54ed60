"""`mxqvae evaluate audit`: how well an audit finds wrong pairs and wrong words."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from mxqvae.cli.arguments import IntOrNone, PathOrNone, TextOrNone, at_least
from mxqvae.cli.figures import give_out, new_table, print_with

if TYPE_CHECKING:
    from mxqvae.audit.measurement import AuditScore


def audit_score(
    *,
    data: Path,
    weights: TextOrNone = None,
    hide_words: bool = False,
    contrastive: PathOrNone = None,
    num: IntOrNone = None,
    out: PathOrNone = None,
    json: bool = False,
) -> None:
    """Tell pairs with exactly one wrong slot from right ones, name the wrong word, correct it.

    Args:
        data: Folder of Degree sets, which `mxqvae data degree` builds, or `data colour-degree` of photos.
        weights: Model folder, Hugging Face repository (user/name) or emoji-cpu; without it, Caption MNIST's.
        hide_words: Show the model no word that it is asked for, as `mxqvae audit --hide-words` does.
        contrastive: Folder that `mxqvae train contrastive` wrote, to score the same pairs by its cosine.
        num: Pairs of each kind, the first ones; without it, all.
        out: JSON file to write all figures to.
        json: Print all figures as JSON.
    """
    at_least(1, num=num)

    from mxqvae.audit.auditor import PairAuditor
    from mxqvae.audit.measurement import measure_audit
    from mxqvae.evaluation.contrastive import JointEmbedding
    from mxqvae.generation.pipeline import SHIPPED_WEIGHTS
    from mxqvae.progress import progress_beside

    score = measure_audit(
        PairAuditor.from_pretrained(weights or SHIPPED_WEIGHTS, hides_words=hide_words),
        data,
        contrastive=None if contrastive is None else JointEmbedding.from_pretrained(contrastive),
        num=num,
        progress=progress_beside(json=json),
    )
    give_out(dataclasses.asdict(score), lambda: _print_table(score), out=out, json=json)


def _print_table(score: "AuditScore") -> None:
    table = new_table(
        "Pairs with one wrong slot against right ones",
        "Kind",
        *("Pairs", "ROC AUC", "Caption alone", "Contrastive", "Word named", "Slot corrected"),
        *("Caption corrected", "Right kept"),
    )
    for name, kind in score.kinds.items():
        baselines = (kind.caption_alone_roc_auc, kind.contrastive_roc_auc)
        shares = (kind.word_named, kind.slot_corrected, kind.caption_corrected, kind.right_kept)
        table.add_row(
            name,
            f"{kind.num_pairs:,}",
            f"{kind.roc_auc:.4f}",
            *("–" if baseline is None else f"{baseline:.4f}" for baseline in baselines),
            *(f"{share:.4f}" for share in shares),
        )
    print_with(table, [f"{score.pairs_per_second:,.0f} pairs audited a second on this machine."])
