"""Log in to a host the way Ansible would, with strict host keys, and run one command there. Fabric and Paramiko.

Every step has its own problem in words; nothing of a key or a password gets into them.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import paramiko
from fabric import Config, Connection
from paramiko.auth_strategy import AuthFailure

from mlperf_ops.doctor.host_keys import Unknown, changed_key, known_keys
from mlperf_ops.doctor.login import Keys
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError, Target, ask_ssh, ask_ssh_for_jump

_CHUNK_BYTES = 65536
_KEEPALIVE_SECONDS = 15
_CLOSED = "closed the connection before it said that it is SSH"

# What went wrong is a finding; Paramiko's own lines about it would be printed beside it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False


@contextmanager
def connected(access: Access, progress: Progress) -> Iterator[Connection]:
    """Log in to a host.

    Raises:
        HostProblemError: It cannot be reached, is not the host that it should be, or does not let us in.
    """
    target = ask_ssh(access)
    progress.shown = target.shown
    if target.unsupported:
        message = f"its connection uses {target.unsupported}, which only ssh itself can do, so it was not examined"
        raise HostProblemError("address", message, "", severity="note")
    with ExitStack() as stack:
        gateway = None
        for jump in target.jumps:
            try:
                gateway = stack.enter_context(_opened(ask_ssh_for_jump(access, jump), None, gateway, progress))
            except HostProblemError as problem:  # noqa: PERF203  # one or two of them
                message = f"its jump host {jump}: {problem.message}"
                raise HostProblemError(problem.check, message, problem.remedy, problem.severity) from problem
        yield stack.enter_context(_opened(target, access.password, gateway, progress))


@contextmanager
def _opened(
    target: Target, password: str | None, gateway: Connection | None, progress: Progress
) -> Iterator[Connection]:
    """Open one connection, directly or through the one before it."""
    with ExitStack() as stack:
        keys = Keys(target, password)
        options: dict[str, Any] = {"auth_strategy": keys}
        if gateway is None:
            options["sock"] = stack.enter_context(_socket(target, progress))
        progress.check = "host-key"
        left = progress.left()
        options |= {"timeout": left, "banner_timeout": left, "auth_timeout": left, "channel_timeout": left}
        # lazy and an empty SSHConfig: ssh has answered all that Fabric would look up in files of its own.
        config = Config(lazy=True, ssh_config=paramiko.SSHConfig())
        connection = Connection(
            host=target.key_name,
            user=target.user,
            port=target.port,
            config=config,
            gateway=_Gateway(gateway, target) if gateway is not None else None,
            connect_kwargs=options,
        )
        connection.client.set_missing_host_key_policy(Unknown(target))
        for key in known_keys(target):
            connection.client.get_host_keys().add(target.lookup_name, key.get_name(), key)
        stack.callback(connection.client.close)
        _open(connection, target, keys, progress)
        yield connection


def _open(connection: Connection, target: Target, keys: Keys, progress: Progress) -> None:
    keys.begin = lambda: setattr(progress, "check", "login")
    try:
        connection.open()
    except HostProblemError:
        raise
    except paramiko.BadHostKeyException as error:
        raise changed_key(target, error.key) from error
    except AuthFailure as error:
        last = error.result[-1].result if error.result else None
        if isinstance(last, (EOFError, OSError)) or "timeout" in str(last).lower():
            raise _no_ssh(target, progress, last) from error
        raise keys.problem() from error
    except paramiko.ChannelException as error:
        raise HostProblemError(
            "port", f"the jump host cannot reach {target.shown}: {error}", "look at ansible_host and the jump host"
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _no_ssh(target, progress, error) from error


def _no_ssh(target: Target, progress: Progress, error: object) -> HostProblemError:
    said = " ".join(str(error).split())
    if progress.check == "login":
        return HostProblemError("login", f"{target.shown} ended the login: {said}", "look at the log of its sshd")
    # Paramiko's words for a peer that never spoke depend on which of its threads noticed first.
    silent = isinstance(error, TimeoutError) or not said or "banner" in said or "No existing session" in said
    if silent and time.monotonic() >= progress.deadline - 1:
        return HostProblemError("port", f"{target.shown} takes the connection but says nothing", "is the host frozen?")
    return HostProblemError(
        "port", f"{target.shown} {_CLOSED}: {said or 'no banner'}", "is it sshd that listens there?"
    )


class _Gateway:
    """What Fabric wants of a gateway, for a target whose name in known_hosts is not its address."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._address = (target.hostname, target.port)
        self.transport = self

    def open(self) -> None:
        self._connection.open()

    def open_channel(self, *, kind: str, **_: object) -> paramiko.Channel:
        return self._connection.transport.open_channel(kind=kind, dest_addr=self._address, src_addr=("", 0))


@contextmanager
def _socket(target: Target, progress: Progress) -> Iterator[socket.socket]:
    progress.check = "address"
    try:
        found = socket.getaddrinfo(target.hostname, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HostProblemError(
            "address", f"the address {target.hostname} does not resolve: {error}", "correct ansible_host, or the DNS"
        ) from error
    progress.check = "port"
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            stream = socket.socket(family, kind, protocol)
        except OSError as error:
            last = error
            continue
        try:
            stream.settimeout(progress.left_to_connect())
            stream.connect(address)
            stream.settimeout(None)
        except OSError as error:
            stream.close()
            last = error
            continue
        with stream:
            yield stream
        return
    raise _no_port(target, last)


def _no_port(target: Target, error: OSError | None) -> HostProblemError:
    if isinstance(error, ConnectionRefusedError):
        return HostProblemError(
            "port", f"{target.shown} refuses the connection", "start sshd there, or correct ansible_port"
        )
    if isinstance(error, TimeoutError) or (error and error.errno in {errno.EHOSTUNREACH, errno.ETIMEDOUT}):
        return HostProblemError(
            "port", f"{target.shown} does not answer", "is it switched on, and its network cable in?"
        )
    if error and error.errno == errno.ENETUNREACH:
        return HostProblemError(
            "port", f"there is no route to {target.shown}", "correct ansible_host, or the routes here"
        )
    said = error.strerror if error else "no address"
    return HostProblemError(
        "port", f"{target.shown} cannot be connected to: {said}", "correct ansible_host or the network"
    )


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left, and when it was sent and began to answer (time.time(), to compare clocks)."""

    out: bytes
    errors: bytes
    status: int
    sent: float
    first: float


def run(connection: Connection, command: str, script: str, progress: Progress) -> Done:
    """Run a command with a script on its standard input.

    Raises:
        HostProblemError: The host stopped answering.
    """
    out, first = b"", 0.0
    try:
        with connection.transport.open_session(timeout=progress.left()) as channel:
            channel.settimeout(progress.left())
            sent = time.time()
            channel.exec_command(command)
            channel.sendall(script.encode())
            channel.shutdown_write()
            while chunk := channel.recv(_CHUNK_BYTES):
                first = first or time.time()
                out += chunk
                channel.settimeout(progress.left())
            errors = channel.recv_stderr(_CHUNK_BYTES)
            return Done(out, errors, channel.recv_exit_status(), sent, first or time.time())
    except (paramiko.SSHException, EOFError, OSError) as error:
        said = str(error) or "it stopped answering"
        raise HostProblemError(
            "python", f"the login works, but a command does not end: {said}", "look at the host"
        ) from error


def follow(connection: Connection, command: str) -> Iterator[bytes]:
    """Yield what a command prints, as it comes, until it ends; a host that is gone is noticed within a minute.

    Raises:
        HostProblemError: The connection was lost.
    """
    try:
        connection.transport.set_keepalive(_KEEPALIVE_SECONDS)
        with connection.transport.open_session() as channel:
            channel.exec_command(command)
            while chunk := channel.recv(_CHUNK_BYTES):
                yield chunk
            # A lost connection ends the output as an orderly end does, but without an exit status, which is then -1.
            ended = channel.recv_exit_status() >= 0
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise HostProblemError("port", f"the connection was lost: {error}", "look at the network") from error
    if not ended:
        raise HostProblemError("port", "the connection was lost", "look at the network")
