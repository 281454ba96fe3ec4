"""What a Slurm host offers Ray, and what a Ray cluster inside a Slurm job needs.

Everything here is decided by its arguments, save what asks NVML, torch, the network or Ray by name.
The scripts in ``cluster/`` put it to use: ``job.py`` in the batch script, ``host.py`` on each host.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybench.catalog.hardware import GPUS, label_of
from raybench.errors import ClusterError, HardwareError
from raybench.measure.kernels import check_gpus, environment_for
from raybench.placement import HOST

JOB_LABEL, HOST_LABEL, GPU_LABEL = "raybench.job", "raybench.host", "raybench.gpu"
"""Labels of a Ray node: the Slurm job that started it, the Slurm host it runs on, its GPU type."""

PORTS = (
    "gcs",
    "dashboard",
    "node-manager",
    "object-manager",
    "dashboard-agent-listen",
    "dashboard-agent-grpc",
    "runtime-env-agent",
    "metrics-export",
)
"""Ray's services on a host that get a port each; workers take any port that is free."""

FIRST_PORT, PORT_BLOCKS, BLOCK_SIZE = 10000, 1000, 16
"""Ports 10000 to 25999: below the range that Linux hands out to clients by itself."""

LONGEST_TEMP_DIR = 38
"""Ray puts ``/session_<date>_<pid>/sockets/plasma_store`` after it; Linux allows 107 bytes."""

OBJECT_STORE_BYTES = 256 * 2**20
"""Trials exchange a few kilobytes; Ray would otherwise claim 30 % of the host's memory."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What one host offers Ray.

    Attributes:
        cpus: processors that Slurm gave the job on this host.
        gpus: GPUs that Slurm gave the job on this host.
        label: their type as in ``raybench.catalog.hardware``, or None without a GPU.
        verified: whether the GPUs said so themselves; False if only Slurm's GRES type says so.
    """

    cpus: int
    gpus: int = 0
    label: str | None = None
    verified: bool = True

    @property
    def resources(self) -> dict[str, float]:
        """Ray's custom resources: the GPU label as often as there are GPUs, and the host once."""
        resources: dict[str, float] = {HOST: 1}
        if self.label is not None:
            resources[self.label] = self.gpus
        return resources


def gres_on_host(job_details: str, host: str) -> dict[str, int]:
    """Return the GPUs of ``host`` by GRES type, from the text of ``scontrol show job --details``.

    A GRES without a type counts under ``""``.

    >>> gres_on_host("Nodes=a1 CPU_IDs=0 Mem=0 GRES=gpu:p100:4(IDX:0-3)", "a1")
    {'p100': 4}
    """
    found: dict[str, int] = {}
    for names, gres in re.findall(r"^\s*Nodes=(\S+) .*?GRES=(\S*)", job_details, re.MULTILINE):
        if host not in expand_hosts(names):
            continue
        for kind, count in re.findall(r"gpu(?::([^:(,]+))?:(\d+)(?:\([^)]*\))?", gres):
            found[kind] = found.get(kind, 0) + int(count)
    return found


def expand_hosts(names: str) -> list[str]:
    """Return the hosts of Slurm's short form.

    >>> expand_hosts("p100-[1-2,4],k80-1")
    ['p100-1', 'p100-2', 'p100-4', 'k80-1']
    """
    hosts: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", names):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
        if match is None:
            hosts.append(part)
            continue
        before, ranges, after = match.groups()
        for span in ranges.split(","):
            first, _, last = span.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.extend(expand_hosts(f"{before}{number:0{len(first)}}{after}"))
    return hosts


def label_of_gres(gres_type: str) -> str | None:
    """Return the hardware label that a GRES type means, or None.

    >>> label_of_gres("tesla_p100-pcie"), label_of_gres("a100_80g"), label_of_gres("gpu")
    ('P100', 'A100', None)
    """
    folded = gres_type.casefold()
    for label in GPUS:
        if label.casefold() == folded:
            return label
    return label_of(re.sub(r"[_\-.]+", " ", gres_type).upper())


def host_offer(environ: Mapping[str, str], gres: Mapping[str, int], names: Sequence[str]) -> Offer:
    """Decide what a host offers.

    Args:
        environ: the environment of a Slurm step's task on that host.
        gres: its GPUs by GRES type, from ``gres_on_host``.
        names: the GPUs' own names; none where there is no driver.

    Raises:
        HardwareError: GPUs of no known type, or of more than one: Ray could not tell them apart.
    """
    cpus = int(environ.get("SLURM_CPUS_ON_NODE") or os.cpu_count() or 1)
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    given = int(environ.get("SLURM_GPUS_ON_NODE") or 0) or len(
        list(filter(None, visible.split(",")))
    )
    if not given:
        return Offer(cpus=cpus)
    if names:
        labels = {name: label_of(name) for name in names}
        given = len(names)
    else:
        labels = {kind: label_of_gres(kind) for kind in gres}
    known = sorted({label for label in labels.values() if label})
    unknown = sorted(kind or "(no GRES type)" for kind, label in labels.items() if not label)
    if unknown or not known:
        raise HardwareError(
            f"no label is known for this host's GPUs: {', '.join(unknown) or 'Slurm names none'}",
            allowed=", ".join(sorted(GPUS)),
            cure="add a row to raybench/catalog/hardware.csv, or give the GRES a type in gres.conf",
        )
    if len(known) > 1:
        raise HardwareError(
            f"this host's GPUs are of several types, {' and '.join(known)}, "
            "which Ray cannot tell apart",
            cure=f"ask Slurm for one type on it, such as --gres=gpu:{known[0].lower()}:1",
        )
    return Offer(cpus=cpus, gpus=given, label=known[0], verified=bool(names))


def check_torch() -> str | None:
    """Train one small convolution on every visible GPU.

    Returns:
        what does not work and which environment would do, or None if all is well.
    """
    import torch  # noqa: PLC0415 - takes seconds

    checks = check_gpus()
    for check in checks:
        if check.problem is None:
            continue
        major, minor = check.compute_capability
        environment = environment_for(check.compute_capability)
        cure = (
            f"cluster/environments/create.sh {environment}"
            if environment
            else "none of cluster/environments has kernels for it"
        )
        return (
            f"torch {torch.__version__} cannot run a convolution on {check.name} "
            f"(sm_{major}{minor}): {check.problem}\nto do:   {cure}"
        )
    if not checks:
        return f"torch {torch.__version__} sees no GPU, though Slurm gave this job one"
    return None


def is_free(port: int) -> bool:
    """Whether nothing on this host listens on a TCP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def choose_ports(job_id: int, free: Callable[[int], bool] = is_free) -> dict[str, int]:
    """Return a port for each of ``PORTS``: the job's own block, or the next that is all free.

    Raises:
        ClusterError: no block is free.
    """
    for attempt in range(PORT_BLOCKS):
        # Neighbouring jobs have neighbouring blocks, so the next try goes far away.
        block = (job_id + attempt * 137) % PORT_BLOCKS
        first = FIRST_PORT + block * BLOCK_SIZE
        ports = dict(zip(PORTS, range(first, first + len(PORTS)), strict=True))
        if all(free(port) for port in ports.values()):
            return ports
    raise ClusterError(
        f"no {len(PORTS)} free ports in a row from {FIRST_PORT} on this host",
        cure="see `ss -tln` for what listens there",
    )


def outward_address(toward: str, port: int = 9) -> str:
    """Return the IPv4 address from which this host reaches ``toward``; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((toward, port))
        return str(probe.getsockname()[0])


def address_of_host(name: str) -> str:
    """Return the IPv4 address under which the other hosts reach this one.

    Args:
        name: this host's ``NodeAddr`` in Slurm.

    Raises:
        ClusterError: it has none but the loopback's.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    except socket.gaierror:
        found = set()
    found = {address for address in found if not address.startswith("127.")}
    if found:
        return min(found)
    try:
        # An address of the documentation range: only the routing table is asked.
        return outward_address("192.0.2.1")
    except OSError:
        raise ClusterError(
            f"the address of {name} is not known to itself",
            cure="set RAYBENCH_HEAD_ADDRESS in cluster/site.env",
        ) from None


def create_private_folder(folder: Path) -> Path:
    """Create a folder that only its owner can enter, and refuse one that somebody else made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if folder.is_symlink() or facts.st_uid != os.getuid():
        raise ClusterError(f"{folder} is not ours", cure="remove it, or choose another place")
    folder.chmod(0o700)
    return folder


def create_token(folder: Path) -> Path:
    """Write a fresh token, 0600, in a private folder, and return its path."""
    path = folder / "token"
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def token_variables(token: Path) -> dict[str, str]:
    """Return the variables that turn Ray's token authentication on, for driver, hosts and users.

    The path outranks ``~/.ray/auth_token``, so that a token left there changes nothing; a
    ``RAY_AUTH_TOKEN`` would outrank the path and is therefore emptied by those who use this.
    """
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def check_temp_dir(folder: Path) -> None:
    """Refuse a temporary folder under which Ray's socket paths would be too long.

    Raises:
        ClusterError: its path is too long.
    """
    if len(os.fsencode(folder)) > LONGEST_TEMP_DIR:
        raise ClusterError(
            f"the temporary folder {folder} is too long a path for Ray's sockets",
            allowed=f"{LONGEST_TEMP_DIR} bytes",
            cure="set RAYBENCH_TMPDIR=/tmp in cluster/site.env",
        )


def ray_start_arguments(
    *,
    offer: Offer,
    ports: Mapping[str, int],
    own_address: str,
    head: str,
    is_head: bool,
    dashboard: bool,
    temp_dir: Path,
    labels: Mapping[str, str],
) -> list[str]:
    """Return the arguments of ``ray start`` for one host.

    Args:
        offer: what the host offers.
        ports: a free port for each of ``PORTS``.
        own_address: the host's IPv4 address.
        head: ``address:port`` of the cluster.
        is_head: whether this host is the head.
        dashboard: whether the head takes jobs; a grid does without, and starts sooner.
        temp_dir: the host's private folder.
        labels: the Ray node's labels.
    """
    if offer.label is not None:
        labels = {**labels, GPU_LABEL: offer.label}
    arguments = ["start", "--block", "--disable-usage-stats", "--log-color=false"]
    arguments += ["--log-style=pretty", f"--node-ip-address={own_address}"]
    arguments += [f"--temp-dir={temp_dir}", f"--num-cpus={offer.cpus}", f"--num-gpus={offer.gpus}"]
    arguments += [f"--object-store-memory={OBJECT_STORE_BYTES}"]
    arguments += [f"--resources={json.dumps(offer.resources)}"]
    arguments += ["--labels=" + ",".join(f"{key}={value}" for key, value in labels.items())]
    arguments += ["--min-worker-port=0", "--max-worker-port=0"]
    for name in PORTS[2:]:
        arguments.append(f"--{name}-port={ports[name]}")
    if is_head:
        arguments += [
            "--head",
            f"--port={head.rpartition(':')[2]}",
            f"--include-dashboard={dashboard}",
        ]
        # There is nothing to scale; this leaves out a process and its port.
        arguments.append("--no-monitor")
        arguments += ["--dashboard-host=127.0.0.1", f"--dashboard-port={ports['dashboard']}"]
    else:
        arguments.append(f"--address={head}")
    return arguments


def ray_variables(temp_dir: Path) -> dict[str, str]:
    """Return the variables for Ray on one host, where no argument of ``ray start`` would do."""
    return {
        "RAY_TMPDIR": str(temp_dir),
        "TMPDIR": str(temp_dir),
        # Served to anybody, without a token, and of no use here. The dashboard's own have no switch
        # but a port that there cannot be; its log has the complaint.
        "RAY_enable_metrics_collection": "0",
        "DASHBOARD_METRIC_PORT": "-1",
        # Who ends Ray here has given trials their time already.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_START_HOOK": f"{__name__}.{without_client_server.__name__}",
        # Slurm numbers GPUs by their place on the bus; CUDA would put the fastest first.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def without_client_server(ray_params: Any, head: bool) -> None:  # noqa: ARG001 - Ray's signature
    """Keep ``ray start`` from opening the Ray Client server, which would listen to the network.

    Ray calls it by the variable ``RAY_START_HOOK``; no option of ``ray start`` can turn it off.
    """
    ray_params.ray_client_server_port = None


@dataclass(frozen=True, kw_only=True)
class RayNode:
    """A node that is alive in a Ray cluster.

    Attributes:
        node_id: Ray's hexadecimal name of it.
        labels: its labels.
        resources: what it offers in all.
    """

    node_id: str
    labels: Mapping[str, str]
    resources: Mapping[str, float]


def ray_nodes(address: str, timeout_s: float = 5) -> list[RayNode]:
    """Return the nodes that are alive, or [] while nothing answers at ``address``.

    This asks the head without becoming a driver, as Ray's own ``symmetric-run`` does: a driver
    would start worker processes, on hosts that are still busy with starting Ray.

    Raises:
        ClusterError: the cluster refuses our token.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError:
        return []
    from ray._raylet import GcsClient  # type: ignore[attr-defined] # noqa: PLC0415 - takes a second
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined] # noqa: PLC0415
    from ray.exceptions import AuthenticationError, RpcError  # noqa: PLC0415

    try:
        found = GcsClient(address=address).get_all_node_info(timeout=timeout_s)
    except RpcError:
        return []
    except AuthenticationError:
        raise ClusterError(
            f"the Ray cluster at {address} does not let us in: the token is missing or another's",
            cure="set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH as the log of its job shows",
        ) from None
    return [
        RayNode(
            node_id=node_id.hex(),
            labels=dict(node.labels),
            resources=dict(node.resources_total),
        )
        for node_id, node in found.items()
        if node.state == GcsNodeInfo.GcsNodeState.ALIVE
    ]


def drain(address: str, node: RayNode, limit_s: float) -> None:
    """Let a node take on nothing more; it leaves the cluster when it is idle.

    Raises:
        ClusterError: the head refuses.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined] # noqa: PLC0415 - takes a second
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined] # noqa: PLC0415

    accepted, refusal = GcsClient(address=address).drain_node(
        node.node_id,
        DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "the Slurm job of this host ends",
        int((time.time() + limit_s) * 1000),
    )
    if not accepted:
        raise ClusterError(f"the head does not let {node.labels.get(HOST_LABEL)} go: {refusal}")


def joined_hosts(nodes: Iterable[RayNode], job: str) -> set[str]:
    """Return the hosts of a Slurm job that are in the cluster."""
    return {node.labels[HOST_LABEL] for node in nodes if node.labels.get(JOB_LABEL) == job}


def gpus_by_label(nodes: Iterable[RayNode]) -> dict[str, int]:
    """Return how many GPUs of each type the cluster has."""
    counts: dict[str, int] = {}
    for node in nodes:
        for label in node.resources.keys() & GPUS.keys():
            counts[label] = counts.get(label, 0) + int(node.resources[label])
    return counts


def state_root(environ: Mapping[str, str]) -> Path:
    """Return the folder, on a file system that all hosts share, with a folder for each job."""
    return Path(environ.get("RAYBENCH_STATE_ROOT") or Path.home() / ".raybench")


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """What a running cluster leaves for those who join it or submit to it; never the token itself.

    Attributes:
        job: the Slurm job's id.
        address: Ray's ``address:port`` on the head.
        dashboard: ``http://127.0.0.1:port`` on the head.
        head: the head's name in Slurm.
        results: the results folder.
    """

    job: str
    address: str
    dashboard: str
    head: str
    results: str

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all, into the job's private folder."""
        temporary = folder / "cluster.json.new"
        temporary.write_text(json.dumps(vars(self)) + "\n")
        temporary.replace(folder / "cluster.json")

    @classmethod
    def read(cls, folder: Path) -> ClusterState:
        """Read it.

        Raises:
            ClusterError: the job does not run a cluster of this user.
        """
        try:
            return cls(**json.loads((folder / "cluster.json").read_text()))
        except (OSError, ValueError, TypeError):
            raise ClusterError(
                f"{folder.name} runs no Ray cluster that this user can join: "
                f"there is no {folder / 'cluster.json'}",
                cure="see `squeue --me` for the id of a job that has started",
            ) from None
