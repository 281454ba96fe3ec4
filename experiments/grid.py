"""Run a grid of trials: ``python experiments/grid.py [SPEC.yaml] [-s key=value]…``.

The same as ``raybench grid``; without a spec it is the paper's grid.
"""

import sys
from pathlib import Path

from raybench.cli.main import main

if __name__ == "__main__":
    arguments = sys.argv[1:]
    # A spec stands first; with options alone, or with nothing, the paper's grid is meant.
    if not arguments or (arguments[0].startswith("-") and "--help" not in arguments):
        arguments.insert(0, str(Path(__file__).with_name("paper.yaml")))
    sys.argv = [sys.argv[0], "grid", *arguments]
    main()
