"""What lies in the training captions cost stage 1, and what an audit of them wins back.

Of Caption MNIST's training captions a share names another digit and colour in one slot. Stage 1 learns from
them as they are; audits the very captions that it has learned from, words hidden; and learns anew from what
is left. Each is scored on the Degree sets of the test pairs, which are clean, after as many steps.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mxqvae.audit.auditor import PairAuditor
from mxqvae.audit.filtering import FilterManifest, correct_captions, leave_out_contradicted
from mxqvae.audit.folder_audit import SCORES_FILE, audit_folder
from mxqvae.audit.folder_audit import VERSION as AUDIT_VERSION
from mxqvae.audit.measurement import measure_audit
from mxqvae.config import from_json
from mxqvae.data import corruption, degree
from mxqvae.data.corruption import corrupt_captions, count_lies, leave_out_lies
from mxqvae.data.manifest_file import MANIFEST_FILE
from mxqvae.data.pair_source import open_pairs
from mxqvae.device import num_cores
from mxqvae.errors import MxqvaeError
from mxqvae.evaluation.correlation import score_correlation
from mxqvae.reproduction.rows import CaptionMnistReproduction, Row, timed
from mxqvae.reproduction.table1 import degree_step
from mxqvae.reproduction.work_folder import Step, version_setting
from mxqvae.results import DirtyDataFigures, DirtyDataResult, write_result

RECIPE = "caption-mnist-cpu-short"
NUM_AUDITED = 500
"""Pairs of each kind that tell how well each stage 1 audits, right and wrong ones."""
NUM_REPORTED = 50
"""Pairs in the report of each audit of training pairs."""


class CleanUp(Protocol):
    """Makes a data set of one that was audited."""

    __name__: str

    def __call__(self, source: Path, scores: Path, out: Path, *, overwrite: bool = False) -> FilterManifest:
        """From the folder `source` and its table of scores to the folder `out`."""
        ...


@dataclass(frozen=True, kw_only=True)
class DirtyDataRow:
    """What stage 1 learns from."""

    label: str
    """Its name in the table."""
    percent: int
    """Training captions of a hundred that lie, at first."""
    clean_up: CleanUp | None = None
    """What is made of them after an audit; none: nothing."""
    knows_lies: bool = False
    """Whether the pairs that lie are left out as they are marked, as a perfect audit would."""


def _rows_of(percent: int) -> dict[str, DirtyDataRow]:
    return {
        f"{percent}-dirty": DirtyDataRow(label=f"{percent}% lie", percent=percent),
        f"{percent}-filtered": DirtyDataRow(
            label=f"{percent}% lie, contradicted pairs left out",
            percent=percent,
            clean_up=leave_out_contradicted,
        ),
        f"{percent}-corrected": DirtyDataRow(
            label=f"{percent}% lie, captions corrected", percent=percent, clean_up=correct_captions
        ),
        f"{percent}-true": DirtyDataRow(
            label=f"{percent}% lie, all of them left out", percent=percent, knows_lies=True
        ),
    }


ROWS = {
    "clean": DirtyDataRow(label="None lies", percent=0),
    **_rows_of(10),
    **_rows_of(20),
    **_rows_of(40),
}


@dataclass(frozen=True, kw_only=True)
class _OnOtherPairs(CaptionMnistReproduction):
    """A stage 1 that learns from a set made of Caption MNIST."""

    name: str
    """Its model folder begins with it."""
    pairs: Step
    """What makes the set."""

    @property
    def data_folder(self) -> Path:
        return self.pairs.made

    @property
    def data_settings(self) -> dict[str, Any]:
        return {"pairs": self.pairs.settings}

    @property
    def data_from(self) -> Sequence[Step]:
        return [self.pairs] if self.pairs.made_from else []

    def model_folder(self, recipe: str) -> Path:
        return self.work / f"{recipe}-{self.name}-seed{self.seed}"

    def steps(self, name: str) -> list[Step]:
        """Stage 1 of the recipe `name`."""
        return self.autoencoder_steps(name)


@dataclass(frozen=True, kw_only=True)
class DirtyDataReproduction(CaptionMnistReproduction):
    """Rows in a work folder; the same as that of Tables 1 and 2, if you like."""

    num_audited: int = NUM_AUDITED
    """Pairs of each kind that tell how well each stage 1 audits."""

    def steps(self, name: str) -> list[Step]:
        """What a row takes, in order; the last writes the result file.

        Raises:
            MxqvaeError: No row of that name.
        """
        if name not in ROWS:
            raise MxqvaeError(f"unknown row {name!r}; choose from {', '.join(ROWS)}")
        row = ROWS[name]
        sets = degree_step(self, degree.build_degree_sets, degree.VERSION)
        made = [self.data_step(), sets]
        pairs = made[0]
        if row.percent:
            pairs = self._corruption_step(row.percent)
            made.append(pairs)
        if row.clean_up is not None:
            made += self._training_on(f"{row.percent}-dirty", pairs).steps(RECIPE)
            audit = self._audit_step(row.percent, pairs, made[-1])
            pairs = self._clean_up_step(name, row.clean_up, pairs, audit)
            made += [audit, pairs]
        if row.knows_lies:
            pairs = self._true_pairs_step(name, pairs)
            made.append(pairs)
        model = self._training_on(name, pairs)
        made += model.steps(RECIPE)
        result = f"dirty-data-{name}-seed{self.seed}"
        scoring = Step(
            name=f"{model.model_folder(RECIPE).name}/dirty-data",
            cost="scoring",
            made=self.results / f"{result}.json",
            settings={
                "stage1": made[-1].settings,
                "degree": sets.settings,
                "num_audited": self.num_audited,
                **version_setting(AUDIT_VERSION),
            },
            run=lambda: self._score(result, row, model, pairs, sets, made),
            minutes=5,
            made_from=made[-1:],
        )
        return [*made, scoring]

    def _training_on(self, name: str, pairs: Step) -> _OnOtherPairs:
        return _OnOtherPairs(
            work=self.work,
            results=self.results,
            seed=self.seed,
            progress=self.progress,
            mnist=self.mnist,
            data=self.data,
            name=name,
            pairs=pairs,
        )

    def _corruption_step(self, percent: int) -> Step:
        out = self.work / f"data-{percent}-dirty"
        return Step(
            name=out.name,
            cost="data",
            made=out,
            settings={**self.data_settings, "percent": percent, **version_setting(corruption.VERSION)},
            run=lambda: timed(
                lambda: corrupt_captions(self.data_folder, out, share=percent / 100, overwrite=True)
            ),
            minutes=0.5,
        )

    def _audit_step(self, percent: int, pairs: Step, model: Step) -> Step:
        out = self.work / f"audit-{percent}-seed{self.seed}"

        def audit() -> float:
            auditor = PairAuditor.from_pretrained(model.made.parent.parent, hides_words=True)
            source = open_pairs(pairs.made, corruption.SPLIT)
            done = audit_folder(
                auditor,
                source,
                out,
                num_worst=NUM_REPORTED,
                num_processes=num_cores(),
                overwrite=True,
                progress=self.progress,
            )
            # As if all of it had gone as fast as what an earlier call has left to do.
            return done.seconds * source.num_rows / max(1, done.num_new)

        return Step(
            name=out.name,
            cost="audit",
            made=out / SCORES_FILE,
            settings={"stage1": model.settings, "hides_words": True, **version_setting(AUDIT_VERSION)},
            run=audit,
            minutes=20,
            made_from=(model,),
        )

    def _clean_up_step(self, name: str, clean_up: CleanUp, pairs: Step, audit: Step) -> Step:
        out = self.work / f"data-{name}-seed{self.seed}"
        return Step(
            name=out.name,
            cost="audit",
            made=out,
            settings={"audit": audit.settings, "clean_up": clean_up.__name__},
            run=lambda: timed(lambda: clean_up(pairs.made, audit.made, out, overwrite=True)),
            minutes=0.5,
            made_from=(audit,),
        )

    def _true_pairs_step(self, name: str, pairs: Step) -> Step:
        out = self.work / f"data-{name}"
        return Step(
            name=out.name,
            cost="data",
            made=out,
            settings={**pairs.settings, "left_out": "lies"},
            run=lambda: timed(lambda: leave_out_lies(pairs.made, out, overwrite=True)),
            minutes=0.2,
        )

    def _score(
        self, result: str, row: DirtyDataRow, model: _OnOtherPairs, pairs: Step, sets: Step, made: list[Step]
    ) -> float:
        started = time.monotonic()
        folder = model.model_folder(RECIPE)
        shown, hidden = (PairAuditor.from_pretrained(folder, hides_words=hides) for hides in (False, True))
        found = None
        if row.clean_up is not None:
            path = pairs.made / MANIFEST_FILE
            found = from_json(FilterManifest, path.read_bytes(), str(path))
        counted = count_lies(pairs.made)
        audits = (
            measure_audit(auditor, sets.made, num=self.num_audited, progress=self.progress)
            for auditor in (shown, hidden)
        )
        figures = DirtyDataFigures(
            num_pairs={kind: some.num_captions for kind, some in counted.items()},
            num_lying={kind: some.num_lying for kind, some in counted.items()},
            precision=found and found.precision,
            recall=found and found.recall,
            correlation=score_correlation(
                shown.autoencoder, shown.tokenizer, sets.made, progress=self.progress
            ),
            audit=next(audits),
            audit_hidden=next(audits),
        )
        seconds = time.monotonic() - started
        record = self.run_record(result, Row(label=row.label, recipe=RECIPE), made, seconds)
        write_result(DirtyDataResult(**record, figures=figures), self.results)
        return seconds
