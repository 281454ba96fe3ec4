"""What srun runs on each node of the job, by ``node.sh``: its resources, then Ray.

python -m raybench.slurm.node resources       print what this node has, as JSON
python -m raybench.slurm.node start JSON      run Ray with it, until Slurm ends it
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from raybench.errors import ClusterError, RaybenchError
from raybench.launch.batch.node import start
from raybench.launch.batch.resources import NodeResources
from raybench.slurm.allocation import resources_of_node


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands, and say what went wrong, if anything."""
    try:
        match list(arguments):
            case ["resources"]:
                print(json.dumps(asdict(resources_of_node(os.environ))))
            case ["start", given]:
                resources = NodeResources(**json.loads(given))
                start(resources, os.environ["SLURMD_NODENAME"], os.environ)
            case _:
                raise ClusterError(
                    f"not a command for a node: {' '.join(arguments)}",
                    allowed="resources, or start JSON",
                )
    except RaybenchError as error:
        print(f"raybench: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
