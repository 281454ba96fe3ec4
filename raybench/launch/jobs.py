"""Single runs as Ray jobs: `raybench run` placed on the hardware that it names.

The job's entrypoint itself holds what the trial needs, and the trial asks Ray for nothing more, so
that no run waits for what its own entrypoint has taken.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from raybench.errors import ClusterError
from raybench.schedule.resources import check_placeable, resources_of
from raybench.spec.trial import TrialSpec

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

STOPPED = 130
"""The exit code of a job that was stopped before its run could say anything."""


def entrypoint(spec: TrialSpec, given: Mapping[str, Any]) -> str:
    """Return the command of a run, with the fields that were given and no more.

    Args:
        spec: the run.
        given: the fields that were given, by name.
    """
    named = ("model", "dataset", "hardware")
    command = ["raybench", "run", spec.model, spec.dataset, "--hardware", spec.hardware]
    for name, value in given.items():
        if name not in named:
            command += ["-s", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(command)


def reservation(spec: TrialSpec) -> dict[str, Any]:
    """Return what the entrypoint holds, as ``JobSubmissionClient.submit_job`` takes it."""
    resources = dict(resources_of(spec))
    reserved: dict[str, Any] = {"entrypoint_num_cpus": resources.pop("CPU")}
    if gpus := resources.pop("GPU", 0):
        reserved["entrypoint_num_gpus"] = gpus
    return {**reserved, "entrypoint_resources": resources}


def connect(address: str | None) -> JobSubmissionClient:
    """Connect to the dashboard of a cluster.

    Args:
        address: ``http://host:port``, or None for ``RAY_API_SERVER_ADDRESS``.

    Raises:
        ClusterError: nothing answers there, or it does not let us in.
    """
    from ray.exceptions import RayError  # noqa: PLC0415 - takes seconds
    from ray.job_submission import JobSubmissionClient  # noqa: PLC0415

    # It tells its users how a websocket was closed.
    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(
            f"cannot submit to {address or 'RAY_API_SERVER_ADDRESS'}: {error}",
            hint="copy the three lines that the log of the job that holds the cluster shows "
            "under 'On a login node'",
        ) from None


def check_hardware(client: JobSubmissionClient, spec: TrialSpec) -> None:
    """Refuse a run that the cluster cannot place: as a job it would wait for 15 minutes.

    Raises:
        ClusterError: naming what is asked for, and what there is.
    """
    from ray.util.state import list_nodes  # noqa: PLC0415 - takes seconds

    address = client.get_address()
    # A node that has left makes the answer incomplete in Ray's eyes.
    nodes = list_nodes(
        address, filters=[("state", "=", "ALIVE")], limit=10_000, raise_on_missing_output=False
    )
    check_placeable([spec], [node.resources_total for node in nodes], f"the cluster at {address}")


def submit(client: JobSubmissionClient, spec: TrialSpec, given: Mapping[str, Any]) -> str:
    """Submit a run and return the job's id.

    Args:
        client: from ``connect``.
        spec: the run.
        given: the fields that were given, by name.

    Raises:
        ClusterError: the cluster cannot place it, or does not take it.
    """
    check_hardware(client, spec)
    try:
        return str(
            client.submit_job(
                entrypoint=entrypoint(spec, given),
                metadata={"trial_id": spec.trial_id},
                **reservation(spec),
            )
        )
    except RuntimeError as error:
        raise ClusterError(f"the cluster does not take the job: {error}") from None


def follow(client: JobSubmissionClient, job_id: str, show: Callable[[str], None]) -> int:
    """Show a job's log until it ends, and return the exit code of its run.

    Raises:
        ClusterError: it ended without one, and was not stopped: the message says how.
    """
    asyncio.run(_show_log(client, job_id, show))
    details = client.get_job_info(job_id)
    if details.driver_exit_code is not None and details.driver_exit_code >= 0:
        return int(details.driver_exit_code)
    if str(details.status) == "STOPPED":
        return STOPPED
    raise ClusterError(
        f"job {job_id} ended as {details.status}: {details.message}",
        hint="see the logs of the job that holds the cluster",
    )


async def _show_log(client: JobSubmissionClient, job_id: str, show: Callable[[str], None]) -> None:
    async for lines in client.tail_job_logs(job_id):
        show(lines)
    # The log ends a moment before the state says so.
    while not client.get_job_status(job_id).is_terminal():
        await asyncio.sleep(0.2)
