"""Where the arrays of one copy of a model live: one device, or the weights cut over several.

Over n devices the projections are cut the way that needs one sum a half-block (Shoeybi et al.
2019, Megatron-LM, section 3): queries, keys, values, gate and up by their outputs, the two
projections back by their inputs. An axis that n does not divide is not cut. Activations stay
whole on every device; XLA inserts the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from extract.decoder.modules import Attend

_AXIS = "model"
_BY_OUTPUT = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
_BY_INPUT = ("o_proj", "down_proj")


class Placement:
    """Shardings over the devices given, of one platform."""

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        self.devices = tuple(devices)
        self._mesh = Mesh(np.array(devices), (_AXIS,))

    def weight(self, name: str, shape: tuple[int, ...]) -> NamedSharding:
        """The sharding of the weight `name` ("layers.0.mlp.up_proj.weight") as files keep it."""
        parts = name.split(".")
        projection = parts[-2] if len(parts) > 1 else ""
        cut = None
        if projection in _BY_OUTPUT:
            cut = 0
        elif projection in _BY_INPUT and len(shape) == 2:
            cut = 1
        if cut is None or shape[cut] % len(self.devices):
            return self.whole
        return NamedSharding(self._mesh, PartitionSpec(*[None] * cut, _AXIS))

    def moved(self, weight: Array) -> Array:
        """A copy here of a weight that another placement, of as many devices, has placed."""
        assert isinstance(weight.sharding, NamedSharding)
        copy: Array = jax.device_put(weight, NamedSharding(self._mesh, weight.sharding.spec))
        return copy

    def over_heads(self, attend: Attend, kv_heads: int) -> Attend:
        """`attend`, each device doing its own heads; all of them where n does not divide them."""
        count = len(self.devices)
        if count == 1:
            return attend
        cut = PartitionSpec(None, None, None if kv_heads % count else _AXIS)
        over = partial(jax.shard_map, mesh=self._mesh, out_specs=cut, check_vma=False)

        def attend_each(q: Array, k: Array, v: Array, window: int | None) -> Array:
            def own(q: Array, k: Array, v: Array) -> Array:
                return attend(q, k, v, window)

            y: Array = over(own, in_specs=(cut, cut, cut))(q, k, v)
            return y

        return attend_each

    @property
    def platform(self) -> str:
        """The devices' platform: "cpu", "gpu" or "tpu"."""
        return str(self.devices[0].platform)

    @property
    def whole(self) -> NamedSharding:
        """Everything on every device."""
        return NamedSharding(self._mesh, PartitionSpec())
