"""BlackJAX's SVGD in float64. Its kernel is exp(-d^2 / length_scale): length_scale = 2 h^2."""

import blackjax
import jax
from blackjax.vi.svgd import update_median_heuristic


def trajectory(start, log_density, optimizer, steps, length_scale=None):
    """Positions before and after each step, (steps + 1, m, p); without a length_scale BlackJAX's own rule sets it.

    That is med^2 / log m, med the median distance over unordered pairs. `log_density` takes one particle (p,).
    """
    rule = update_median_heuristic if length_scale is None else lambda state: state
    with jax.enable_x64(True):
        sampler = blackjax.svgd(jax.grad(log_density), optimizer, update_kernel_parameters=rule)
        state = rule(sampler.init(jax.numpy.asarray(start), {"length_scale": length_scale}))
        found = jax.lax.scan(lambda state, _: (sampler.step(state), state.particles), state, length=steps + 1)[1]
        return jax.device_get(found)
