"""Action: give a host its packages, user, folders and limits, and say what could not be done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

_MODULE = "mlperf_ops.lab.host_packages"
_FAMILIES = ("Debian", "RedHat", "Suse")
_VARS = Path(__file__).parents[2] / "roles" / "host_packages" / "vars"
# What Ansible and sudo, su or doas say when they do not let an account become root.
_NO_BECOME = (
    (re.compile(r"missing (\w+) password|password is required|a terminal is required|authentication required"),
     "a password is needed for it", "give it by --ask-become-pass"),
    (re.compile(r"incorrect \w+ password|authentication failure|sorry, try again"),
     "the password that was given is wrong", "correct ansible_become_password"),
    (re.compile(r"not in the sudoers|is not allowed to|may not run|operation not permitted"),
     "it is not allowed to", "allow it in sudoers"),
    (re.compile(r"(?:sudo|su|doas): (?:command )?not found|no such file or directory: .*(?:sudo|su|doas)"),
     "the host has no such command", "install sudo"),
)  # fmt: skip
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Add what the role knows of each family, run the module as root or not, and show what a user should read."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; a no-change run costs one module call."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        name = variables["inventory_hostname"]
        user = given.get("user") or {}
        if user and not user.get("name"):
            raise AnsibleActionFail("host_packages_user has no name (give one, or leave the whole variable out)")
        arguments = {
            **given,
            "families": {family: self._sets(family) for family in _FAMILIES},
            "privileged": bool(self._task.become),
        }
        try:
            answer: dict[str, Any] = self._execute_module(
                module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
            )
        except AnsibleError as error:
            sentence = self._no_become(str(error))
            if sentence:
                raise AnsibleActionFail(sentence) from None
            raise
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        if answer.get("failed"):
            said = " ".join(str(answer.get(key, "")) for key in ("msg", "module_stderr", "module_stdout"))
            sentence = self._no_become(said) if "module_stderr" in answer or "rc" in answer else ""
            return {**result, "failed": True, "msg": sentence} if sentence else {**result, **answer}
        for line in _lines(answer, given.get("state", "applied")):
            display.display(f"{name}  {line}")
        return {**result, **answer}

    def _sets(self, family: str) -> Any:  # noqa: ANN401  # YAML, which the module's family data has checked
        loaded = self._loader.load_from_file(str(_VARS / f"{family}.yml"))
        return controller.plain(loaded["_host_packages_sets"])

    def _no_become(self, said: str) -> str:
        """Return the one sentence for an account that cannot become root; empty when that is not it."""
        if not self._task.become:
            return ""
        for pattern, why, remedy in _NO_BECOME:
            if pattern.search(said.lower()):
                method = self._task.become_method or "sudo"
                account = self._get_remote_user() or "the account that Ansible logs in with"
                return (
                    f"{account} cannot become root by {method}: {why} ({remedy}, or set mlperf_become: false for "
                    "this host, and what needs root is listed instead)"
                )
        return ""


def _lines(answer: dict[str, Any], state: str) -> list[str]:
    """Return what is shown of a result: at most one line when nothing was taken back."""
    if state == "reverted":
        return [*(f"stays: {kept}" for kept in answer["kept"]), *answer["unprivileged"]]
    others = [text for text in answer["unprivileged"] if not text.startswith("package ")]
    told = [f"optional packages are not installed; to add them: {answer['by_hand']}"] if answer["by_hand"] else []
    told += [f"needs root and was not done: {'; '.join(others)}"] if others else []
    told += [*answer["clamped"], *answer["notes"]]
    return ["; ".join(told)] if told else []
