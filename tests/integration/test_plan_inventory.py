"""`mlperf-ops plan -i` with real Ansible, from a folder that is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
ALL = """---
mlperf_round: v6.1
mlperf_division: open
mlperf_submitter: Example
mlperf_system_type: edge
mlperf_run_style: "{{ style | default('test') }}"
mlperf_home: "{{ inventory_dir | dirname }}/home"
mlperf_benchmarks:
  - benchmark: efficientnet-lite0
    scenarios: [Offline, Server]
    modes: "{{ modes }}"
modes: [performance]
"""
HOSTS = """---
all:
  children:
    sut:
      hosts:
        a: {ansible_connection: local}
        b: {ansible_connection: local, mlperf_system: bee}
    other:
      hosts:
        c:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lab/group_vars").mkdir(parents=True)
    (tmp_path / "lab/group_vars/all.yml").write_text(ALL)
    (tmp_path / "lab/hosts.yml").write_text(HOSTS)
    return tmp_path


def plan(folder: Path, *words: str, inventory: str = "lab") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlperf_ops", "plan", "-i", inventory, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "LC_ALL": "C"},
    )


def test_ansible_resolves_the_variables_and_only_suts_are_planned(folder: Path) -> None:
    done = plan(folder, "--json", "-e", "style=fast")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    made = answer["plan"]
    assert answer["path"] == str(folder / "results/lab/plan.json")
    assert json.loads((folder / "results/lab/plan.json").read_text()) == made
    assert made["run_style"] == "fast"
    assert made["inventory"] == "lab"
    assert [(host["name"], host["system"], host["home"]) for host in made["hosts"]] == [
        ("a", "a", f"{folder}/home"),
        ("b", "bee", f"{folder}/home"),
    ]
    assert [one["key"] for one in answer["outlook"]] == [
        "a/efficientnet-lite0/Server/performance",
        "a/efficientnet-lite0/Offline/performance",
        "bee/efficientnet-lite0/Server/performance",
        "bee/efficientnet-lite0/Offline/performance",
    ]


def test_a_second_plan_is_the_same_and_a_dry_run_writes_nothing(folder: Path) -> None:
    assert json.loads(plan(folder, "--json", "--dry-run", "--results", "run").stdout)["changed"] is True
    assert not (folder / "run").exists()
    for changed in (True, False):
        assert (
            json.loads(plan(folder, "--json", "--results", "run", inventory="lab/hosts.yml").stdout)["changed"]
            is changed
        )


def test_a_mistake_comes_through_ansible_as_one_sentence(folder: Path) -> None:
    path = folder / "lab/group_vars/all.yml"
    path.write_text(ALL.replace("Server]", "Servr]"))
    done = plan(folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "mlperf-ops: error: lab/group_vars/all.yml:10: mlperf_benchmarks[0].scenarios[1]: unknown scenario 'Servr'; "
        "expected one of Interactive, MultiStream, Offline, Server, SingleStream (did you mean 'Server'?)"
    )
    assert not (folder / "results").exists()


def test_what_ansible_itself_cannot_read_is_shown_with_its_words(folder: Path) -> None:
    (folder / "lab/group_vars/all.yml").write_text(ALL.replace("modes }}", "mods }}"))
    done = plan(folder)
    assert done.returncode == 5
    assert "'mods' is undefined" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "mlperf-ops: error: ansible-playbook could not resolve lab (exit code 2)"
    )


def test_a_deadline_is_compared_with_hosts_that_wait_for_one_another(folder: Path) -> None:
    variables = folder / "lab/group_vars/all.yml"
    variables.write_text(f"{ALL}mlperf_shared: {{meter1: [performance]}}\n")
    words = ["--json", "-e", "style=valid", "-e", '{"modes": ["accuracy", "performance"]}']
    targets = json.dumps({"efficientnet-lite0": {"Offline": {"target_qps": 100}, "Server": {"target_qps": 50}}})
    words += ["-e", f'{{"mlperf_targets": {targets}}}']
    soon = datetime.now(timezone.utc) + timedelta(minutes=30)
    late = plan(folder, *words, "--deadline", soon.isoformat())
    assert late.returncode == 1, late.stderr
    answer = json.loads(late.stdout)
    # Four cells of ten minutes each need the meter; every host alone would be ready in time.
    assert answer["deadline"]["fit"] == "does not fit"
    path = answer["deadline"]["critical_path"]
    assert {step["host"] for step in path} == {"a", "b"}
    assert {step["waits_for"] for step in path} == {None, "meter1"}
    ends = [one["end"]["high"] for one in answer["deadline"]["cells"]]
    assert [one["fit"] == "fits" for one in answer["deadline"]["cells"]] == [
        datetime.fromisoformat(end) <= soon for end in ends
    ]
    orders = {host["name"]: host.get("order") for host in answer["plan"]["hosts"]}
    assert any(orders.values())
    again = plan(folder, *words, "--deadline", (soon + timedelta(hours=1)).isoformat())
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["deadline"]["fit"] == "fits"
    assert json.loads(again.stdout)["changed"] is False
