"""ArchGym: search agents design hardware through one Gymnasium interface.

Importing the package registers its environments with Gymnasium, so that
`gymnasium.make("archgym_py:ArchGym/DRAMController-v0")` works in any process. Simulators,
compilers and learning libraries are loaded only by the parts that use them.

Start with `archgym_py.runner.run` to search, `archgym_py.environment` for the kinds of environment
and `archgym_py.space` for the designs.
"""

from archgym_py.registration import register_all

__all__ = ["__version__"]

__version__ = "0.1.0"

register_all()
