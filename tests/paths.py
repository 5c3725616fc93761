"""The path of an optimizer, for the tests of all of them."""

import jax


def path(objective, x, steps, optimizer):
    """Points, values before each step, stalled flags and states of every step."""

    def body(carry, _):
        step = optimizer.update(objective, *carry)
        return (step.params, step.state), step

    start = optimizer.start(objective, x, optimizer.init(x))
    return jax.device_get(
        jax.jit(lambda x, state: jax.lax.scan(body, (x, state), length=steps))(x, start)[1]
    )
