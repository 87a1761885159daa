"""How the decoder's programs are compiled."""

from __future__ import annotations

from functools import lru_cache

import jax
from jax.errors import JaxRuntimeError

_CPU = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
"""Products by Eigen and not, as by default since XLA has it, by YNNPACK: 10 to 20 % faster here on
two cores. Reductions stay YNNPACK's, which has them 1.4 times as fast."""


@lru_cache(maxsize=1)
def cpu_options() -> dict[str, str]:
    """Compiler options for a CPU: none where this XLA does not know them."""
    try:
        jax.jit(lambda: 0, compiler_options=_CPU).lower().compile()
    except JaxRuntimeError:
        return {}
    return _CPU
