"""``python -m raybench`` is ``raybench``."""

from raybench.cli import main

main()
