"""raybench: how fast does this model train on each GPU of a cluster, and why?

spec -> plan -> trial -> record -> analysis -> report
"""

from importlib.metadata import version

__version__ = version("raybench")
