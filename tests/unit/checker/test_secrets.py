"""Secrets are found, and what only looks like one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from mlperf_ops.checker.secrets import PATTERNS
from tests.support.attempts import RealLogs
from tests.support.submission_trees import SYSTEM, good_tree, round_v61

# Put together here, so that no scanner takes this file for a leak.
KEY = "-----BEGIN " + "OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAA\n"
SECRETS = {
    "private key": KEY,
    "GitHub token": "token: " + "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "aB3dE6gH9jK2mN5pQ8sT",
    "Hugging Face token": "export HF_TOKEN=" + "hf_" + "abCD" * 8 + "xy",
    "NVIDIA API key": "nvapi-" + "aB3_" * 16,
    "AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "Slack token": "xoxb-" + "123456789012-abcdefghijklmnopqrstuv",
    "OpenAI key": "sk-" + "a" * 20 + "T3Blbk" + "FJ" + "b" * 20,
    "password": '  "db_password": "c0rrect-horse",',
}
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
    hits = [one.name for one in PATTERNS if one.search(text.encode())]
    assert hits == (["e-mail address"] if "@github" in text else [])


def test_every_pattern_has_an_example() -> None:
    assert {one.name for one in PATTERNS} == {*SECRETS, *PRIVATE}
