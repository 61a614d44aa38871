"""Results of another tool: a folder of real LoadGen logs and the map that `mlperf-ops import` takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import write_json
from mlperf_ops.importing.import_map import read_map
from mlperf_ops.importing.store import Imported, import_all
from mlperf_ops.model import Mode, Scenario
from tests.support.attempts import RealLogs
from tests.support.submission_trees import system_description

CATALOGUE = load_catalogue()
MAKER = {"made_by": "vendor harness 1.2", "framework": "TurboRT", "framework_version": "9.1", "device": "npu"}
NUMBERS = {
    "input_data_types": "int8",
    "weight_data_types": "int8",
    "retraining": "no",
    "weight_transformations": "quantized",
    "starting_weights_filename": "resnet50_v1.onnx",
}


class Vendor:
    """A folder of logs as another tool leaves it, and the map that names it."""

    def __init__(self, base: Path, logs: RealLogs) -> None:
        self.base, self.logs = base / "vendor", logs
        self.path = base / "import.yaml"
        self.run = base / "results/lab"
        (self.base / "systems").mkdir(parents=True)
        description = {key: value for key, value in system_description("open").items() if key != "hw_notes"}
        write_json(self.base / "systems/box.json", {**description, "a_key_of_their_own": 1})
        self.map: dict[str, Any] = {
            "round": "v6.1",
            "submitter": "TEST-ONLY",
            "division": "open",
            "implementation": dict(MAKER),
            "measurements": dict(NUMBERS),
            "systems": [{"system": "box", "description_file": "systems/box.json"}],
            "results": [],
        }

    def result(self, scenario: Scenario, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # values of YAML
        """Put both runs of a scenario into the folder and the map."""
        return self.runs(scenario, "performance", "accuracy", **more)

    def runs(self, scenario: Scenario, *modes: Mode, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # values of YAML
        """Put some runs of a scenario into the folder and the map."""
        folders: dict[str, str] = {}
        for mode in modes:
            folders[mode] = f"{scenario}/{mode}"
            self.copy(scenario, mode)
        entry = {"system": "box", "benchmark": "resnet50", "scenario": scenario, "folders": folders, **more}
        self.map["results"].append(entry)
        return entry

    def copy(self, scenario: Scenario, mode: Mode) -> None:
        source = self.logs.get(scenario, mode)
        target = self.base / scenario / mode
        shutil.copytree(source, target)
        (target / "console.log").unlink()

    def detail(self, scenario: Scenario, mode: Mode) -> Path:
        return self.base / scenario / mode / "mlperf_log_detail.txt"

    def write(self) -> Path:
        self.path.write_text(yaml.safe_dump(self.map, sort_keys=False))
        return self.path

    def bring(self, *, dry_run: bool = False) -> list[Imported]:
        return import_all(read_map(self.write(), self.base), self.run, CATALOGUE, dry_run=dry_run)

    def sentence(self) -> str:
        told = self.refusal()
        assert not (self.run / "imported.json").exists()
        return told

    def refusal(self) -> str:
        with pytest.raises(ConfigError) as caught:
            self.bring()
        return str(caught.value)
