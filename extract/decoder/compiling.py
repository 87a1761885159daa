"""How the decoder's programs are compiled."""

from __future__ import annotations

from functools import lru_cache

import jax
from jax.errors import JaxRuntimeError

_CPU = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
"""Products by Eigen and not, as by default since XLA has it, by YNNPACK: 10 to 20 % faster here on
two cores. Reductions stay YNNPACK's: attention took a third longer without them."""


def compiler_options(platform: str) -> dict[str, str]:
    """For programs on "cpu", "gpu" or "tpu"."""
    return _known_cpu_options() if platform == "cpu" else {}


@lru_cache(maxsize=1)
def _known_cpu_options() -> dict[str, str]:
    """None where this XLA does not know them."""
    try:
        jax.jit(lambda: 0, compiler_options=_CPU).lower().compile()
    except JaxRuntimeError:
        return {}
    return _CPU
