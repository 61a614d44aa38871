"""Action: give a power director or a measured SUT what the plan says, and bring only what is missing there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.module_utils.power_director import ptd_path
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import access, bundles, controller, once

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.power import inventory, server_conf

_MODULE = "mlperf_ops.lab.power_host"
_PACKAGE = "ptd_client_server"
_LISTEN_ADDRESS = "power_director_listen_address"
_HERE = "127.0.0.1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LICENCE = (
    "PTDaemon is SPEC's and never part of mlperf-ops; members of MLCommons have it after signing the MLPerf Power EULA"
)
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask the module what is missing, transfer that, and let the module do the rest."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; a host that no analyzer concerns is not even connected to."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        name = variables["inventory_hostname"]
        arguments: dict[str, Any] = given
        files: dict[str, list[tuple[str, Path]]] = {}
        firewall: list[dict[str, Any]] = []
        if given.get("state", "applied") != "reverted":
            run = controller.run_folder(given.get("results", ""), variables)
            controller.package()
            plan = controller.read_plan(run, check_mode=self._task.check_mode)
            with controller.sentences():
                lab = inventory.from_plan(plan.get("power"))
            if given["part"] == "director":
                own = _of_director(given, name, lab)
            else:
                own = _of_sut(given, name, lab, lambda director: self._address_of(director, variables))
            if own is None:
                return {**result, "changed": False, "msg": "the plan has no analyzer for this host"}
            software = _software(given, str(plan["round"]))
            if given["part"] == "director":
                firewall = [controller.typed.dump(one) for one in server_conf.port_rules(name, lab)]
            files = {**own.pop("files", {}), **software.pop("files")}
            arguments = {**given, **own, **software}
        try:
            answer = self._module(arguments, variables)
            missing = answer.get("missing") or []
            if missing and not answer.get("failed") and not self._task.check_mode:
                staged = {item: self._bring(item, files[item], variables) for item in missing}
                answer = self._module({**arguments, "staged": staged}, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        for instance in answer.get("tried") or []:
            display.display(f"{name}  server {instance} was ready: its analyzer has answered")
        return {**result, **answer, "firewall": firewall}

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer

    def _address_of(self, director: str, variables: dict[str, Any]) -> str:
        """Return where the SUT finds a director's servers: where they listen, or else where Ansible finds it."""
        hosts = variables["hostvars"]
        if director not in hosts:
            raise AnsibleActionFail(
                f"director '{director}' is no host of the inventory (run the validate playbook again)"
            )
        given = hosts[director].get(_LISTEN_ADDRESS)
        listens = str(controller.plain(given) or "")
        if listens and listens != server_conf.EVERY_ADDRESS:
            return listens
        reached = access.of(director, hosts[director], self._play_context)
        if reached["connection"] == "local" and self._connection.transport != "local":
            raise AnsibleActionFail(
                f"director {director} is the controller itself, and nothing says where SUTs find it (set "
                f"{_LISTEN_ADDRESS} to its address in their network)"
            )
        return _HERE if reached["connection"] == "local" else str(reached["address"])

    def _bring(self, item: str, files: list[tuple[str, Path]], variables: dict[str, Any]) -> str:
        """Put an archive into the connection's temporary folder; return its path there."""
        archive = once.archive(f"power.{bundles.tree_sha256(files)}", lambda path: bundles.write_tar(path, files))
        display.display(f"{variables['inventory_hostname']}  bringing {item}, {archive.stat().st_size >> 10} KiB")
        self._make_tmp_path()
        remote: str = self._connection._shell.join_path(  # noqa: SLF001  # as Ansible's own actions do
            self._connection._shell.tmpdir,  # noqa: SLF001
            archive.name,
        )
        self._transfer_file(str(archive), remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))  # noqa: SLF001
        return remote


def _of_sut(
    given: dict[str, Any], name: str, lab: inventory.PowerLab, address_of: Callable[[str], str]
) -> dict[str, Any] | None:
    """Return what the module has to know of a SUT; None: nothing measures it."""
    sut = lab.sut(name)
    if sut is None:
        return None
    port = lab.analyzer(sut.uses[0].analyzer).listen_port
    return {
        "measured": controller.typed.dump(sut),
        "server": {"address": address_of(sut.director), "port": port},
        "ntp_server": _time_server(given, "power_sut_ntp_server"),
    }


def _of_director(given: dict[str, Any], name: str, lab: inventory.PowerLab) -> dict[str, Any] | None:
    """Return what the module has to know of a director; None: no analyzer is connected to it."""
    servers = lab.servers(name)
    if not servers:
        return None
    ptd = _ptdaemon(given)
    ntp_server = _time_server(given, "power_director_ntp_server")
    director = server_conf.Director(ptd["path"], ntp_server, given.get("listen_address", server_conf.EVERY_ADDRESS))
    links = {one.device_port for one in lab.analyzers if one.director == name and one.interface_flag in {"-n", "-y"}}
    with controller.sentences():
        texts = {one.instance: server_conf.render(one, lab, director) for one in servers}
    return {
        "ntp_server": ntp_server,
        "configurations": texts,
        "ports": {one.instance: _ports(one, lab) for one in servers},
        "allow": _allowed(given, [ntp_server, *sorted(links)]),
        "ptdaemon_sha256": ptd["sha256"],
        "ptd_path": ptd["on_host"],
        "files": {"ptd": ptd["files"]},
    }


def _ports(server: inventory.Server, lab: inventory.PowerLab) -> list[int]:
    """Return the ports of a server, its own first."""
    analyzers = [lab.analyzer(use.analyzer) for use in server.uses]
    return [analyzers[0].listen_port, *(one.network_port for one in analyzers)]


def _allowed(given: dict[str, Any], others: list[str]) -> list[str]:
    """Return the networks that may talk to the servers, and the addresses that these have to reach."""
    allowed = [str(one) for one in given.get("allow") or []]
    return [*allowed, *(one for one in others if re.fullmatch(r"[0-9.]+", one))] if allowed else []


def _time_server(given: dict[str, Any], variable: str) -> str:
    """Return the time server without the options of chrony's line."""
    words = str(given.get("ntp_server") or "").split()
    if not words:
        raise AnsibleActionFail(
            f"{variable} is not set, and time_sync_servers names none to take instead (name the time server that "
            "power-dev asks, such as the director itself where it serves time)"
        )
    return words[0]


def _ptdaemon(given: dict[str, Any]) -> dict[str, Any]:
    """Return where PTDaemon is and will be, and its digest."""
    path, sha256 = str(given.get("ptdaemon") or ""), str(given.get("ptdaemon_sha256") or "")
    if not path:
        raise AnsibleActionFail(
            f"power_director_ptdaemon is not set ({_LICENCE}: set the path of its binary and "
            "power_director_ptdaemon_sha256)"
        )
    if sha256 and not _SHA256.fullmatch(sha256):
        raise AnsibleActionFail(
            f"power_director_ptdaemon_sha256: expected 64 hexadecimal digits in lower case, found '{sha256}'"
        )
    if given.get("ptdaemon_on") == "director":
        if not sha256 or not path.startswith("/"):
            what = "power_director_ptdaemon_sha256" if not sha256 else "an absolute path in power_director_ptdaemon"
            raise AnsibleActionFail(f"PTDaemon on the director needs {what}")
        return {"path": path, "sha256": sha256, "on_host": path, "files": []}
    local = Path(path).expanduser()
    if not local.is_file():
        raise AnsibleActionFail(f"power_director_ptdaemon: there is no file {path} on the controller ({_LICENCE})")
    found = controller.files.sha256_file(local)
    if not sha256:
        raise AnsibleActionFail(
            f"power_director_ptdaemon_sha256 is not set; {path} has {found} (compare it with the release that you "
            "were given, then pin it)"
        )
    if found != sha256:
        raise AnsibleActionFail(
            f"power_director_ptdaemon: {path} has sha256 {found}, power_director_ptdaemon_sha256 pins {sha256} "
            "(correct the one that is wrong)"
        )
    place = ptd_path(str(given.get("folder", "")), found)
    return {"path": place, "sha256": found, "on_host": "", "files": [("ptd", local)]}


def _software(given: dict[str, Any], round_name: str) -> dict[str, Any]:
    """Return digest and files of power-dev; it is fetched and compared once for all hosts of a play."""
    options = {key: str(given.get(key) or "") for key in ("checkout", "mirror", "cache")}
    with controller.sentences():
        found = once.answer(["power", round_name, *options.values()], lambda: _find_software(round_name, **options))
    files = [(f"{_PACKAGE}/{name}", Path(found["folder"], name)) for name in found["names"]]
    return {"software_sha256": bundles.tree_sha256(files), "commit": found["commit"]} | {"files": {"software": files}}


def _find_software(round_name: str, *, checkout: str, mirror: str, cache: str) -> dict[str, Any]:
    # Only labs with an analyzer pay for these imports.
    from mlperf_ops.catalogue import load_catalogue  # noqa: PLC0415
    from mlperf_ops.commands.components import default_cache  # noqa: PLC0415
    from mlperf_ops.power.software import software, source_sums  # noqa: PLC0415

    catalogue = load_catalogue()
    place = controller.package_files.mirror_place(mirror)
    folder = software(catalogue, round_name, Path(cache) if cache else default_cache(), given=checkout, mirror=place)
    source: Any = catalogue.component(catalogue.round(round_name).power.software).source
    return {"folder": str(folder), "names": sorted(source_sums(folder)), "commit": source.commit}
