"""One made-up secret of each kind, put together here so that no scanner takes this file for a leak."""

from __future__ import annotations

SECRETS = {
    "private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAA",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "aB3dE6gH9jK2mN5pQ8sT",
    "Hugging Face token": "hf_" + "abCD" * 8 + "xy",
    "NVIDIA API key": "nvapi-" + "aB12" * 16,
    "AWS access key": "AKIA" + "ABCD2345" * 2,
    "Google API key": "AIza" + "aB1_-" * 7,
    "OpenAI key": "sk-" + "a" * 20 + "T3Blbk" + "FJ" + "b" * 20,
    "Slack token": "xoxb-" + "123456789012-abcdefghijklmnopqrstuv",
    "PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + "aB12" * 15,
    "ansible-vault file": "$ANSIBLE_VAULT" + ";1.1;AES256",
    "password": '  "db_password": "c0rrect-horse",',
    "password in an address": "https://user:" + "hunter22" + "@mirror/simple",
}
