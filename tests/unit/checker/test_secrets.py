"""Secrets are found, and what only looks like one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops import secret_forms
from mlperf_ops.checker import check_tree
from mlperf_ops.checker.secrets import PRIVATE_DETAILS
from tests.support.attempts import RealLogs
from tests.support.secret_samples import SECRETS
from tests.support.submission_trees import SYSTEM, good_tree, round_v61

PRIVATE = {
    "e-mail address": "written by jane.doe@lab.company.com",
    "home folder": "model: /home/jane/models/x.onnx",
    "private network address": "director: 192.168.7.12",
}
HARMLESS = [
    "password: {{ vault_password }}",
    "password: ${PASSWORD}",
    'password = os.environ["PASSWORD"]',
    "password: changeme",
    "password:",
    "passwordless sudo is needed",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN " + "PRIVATE KEY-----\n...\n",
    "nvidia-curand-cu12==10.3.7.77",
    '"host_driver": "10.2.0.19"',
    "hf_hub_download(repo_id)",
    "see user@example.com",
    "/home/user/mlperf, /home/$USER, /home/<name>",
    "git@github.com:mlcommons/inference",
    "version 1.192.168.1.2",
]


def findings(tmp_path: Path, logs: RealLogs, text: str, place: str = f"results/{SYSTEM}") -> list[tuple[str, str, str]]:
    tree = good_tree(tmp_path / "tree", logs, scenarios=("Offline",))
    path = tree.submitter / place / tree.benchmark / "Offline/README.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"How it was run.\n{text}\n")
    report = check_tree(tree.root, round_v61(), processes=1)
    return [(one.rule, one.severity, one.message) for one in report.findings if one.rule != "unknown-folder"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found_and_not_repeated(name: str, tmp_path: Path, real_logs: RealLogs) -> None:
    ((rule, severity, message),) = findings(tmp_path, real_logs, SECRETS[name])
    assert (rule, severity) == ("secret", "rules")
    assert message.startswith(f"line 2 holds a {name}")
    assert not any(word in message for word in SECRETS[name].split() if len(word) > 20)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_the_code_is_found_as_well(name: str, tmp_path: Path, real_logs: RealLogs) -> None:
    assert [rule for rule, _, _ in findings(tmp_path, real_logs, SECRETS[name], "src")] == ["secret"]


@pytest.mark.parametrize("name", PRIVATE)
def test_private_details_of_results_are_advice(name: str, tmp_path: Path, real_logs: RealLogs) -> None:
    ((rule, severity, message),) = findings(tmp_path, real_logs, PRIVATE[name])
    assert (rule, severity, message.startswith(name)) == ("private-detail", "advice", True)


def test_code_may_name_whom_it_wants(tmp_path: Path, real_logs: RealLogs) -> None:
    assert findings(tmp_path, real_logs, "\n".join(PRIVATE.values()), "src") == []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    forms = {**secret_forms.SECRETS, **PRIVATE_DETAILS}
    hits = [name for name, form in forms.items() if form.search(text.encode())]
    assert hits == (["e-mail address"] if "@github" in text else [])


def test_every_pattern_has_an_example() -> None:
    assert set(SECRETS) == set(secret_forms.SECRETS)
    assert set(PRIVATE) == set(PRIVATE_DETAILS)


def test_a_key_file_without_an_ending_is_looked_into(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=("Offline",))
    (tree.submitter / "src/deploy").write_text(SECRETS["private key"])
    assert [one.rule for one in check_tree(tree.root, round_v61(), processes=1).findings] == ["secret"]
