"""`mlperf-ops system` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.cli import main
from mlperf_ops.files import read_json, write_json
from mlperf_ops.yamlfile import load_yaml_with_lines
from tests.support.attempts import Lab, RealLogs


@pytest.fixture
def run(tmp_path: Path, real_logs: RealLogs) -> Path:
    lab = Lab(tmp_path / "results" / "demo", real_logs)
    lab.cell("Offline", "performance", collected=False)
    lab.cell("Offline", "performance", host="node2", system="twins", collected=False)
    lab.cell("Server", "performance", host="node3", system="twins", collected=False)
    return lab.write()


def called(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in ("system", *words)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_show_gives_every_field_with_its_origin(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "show", run, "--system", "node1")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines() if line.count("\t") == 3]
    assert ["node1", "host_processors_per_node", "1", "lscpu: Socket(s)"] in rows
    assert ["node1", "framework", "onnxruntime", "plan: backend and packages"] in rows
    assert {row[0] for row in rows} == {"node1"}


def test_what_is_missing_comes_as_yaml_that_the_plan_will_not_take_unfilled(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told: Any = json.loads(called(capsys, "show", run, "--json")[1])
    entry = told["systems"]["twins"]
    assert entry["hosts"] == ["node2", "node3"]
    assert entry["fields"]["cpu_model" if "cpu_model" in entry["fields"] else "host_processor_model_name"]["origin"]
    (tmp_path / "missing.yml").write_text(entry["to_fill_in"])
    data: Any = load_yaml_with_lines(tmp_path / "missing.yml")[0]
    fields = data["mlperf_system_description"]
    assert set(fields.values()) == {""}
    assert "cooling" in fields
    assert set(fields) == set(entry["unknown"]) - {"framework", "other_software_stack"}
    assert entry["to_fill_in"].startswith("# host_vars of node2, node3, or group_vars")


def test_a_system_whose_hosts_differ_says_so_and_the_others_are_shown(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts: Any = read_json(run / "hosts/node3/facts.json")
    facts["values"]["cpu_sockets"]["value"] = 2
    write_json(run / "hosts/node3/facts.json", facts)
    code, out, _ = called(capsys, "show", run)
    assert code == 0
    assert "twins\t(node2, node3)\tcannot be described: hosts node2 and node3 both are system twins" in out
    assert "node1\thost_processors_per_node\t1" in out


def test_diff_compares_a_run_with_last_rounds_file(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told: Any = json.loads(called(capsys, "show", run, "--system", "node1", "--json")[1])
    earlier = {key: field["value"] for key, field in told["systems"]["node1"]["fields"].items()}
    earlier |= {"host_processor_model_name": "Intel Xeon", "framework": "ONNXRuntime", "old_field": "x"}
    del earlier["system_type_detail"]
    old = tmp_path / "last" / "open" / "Example" / "systems" / "node_a.json"
    write_json(old, earlier)
    code, out, _ = called(capsys, "diff", run, old, "--system", "node1")
    assert code == 0
    assert {tuple(line.split("\t")[:3]) for line in out.splitlines()} == {
        ("node1", "spelling", "framework"),
        ("node1", "spelling", "host_processor_model_name"),
        ("node1", "added", "system_type_detail"),
        ("node1", "removed", "old_field"),
    }
    same: Any = json.loads(called(capsys, "diff", old, tmp_path / "last", "--json")[1])
    assert same["systems"] == [{"system": "node_a", "old_system": "node_a", "fields": []}]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "nowhere"], "nowhere is not a folder"),
        (["show", "RUN", "--system", "nod1"], "unknown system of the plan 'nod1'"),
        (["diff", "RUN", "nowhere"], "there is no nowhere"),
        (["diff", "RUN", "RUN/hosts"], "holds no system description"),
        (["diff", "RUN", "OLD"], "no system of "),
        (["diff", "RUN", "OLD", "--old-system", "x"], "unknown system 'x'"),
    ],
)
def test_a_wrong_word_is_one_sentence(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], sentence: str
) -> None:
    write_json(tmp_path / "old.json", {"cooling": "air"})
    given = [word.replace("RUN", str(run)).replace("OLD", str(tmp_path / "old.json")) for word in words]
    code, _, err = called(capsys, *given)
    assert code in (2, 4)
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
