"""The registry of data sets: one of another distribution is evaluated as ours are, and help texts stay light."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from msflow_stream.datasets import BUILT_IN, DATASETS, DataSet, DataSets
from msflow_stream.evaluation.cases import find_units
from msflow_stream.types import UserError
from tests.support.command import Command
from tests.support.footage import small_flags
from tests.support.stills import write_mvtec

MODULE = '''
from pathlib import Path

from msflow_stream.datasets import DataSet
from msflow_stream.datasets.stills import Still, StillClass


def load(root, classes):
    """Every folder is a class of grey plates; the names of the anomalous ones begin with bad."""
    return [
        StillClass(
            home.name,
            tuple(Still(path, "good", None, path.name) for path in sorted(home.glob("fit*.png"))),
            tuple(Still(path, path.name[:4].strip("_"), None, path.name) for path in sorted(home.glob("[gb]*_*.png"))),
        )
        for home in sorted(root.iterdir())
    ]


PLATES = DataSet(load, Path(__file__).with_name("plates.yaml"), classes=1, published={
    "a leaflet": {"image_auroc_paper": 0.75}
})
'''


@pytest.fixture
def plates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution with a data set of its own, and the data set's folder."""
    site, root = tmp_path / "site", tmp_path / "plates"
    information = site / "plates_data-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plates-data\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[msflow_stream.datasets]\nplates = plates_data:PLATES\n")
    (site / "plates_data.py").write_text(MODULE)
    (site / "plates.yaml").write_text("fit: {passes: 1, holdout: 0}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(DATASETS.__dict__, "_entries", raising=False)
    home = write_mvtec(tmp_path / "made") / "plate"
    (root / "tin").mkdir(parents=True)
    for kind, folder in (("fit", "train/good"), ("good", "test/good"), ("bad", "test/scratch")):
        for path in (home / folder).iterdir():
            path.rename(root / "tin" / f"{kind}_{path.name}")
    yield root
    sys.modules.pop("plates_data", None)
    DATASETS.__dict__.pop("_entries", None)


def test_a_data_set_of_another_distribution_is_evaluated_by_its_name(
    command: Command, plates: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = command("evaluate", "plates", "--root", plates, "--out", out, *small_flags("fit.passes=1"))
    assert outcome.code == 0, outcome.err
    summary = json.loads((out / "results.json").read_text())
    assert 0 <= summary["classes"]["tin"]["image_auroc_paper"] <= 1
    assert summary["published"] == {"a leaflet": {"image_auroc_paper": 0.75}}
    assert summary["settings"]["fit"]["holdout"] == 0  # as its own file of settings says
    with (out / "classes" / "tin-9826" / "scores.csv").open(newline="") as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert kinds == ["bad"] * 5 + ["good"] * 5


def test_another_distribution_cannot_take_a_name(plates: Path) -> None:
    information = plates.parent / "site" / "plates_data-1.0.dist-info"
    (information / "entry_points.txt").write_text("[msflow_stream.datasets]\nmvtec = plates_data:PLATES\n")
    assert DataSets()["mvtec"] is DATASETS["mvtec"]


def test_every_data_set_can_be_imported() -> None:
    assert list(DATASETS) == list(BUILT_IN)
    assert all(isinstance(one, DataSet) for one in DATASETS.values())


def test_an_unknown_data_set_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data set 'mvtek': there are mvtec, visa, mtd, folder, mstc, ped1"):
        find_units("mvtek", tmp_path)


def test_the_names_of_data_sets_cost_no_import_of_torch_or_of_images() -> None:
    code = (
        "import sys; from msflow_stream.datasets import DATASETS; ', '.join(DATASETS); "
        "assert not {'torch', 'cv2', 'PIL', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
