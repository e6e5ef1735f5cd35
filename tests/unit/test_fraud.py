"""The fraud dataset: made, opened, verified, exchanged with aibench."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fastbench.datasets import fraud_manifest, sample, transactions
from fastbench.datasets.base import open_dataset
from fastbench.datasets.fraud import FraudConfig, FraudDataset, build_fraud, open_fraud
from fastbench.datasets.fraud_aibench import export_fraud_aibench, import_fraud_aibench
from fastbench.datasets.fraud_verify import verify_fraud
from fastbench.datasets.manifest import kind_of
from fastbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = fraud_manifest.BLOCK_ROWS + 2_345  # a whole block and a part of one
AIBENCH_ROW = 1152


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FraudDataset:
    """Make a synthetic dataset, which no test changes."""
    return build_fraud(FraudConfig(out=tmp_path_factory.mktemp("made") / "set", sample=ROWS))


@pytest.fixture
def own(tmp_path: Path) -> FraudDataset:
    """Make a small dataset that a test may damage."""
    return build_fraud(FraudConfig(out=tmp_path / "set", sample=20))


class TestSynthetic:
    """What the generator draws."""

    def test_columns_and_ranges(self, made: FraudDataset) -> None:
        """Each column stays within the published range and has about its deviation."""
        values = np.load(made.transactions.data_path)
        components = values[:, 1:29]

        assert values.shape == (ROWS, 30)
        assert (np.diff(values[:, 0]) >= 0).all()
        assert values[:, 0].min() >= 0
        assert 160_000 < values[:, 0].max() <= transactions.LAST_SECOND
        assert (components >= np.float32(transactions.SMALLEST)).all()
        assert (components <= np.float32(transactions.LARGEST)).all()
        np.testing.assert_allclose(components.std(axis=0), transactions.DEVIATIONS, rtol=0.15)
        assert 20 < np.median(values[:, 29]) < 24
        assert values[:, 29].max() <= np.float32(transactions.LARGEST_AMOUNT)

    def test_share_of_frauds(self, made: FraudDataset) -> None:
        """Frauds are as rare as published, and differ where published ones do."""
        labels = np.load(made.path / "labels.npy")
        values = np.load(made.transactions.data_path)

        assert labels.sum() == round(ROWS * 492 / 284_807)
        assert set(labels.tolist()) == {0, 1}
        assert values[labels == 1, 14].mean() < -4 < values[labels == 0, 14].mean()

    def test_references(self, made: FraudDataset) -> None:
        """Reference data are uniform in [0, 1), and no two rows are the same."""
        values = np.load(made.path / "references.npy")

        assert values.shape == (ROWS, 256)
        assert 0 <= values.min() < 1e-5
        assert 0.9999 < values.max() < 1
        assert abs(values.mean() - 0.5) < 1e-3
        assert len(np.unique(values[:, 0])) > ROWS * 0.99

    def test_same_seed_same_bytes(self, tmp_path: Path) -> None:
        """The seed decides every byte; known values keep samples the same between versions."""
        one, again, other = (
            build_fraud(FraudConfig(out=tmp_path / name, sample=30, seed=seed))
            for name, seed in (("one", 7), ("again", 7), ("other", 8))
        )

        assert one.sha256 == again.sha256 != other.sha256
        drawn = np.random.RandomState([7, 2]).randint(0, 2**24, (30, 256), dtype=np.uint32)
        np.testing.assert_array_equal(drawn / 2**24, np.load(one.path / "references.npy"))

    def test_named_synthetic(self, made: FraudDataset) -> None:
        """The manifest says that it was generated."""
        assert made.manifest.synthetic
        assert "synthetic" in made.manifest.description
        assert kind_of(made.path) == "fraud"


class TestCsv:
    """Datasets of Kaggle's file."""

    @pytest.fixture
    def csv(self, tmp_path: Path) -> Path:
        """Write a file of four transactions, the third a fraud."""
        names = ["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"]
        rows = [",".join([*(f"{r}.5" for _ in range(30)), str(int(r == 2))]) for r in range(4)]
        path = tmp_path / "creditcard.csv"
        path.write_text("\n".join([",".join(names), *rows]))
        return path

    @pytest.mark.parametrize(
        ("rows", "expected"), [(None, [0, 1, 2, 3]), (3, [0, 1, 2]), (6, [0, 1, 2, 3, 0, 1])]
    )
    def test_rows(self, csv: Path, tmp_path: Path, rows: int | None, expected: list[int]) -> None:
        """All rows, the first of them, or the file over and over with new reference data."""
        dataset = build_fraud(FraudConfig(out=tmp_path / "set", csv=csv, rows=rows))

        assert dataset.rows == len(expected)
        np.testing.assert_array_equal(
            np.repeat(np.array(expected)[:, None] + 0.5, 30, 1), dataset.transactions.array()
        )
        assert np.load(dataset.path / "labels.npy").tolist() == [int(r == 2) for r in expected]
        assert len(np.unique(dataset.references.array()[:, 0])) == len(expected)
        assert not dataset.manifest.synthetic
        assert "creditcard.csv" in dataset.manifest.description
        assert verify_fraud(dataset.path).differences == ()

    def test_bad_file_leaves_nothing(self, csv: Path, tmp_path: Path) -> None:
        """A file that breaks off half-way leaves no dataset and no part of one."""
        csv.write_text(csv.read_text() + "\n1,2,3\n")

        with pytest.raises(DatasetError, match="line 6: 3 fields"):
            build_fraud(FraudConfig(out=tmp_path / "set", csv=csv))
        assert [p.name for p in tmp_path.iterdir()] == ["creditcard.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "exactly one of --csv and --sample"),
        ({"csv": "a.csv", "sample": 5}, "exactly one"),
        ({"sample": 5, "rows": 5}, "--rows belongs to --csv"),
        ({"sample": 0}, "--sample 0"),
        ({"csv": "a.csv", "rows": 0}, "--rows 0"),
        ({"sample": 5, "seed": 2**32}, "--seed"),
    ],
)
def test_wrong_usage(tmp_path: Path, options: dict[str, object], words: str) -> None:
    """Contradictions and values out of range are named before anything is done."""
    with pytest.raises(UsageError, match=words):
        FraudConfig(out=tmp_path / "set", **options)


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C leaves nothing behind: making it again takes seconds."""

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_fraud(FraudConfig(out=tmp_path / "set", sample=10), interrupt)
    assert list(tmp_path.iterdir()) == []


class TestVerify:
    """Damage is found."""

    def test_whole(self, made: FraudDataset) -> None:
        """A whole dataset has no differences, and every row was looked at."""
        seen: list[tuple[int, int]] = []
        verified = verify_fraud(made.path, None, lambda *done: seen.append(done))

        assert (verified.rows, verified.differences) == (ROWS, ())
        assert seen == [(fraud_manifest.BLOCK_ROWS, ROWS), (ROWS, ROWS)]

    @pytest.mark.parametrize("name", ["transactions", "references", "labels"])
    def test_changed_byte(self, own: FraudDataset, name: str) -> None:
        """A changed value is found by its hash and, being of the seed, by drawing it again."""
        with (own.path / f"{name}.npy").open("r+b") as file:
            file.seek(-3, 2)
            byte = file.read(1)
            file.seek(-3, 2)
            file.write(bytes([byte[0] ^ 1]))

        differences = verify_fraud(own.path).differences

        assert len(differences) == 2
        assert all(d.startswith(f"{name}.npy: rows 0 to 19") for d in differences)

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda p: (p / "references.npy").unlink(), "references.npy: cannot be read"),
            (lambda p: (p / "labels.npy").write_bytes(b"x" * 5000), "labels.npy: not a .npy"),
            (lambda p: (p / "manifest.json").unlink(), "no manifest"),
            (lambda p: (p / "manifest.json").write_text("{}"), "not a valid manifest"),
            (
                lambda p: (p / "manifest.json").write_text(
                    (p / "manifest.json").read_text().replace("256", "255")
                ),
                r"references.npy must be float32 of shape \(20, 256\)",
            ),
        ],
    )
    def test_damage(self, own: FraudDataset, damage: Callable[[Path], None], words: str) -> None:
        """What is missing or of another shape cannot be opened, and is named."""
        damage(own.path)
        with pytest.raises(DatasetError, match=words):
            open_fraud(own.path)

    def test_truncated(self, own: FraudDataset) -> None:
        """A file that was cut short is named with both sizes."""
        with (own.path / "references.npy").open("r+b") as file:
            file.truncate(5000)
        with pytest.raises(DatasetError, match="truncated: 5000 bytes, must be 24576"):
            open_fraud(own.path)


def test_kinds_are_told_apart(own: FraudDataset, tmp_path: Path) -> None:
    """A dataset of transactions is not taken for one of images."""
    with pytest.raises(DatasetError, match="is a fraud dataset, not a vision one"):
        open_dataset(own.path)
    with pytest.raises(DatasetError, match="fastbench data fraud"):
        open_fraud(tmp_path / "none")
    with pytest.raises(UsageError, match="--images"):
        verify_fraud(own.path, tmp_path)


class TestAibench:
    """aibench's rows of 1,152 bytes."""

    def test_export(self, own: FraudDataset, tmp_path: Path) -> None:
        """Each row is the id, the transaction and the reference data, little-endian."""
        assert export_fraud_aibench(own.path, tmp_path / "rows.dat") == 20

        data = (tmp_path / "rows.dat").read_bytes()
        assert len(data) == 20 * AIBENCH_ROW
        for row in (0, 1, 19):
            fields = struct.unpack_from("<Q286f", data, row * AIBENCH_ROW)
            assert fields[0] == row
            np.testing.assert_array_equal(own.transactions.array()[row], fields[1:31])
            np.testing.assert_array_equal(own.references.array()[row], fields[31:])

    def test_there_and_back(self, made: FraudDataset, tmp_path: Path) -> None:
        """Exporting and importing gives the same tensors; labels have no place in the file."""
        export_fraud_aibench(made.path, tmp_path / "rows.dat")
        back = import_fraud_aibench(tmp_path / "rows.dat", tmp_path / "back")

        np.testing.assert_array_equal(made.transactions.array(), back.transactions.array())
        np.testing.assert_array_equal(made.references.array(), back.references.array())
        assert (back.labels, back.manifest.source.kind) == (None, "aibench")
        assert verify_fraud(back.path).differences == ()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda d: d[:-1], "whole number of rows of 1152 bytes"),
            (lambda _: b"", "whole number of rows"),
            (lambda d: d[AIBENCH_ROW:], "row 0 has the id 1"),
            (lambda d: d[:AIBENCH_ROW] + d[2 * AIBENCH_ROW :], "row 1 has the id 2"),
            (lambda d: d[:-4] + struct.pack("<f", 1.5), "row 19 holds no numbers, or reference"),
            (lambda d: d[:8] + struct.pack("<f", float("nan")) + d[12:], "row 0 holds no numbers"),
        ],
    )
    def test_other_files(
        self, own: FraudDataset, tmp_path: Path, change: Callable[[bytes], bytes], words: str
    ) -> None:
        """What aibench cannot have written is refused, and nothing is left behind."""
        export_fraud_aibench(own.path, tmp_path / "rows.dat")
        (tmp_path / "in").write_bytes(change((tmp_path / "rows.dat").read_bytes()))

        with pytest.raises(DatasetError, match=words):
            import_fraud_aibench(tmp_path / "in", tmp_path / "back")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "rows.dat", "set"]


def test_default_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample of a run without a dataset is made once, and mends itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sample, "SAMPLE_TRANSACTIONS", 12)
    first = sample.default_transactions()
    (first.path / "labels.npy").unlink()

    assert sample.default_transactions().sha256 == first.sha256
    assert (first.rows, first.path.parent) == (12, tmp_path / "fastbench")
