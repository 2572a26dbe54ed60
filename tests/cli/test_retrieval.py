import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mxqvae.cli.main import main
from mxqvae.data.pairs import PairDataset
from mxqvae.evaluation import contrastive_training

Run = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "num_steps=2", "--set", "batch_size=8")


@pytest.fixture(scope="module")
def embedding(caption_mnist_small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joint embedding after two steps. Shared: tests do not write into it."""
    out = tmp_path_factory.mktemp("runs") / "embedding"
    assert main(["train", "contrastive", "--data", str(caption_mnist_small), "--out", str(out), *SHORT]) == 0
    return out


class TestContrastive:
    def test_the_folder_holds_the_model_and_its_run(self, embedding: Path):
        for name in ("config.json", "model.safetensors", "tokenizer.json", "run/log.jsonl"):
            assert (embedding / name).is_file()

    def test_few_pairs_take_few_steps_unless_asked_otherwise(
        self, run: Run, caption_mnist_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Each pair once, in batches of 50."""
        monkeypatch.setattr(contrastive_training, "MAX_EPOCHS", 1)
        short = dataclasses.replace(contrastive_training.TRAINING, num_steps=9, batch_size=50)
        monkeypatch.setattr(contrastive_training, "TRAINING", short)
        num_pairs = len(PairDataset.from_parquet(caption_mnist_small, "train"))
        few = -(-num_pairs // 50)
        assert few < 9
        command = ("train", "contrastive", "--data", caption_mnist_small, "--out")
        code, out, err = run(*command, tmp_path / "a")
        assert (code, f"trained in {few} steps" in out) == (0, True)
        assert f"{few} steps in place of 9" in err
        code, out, err = run(*command, tmp_path / "b", "--set", "num_steps=9")
        assert (code, "trained in 9 steps" in out, "in place of" in err) == (0, True, False)

    def test_a_finished_run_is_not_run_again(self, run: Run, embedding: Path, caption_mnist_small: Path):
        before = (embedding / "model.safetensors").read_bytes()
        code, out, _ = run("train", "contrastive", "--data", caption_mnist_small, "--out", embedding, *SHORT)
        assert (code, out) == (0, f"joint embedding, trained in 2 steps: {embedding}\n")
        assert (embedding / "model.safetensors").read_bytes() == before

    def test_another_run_in_the_same_folder_is_refused(
        self, run: Run, embedding: Path, caption_mnist_small: Path
    ):
        code, _, err = run(
            *("train", "contrastive", "--data", caption_mnist_small, "--out", embedding),
            *("--seed", 1, *SHORT),
        )
        assert (code, "checkpoint" in err) == (2, True)

    def test_a_folder_with_other_content_is_left_alone(
        self, run: Run, caption_mnist_small: Path, tmp_path: Path
    ):
        (tmp_path / "notes.txt").write_text("mine")
        code, _, err = run("train", "contrastive", "--data", caption_mnist_small, "--out", tmp_path)
        assert (code, err.count("\n")) == (2, 1)
        assert "has content and no run to resume; choose another output folder" in err
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_an_unknown_field_is_named(self, run: Run, caption_mnist_small: Path, tmp_path: Path):
        code, _, err = run(
            *("train", "contrastive", "--data", caption_mnist_small, "--out", tmp_path / "new"),
            *("--set", "steps=2"),
        )
        assert (code, "--set steps: no such field" in err) == (2, True)
        assert not (tmp_path / "new").exists()


class TestRetrieval:
    def test_json_and_file_hold_the_whole_score(
        self, run: Run, samples: Path, caption_mnist_small: Path, embedding: Path, tmp_path: Path
    ):
        out = tmp_path / "score.json"
        code, printed, err = run(
            *("evaluate", "retrieval", samples, "--data", caption_mnist_small, "--contrastive", embedding),
            *("--candidates", 20, "--out", out, "--json"),
        )
        assert (code, err) == (0, "")
        score = json.loads(printed)
        assert json.loads(out.read_text()) == score
        assert score["samples"] == score["ceiling"]  # they are the same pairs
        assert (score["num_candidates"], score["floor"]["num_pairs"]) == (20, 60)

    def test_the_table_tells_the_share_of_the_ceiling(
        self, run: Run, samples: Path, caption_mnist_small: Path, embedding: Path
    ):
        code, out, err = run(
            *("evaluate", "retrieval", samples, "--data", caption_mnist_small, "--contrastive", embedding),
            *("--candidates", 12),
        )
        assert code == 0
        for part in ("among 12", "ceiling", "floor", "Samples over real pairs:", "our contrastive model"):
            assert part in out
        assert "embed held-out images: 60 images" in err

    @pytest.mark.parametrize("missing", ["samples", "data", "contrastive"])
    def test_a_missing_folder_is_named(
        self,
        run: Run,
        samples: Path,
        caption_mnist_small: Path,
        embedding: Path,
        tmp_path: Path,
        missing: str,
    ):
        places = {"samples": samples, "data": caption_mnist_small, "contrastive": embedding}
        places[missing] = tmp_path / "nowhere"
        out = tmp_path / "score.json"
        code, printed, err = run(
            *("evaluate", "retrieval", places["samples"], "--data", places["data"]),
            *("--contrastive", places["contrastive"], "--out", out),
        )
        assert (code, printed, err.count("\n")) == (2, "", 1)
        assert "nowhere" in err
        assert not out.exists()

    @pytest.mark.parametrize(
        ("candidates", "complaint"), [(4, "at least 5, got 4"), (100, "60 samples are fewer than 100")]
    )
    def test_candidates_have_to_fit(
        self,
        run: Run,
        samples: Path,
        caption_mnist_small: Path,
        embedding: Path,
        candidates: int,
        complaint: str,
    ):
        code, _, err = run(
            *("evaluate", "retrieval", samples, "--data", caption_mnist_small, "--contrastive", embedding),
            *("--candidates", candidates),
        )
        assert (code, complaint in err) == (2, True)
