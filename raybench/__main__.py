"""``python -m raybench`` is ``raybench``."""

from raybench.cli.main import main

main()
