import contextlib
import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from steinmix import NSVGD, RBF, DivergedError, Particles, Training
from steinmix.objective import Batch, Objective, Phase, Term
from steinmix.random import Streams
from steinmix.training import Callback, Constant, Cosine, Diagnose, EarlyStopping, StepDecay, run
from steinmix.training.config import OPTIMIZERS
from steinmix.training.stepper import GATHERED, Stepper


class Steps:
    """An optimiser factory that counts steps and keeps what it made."""

    def __init__(self, kind=torch.optim.SGD, lr=0.1):
        self.kind, self.lr, self.made, self.gradients, self.rates = kind, lr, [], [], []

    def __call__(self, params):
        optimizer = self.kind(params, lr=self.lr)
        optimizer.register_step_pre_hook(self.note)
        self.made.append(optimizer)
        return optimizer

    def note(self, optimizer, args, kwargs):
        params = [p for group in optimizer.param_groups for p in group["params"]]
        self.gradients.append([None if p.grad is None else p.grad.clone() for p in params])
        self.rates.append([g["lr"] for g in optimizer.param_groups])


@pytest.mark.parametrize(
    ("n", "batch_size", "accumulate", "per_epoch"), [(24, 8, 1, 3), (25, 8, 1, 4), (24, 4, 3, 2), (24, 4, 4, 2)]
)
def test_steps_are_epochs_times_batches_over_accumulation(line, go, rng, n, batch_size, accumulate, per_epoch):
    steps = Steps()
    x = rng.normal(size=(n, 3)).astype(np.float32)
    phase = Phase("p", 5, [line.objective(optimizer=steps)])
    history = go(line, phase, x, batch_size=batch_size, accumulate=accumulate)
    assert len(steps.gradients) == 5 * per_epoch
    assert [r["step"] for r in history] == [per_epoch * (e + 1) for e in range(5)]
    assert [r["epoch"] for r in history] == list(range(5))
    assert len(steps.made) == 1


def test_one_step_is_one_step_of_the_optimiser_by_hand(line, go, rows):
    weight, bias = line.weight.detach().clone(), line.bias.detach().clone()
    x = torch.from_numpy(rows)
    residual = x @ weight + bias
    go(line, Phase("p", 1, [line.objective()]), batch_size=24)
    torch.testing.assert_close(line.weight.detach(), weight - 0.1 * 2 * (residual[:, None] * x).mean(0))
    torch.testing.assert_close(line.bias.detach(), bias - 0.1 * 2 * residual.mean(0, keepdim=True))


def test_weights_of_terms_scale_their_gradients_and_zero_leaves_them_out(go):
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(3))

    def terms(batch):
        w = module.w
        return {"a": Term(w[0], 2.0), "b": Term(w[1]), "c": Term(w[2], 0.0)}

    history = go(module, Phase("p", 1, [Objective(terms, [module.w])]), batch_size=24, lr=1.0)
    assert module.w.tolist() == [-2.0, -1.0, 0.0]
    assert history[0]["loss"] == 0.0


@pytest.mark.parametrize(("weight", "loss"), [(2.0, 10.0), (0.0, 0.0)])
def test_a_loss_without_a_gradient_is_told_and_moves_nothing(go, weight, loss):
    module = nn.Module()
    module.w = nn.Parameter(torch.ones(3))
    terms = lambda batch: {"constant": Term(torch.tensor(5.0), weight)}  # noqa: E731
    (record,) = go(module, Phase("p", 1, [Objective(terms, [module.w])]))
    assert (record["constant"], record["loss"], record["step"]) == (5.0, loss, 3)
    assert module.w.tolist() == [1.0, 1.0, 1.0]


def test_a_term_of_weight_zero_cannot_spoil_a_gradient(go):
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(3))

    def terms(batch):
        return {"sum": Term(module.w.sum()), "root": Term(module.w.square().sum().sqrt(), 0.0)}  # its slope is NaN

    go(module, Phase("p", 1, [Objective(terms, [module.w])]), batch_size=24, lr=1.0)
    assert module.w.tolist() == [-1.0, -1.0, -1.0]


def test_accumulated_batches_equal_one_large_batch(line, go, rows):
    other = deepcopy(line)
    go(line, Phase("p", 4, [line.objective()]), batch_size=24)
    go(other, Phase("p", 4, [other.objective()]), batch_size=8, accumulate=3)
    torch.testing.assert_close(line.state_dict(), other.state_dict())


def test_a_step_of_fewer_accumulated_batches_is_their_mean_too(go, rng):
    """Else the gradient of the last step of an epoch is scaled down while the repulsion is not."""
    steps = Steps()
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(1))
    objective = Objective(lambda batch: {"slope": Term(3 * module.w.sum())}, [module.w], optimizer=steps)
    go(module, Phase("p", 1, [objective]), np.zeros((20, 1), np.float32), batch_size=4, accumulate=2)
    assert [float(g[0]) for g in steps.gradients] == [3.0, 3.0, 3.0]


def test_the_diversifier_acts_once_on_the_accumulated_gradient(go):
    calls = []
    module = nn.Module()
    module.theta = nn.Parameter(torch.tensor([[0.0], [1.0]]))

    def diversifier(theta, ascent):
        calls.append(ascent.clone())
        return ascent

    terms = lambda batch: {"f": Term((module.theta.sum(-1) * batch.x.mean()).sum())}  # noqa: E731
    objective = Objective(terms, [module.theta], Particles([module.theta]), diversifier)
    go(module, Phase("p", 1, [objective]), np.arange(12, dtype=np.float32)[:, None], batch_size=3, accumulate=2)
    assert len(calls) == 2
    assert float(torch.stack(calls).mean()) == pytest.approx(-5.5)


def test_only_the_parameters_of_the_objective_get_gradients(line, go):
    seen = []
    phase = Phase("p", 2, [line.objective()], after_step=lambda: seen.append(line.idle.grad))
    go(line, phase)
    assert seen == [None] * 6
    assert torch.equal(line.idle.detach(), torch.ones(2))


def test_a_frozen_parameter_of_an_objective_stays(line, go):
    line.weight.requires_grad_(False)
    before, bias = line.weight.clone(), line.bias.detach().clone()
    go(line, Phase("p", 1, [line.objective()]))
    assert torch.equal(line.weight, before)
    assert not torch.equal(line.bias.detach(), bias)


def test_several_objectives_step_one_after_another_on_each_batch(go):
    """The second sees what the first has done, and neither touches the other's parameters."""
    module = nn.Module()
    module.a, module.b = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    first = Objective(lambda batch: {"first": Term(module.a.sum() + 100 * module.b.sum())}, [module.a])
    second = Objective(lambda batch: {"second": Term(module.a.sum() * module.b.sum())}, [module.b])
    history = go(module, Phase("p", 1, [first, second]), batch_size=8, lr=1.0)
    assert module.a.tolist() == [-3.0]
    assert module.b.tolist() == [1.0 + 2.0 + 3.0]
    assert {"first", "second"} <= history[0].keys()


def test_the_loss_of_several_objectives_tells_of_all_of_them(go):
    module = nn.Module()
    module.a, module.b = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    first = Objective(lambda batch: {"first": Term(module.a.sum() * 0 + 5)}, [module.a])
    second = Objective(lambda batch: {"second": Term(module.b.sum() * 0 + 7)}, [module.b])
    record = go(module, Phase("p", 1, [first, second]))[0]
    assert (record["first"], record["second"], record["loss"]) == (5.0, 7.0, 12.0)


def test_history_has_the_raw_means_of_the_terms_and_the_weighted_loss(line, go, rows):
    with torch.no_grad():
        expected = float((torch.from_numpy(rows) @ line.weight + line.bias).square().mean())
    history = go(line, Phase("only", 1, [line.objective()]), batch_size=8, lr=1e-12)
    assert history[0].keys() == {"phase", "epoch", "step", "square", "idle", "loss"}
    assert history[0]["phase"] == "only"
    assert history[0]["square"] == pytest.approx(expected, rel=1e-5)
    assert history[0]["idle"] == pytest.approx(2.0)
    assert history[0]["loss"] == pytest.approx(expected + 0.2, rel=1e-5)


def test_history_has_the_means_of_more_batches_than_are_kept_apart(go):
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(1))
    objective = Objective(lambda batch: {"row": Term(batch.x.sum() + 0 * module.w.sum())}, [module.w])
    rows = np.arange(2 * GATHERED + 3, dtype=np.float32)[:, None]
    (record,) = go(module, Phase("p", 1, [objective]), rows, batch_size=1)
    assert record["row"] == record["loss"] == GATHERED + 1


def test_what_is_logged_keeps_no_graph_alive(line, loader_of, rows):
    optimizer = torch.optim.SGD([line.weight, line.bias], lr=0.1)
    stepper = Stepper(line, Phase("p", 1, [line.objective()]), [optimizer], Training(), torch.device("cpu"))
    logged = stepper.epoch(loader_of(rows), 0)
    assert logged.names == ["square", "idle", "loss"]
    assert not logged.values.requires_grad


def test_hooks_are_called_as_documented(line, go):
    calls = []
    build = lambda name, epochs: Phase(  # noqa: E731
        name,
        epochs,
        [line.objective()],
        before=lambda: calls.append(f"{name} before"),
        before_epoch=lambda e: calls.append(f"{name} epoch {e}"),
        after_step=lambda: calls.append("step"),
    )
    go(line, [build("a", 2), build("b", 0), build("c", 1)])
    steps = ["step"] * 3
    assert calls == ["a before", "a epoch 0", *steps, "a epoch 1", *steps, "b before", "c before", "c epoch 0", *steps]


def test_before_may_set_parameters_and_optimisers_are_built_after_it(line, go):
    steps = Steps()

    def before():
        assert steps.made == []
        with torch.no_grad():
            line.weight.fill_(7.0)

    go(line, Phase("p", 1, [line.objective(optimizer=steps)], before=before), lr=1e-9)
    assert steps.gradients[0][0].abs().min() > 1


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_phase_that_goes_on_takes_the_steps_of_one_long_phase(line, go, goes_on):
    other = deepcopy(line)
    go(line, [Phase("a", 3, [line.objective()]), Phase("b", 2, [line.objective()], goes_on=goes_on)], optimizer="adam")
    go(other, Phase("a", 5, [other.objective()]), optimizer="adam")
    assert torch.equal(line.weight, other.weight) == goes_on


def test_after_step_projects_what_the_next_step_sees(go):
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(1))
    seen = []

    def terms(batch):
        seen.append(float(module.w.detach()))
        return {"w": Term(-module.w.sum())}

    def clamp():
        with torch.no_grad():
            module.w.clamp_(max=1.5)

    go(module, Phase("p", 1, [Objective(terms, [module.w])], after_step=clamp), batch_size=6, lr=1.0)
    assert seen == [0.0, 1.0, 1.5, 1.5]


def test_after_step_is_not_called_between_accumulated_batches(line, go):
    steps = []
    go(line, Phase("p", 1, [line.objective()], after_step=lambda: steps.append(1)), batch_size=6, accumulate=2)
    assert len(steps) == 2


@pytest.mark.parametrize("schedule", [Constant(), StepDecay(2, 0.5, 0.3), Cosine(0.1)])
def test_schedules_multiply_each_groups_own_rate(line, go, schedule):
    steps = Steps()
    groups = [{"params": [line.weight], "lr": 0.01}, {"params": [line.bias]}]
    phases = [Phase(name, 6, [Objective(line.square, groups, optimizer=steps)]) for name in "ab"]
    go(line, phases, batch_size=24, schedule=schedule)
    factors = [schedule(e, 6) for e in range(6)] * 2
    np.testing.assert_allclose(steps.rates, [[0.01 * f, 0.1 * f] for f in factors])


def test_a_phase_may_have_a_schedule_of_its_own(line, go):
    steps = Steps()
    phase = Phase("p", 4, [Objective(line.square, [line.weight], optimizer=steps)], schedule=StepDecay(2, 0.5, 0.3))
    go(line, phase, batch_size=24, schedule=Cosine(0.1))
    np.testing.assert_allclose(steps.rates, [[0.1], [0.1], [0.05], [0.05]])


@pytest.mark.parametrize(("setting", "rate"), [(None, 0.02), (0.5, 0.5)])
def test_the_rate_is_the_trainings_or_else_the_methods(line, rows, loader_of, setting, rate):
    training = Training(lr=setting, progress=False)
    phase = Phase("p", 1, [line.objective()])
    seen = []

    class Rate(Callback):
        def on_epoch_end(self, state):
            seen.append(state.optimizers[0].param_groups[0]["lr"])

    run(line, [phase], loader_of(rows), training, Streams(0), 0.02, [Rate()])
    assert seen == [rate]


def test_clipping_bounds_the_norm_and_keeps_the_direction(line, go):
    free, clipped = Steps(lr=1e-9), Steps(lr=1e-9)
    go(line, Phase("p", 1, [line.objective(optimizer=free)]), batch_size=24)
    go(line, Phase("p", 1, [line.objective(optimizer=clipped)]), batch_size=24, clip_norm=0.25)
    a, b = (torch.cat(s.gradients[0]) for s in (free, clipped))
    assert float(a.norm()) > 0.5
    assert float(b.norm()) == pytest.approx(0.25, rel=1e-4)
    torch.testing.assert_close(b / b.norm(), a / a.norm())


def test_clipping_comes_after_the_diversifier(go):
    steps = Steps(lr=1e-9)
    module = nn.Module()
    module.theta = nn.Parameter(torch.tensor([[0.0], [1.0]]))
    terms = lambda batch: {"f": Term(0 * module.theta.sum())}  # noqa: E731
    objective = Objective(terms, [module.theta], Particles([module.theta]), NSVGD(100.0, RBF(1.0)), steps)
    go(module, Phase("p", 1, [objective]), batch_size=24, clip_norm=1.0)
    left, right = steps.gradients[0][0].flatten().tolist()
    assert (left, right) == pytest.approx((math.sqrt(0.5), -math.sqrt(0.5)), rel=1e-4)


@pytest.mark.parametrize("level", [-2.0, 0.0, 2.0])
def test_early_stopping_ends_the_phase_and_not_the_run(line, go, level):
    flat = Phase("flat", 50, [Objective(lambda b: {"c": Term(line.bias.sum() * 0 + level)}, [line.bias])])
    history = go(line, [flat, Phase("next", 2, [line.objective()])], callbacks=[EarlyStopping(patience=3)])
    names = [r["phase"] for r in history]
    assert names == ["flat"] * 4 + ["next"] * 2


def test_early_stopping_lets_a_falling_loss_fall(line, go):
    history = go(line, Phase("p", 12, [line.objective()]), callbacks=[EarlyStopping(patience=3)], lr=0.01)
    assert len(history) == 12


def test_every_callback_sees_the_epoch_after_which_one_of_them_stops(line, go):
    seen = []

    class Note(Callback):
        def __init__(self, name, stop):
            self.name, self.stop = name, stop

        def on_epoch_end(self, state):
            seen.append((self.name, state.epoch))
            return self.stop

        def on_run_end(self, state):
            seen.append((self.name, "end", state.epoch, state.epochs_done))

    go(line, Phase("p", 5, [line.objective()]), callbacks=[Note("first", True), Note("second", False)])
    whole = [(name, "end", 5, 1) for name in ("first", "second")]  # a phase that was stopped counts as gone through
    assert seen == [("first", 1), ("second", 1), *whole]


def test_diagnose_adds_figures_in_the_phases_named(line, go):
    phases = [Phase("a", 1, [line.objective()]), Phase("b", 2, [line.objective()])]
    history = go(line, phases, callbacks=[Diagnose(lambda: {"bias": float(line.bias.detach())}, ("b",))])
    assert ["diagnostics" in r for r in history] == [False, True, True]
    assert history[-1]["diagnostics"] == {"bias": float(line.bias.detach())}


def test_callbacks_see_start_epochs_and_end_also_after_an_error(line, go):
    calls = []

    class Watch(Callback):
        def on_run_start(self, state):
            calls.append(("start", state.epochs_done))

        def on_epoch_end(self, state):
            calls.append((state.phase_name, state.epoch))
            if state.epochs_done == 2:
                raise RuntimeError("stop")

        def on_run_end(self, state):
            calls.append(("end", state.epochs_done))

    with pytest.raises(RuntimeError, match="stop"):
        go(line, Phase("p", 5, [line.objective()]), callbacks=[Watch()])
    assert calls == [("start", 0), ("p", 1), ("p", 2), ("end", 2)]


def test_at_the_end_of_a_run_callbacks_see_its_last_phase(line, go):
    seen = []

    class Watch(Callback):
        def on_run_end(self, state):
            seen.append((state.phase_name, state.epoch))

    go(line, [Phase("a", 1, [line.objective()]), Phase("b", 2, [line.objective()])], callbacks=[Watch()])
    assert seen == [("b", 2)]


def failing(line, at, value):
    """An objective whose term "sick" becomes `value` at its call number `at`, from 0."""
    calls = []

    def terms(batch):
        calls.append(None)
        return line.square(batch) | {"sick": Term(line.bias.sum() * (value if len(calls) == at + 1 else 1.0))}

    return Objective(terms, [line.weight, line.bias])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3, 4, 5])
def test_a_term_that_is_not_finite_is_named_and_the_last_finite_epoch_kept(line, go, at, value):
    states = [{k: v.clone() for k, v in line.state_dict().items()}]

    class Keep(Callback):
        def on_epoch_end(self, state):
            states.append({k: v.clone() for k, v in state.module.state_dict().items()})

    with pytest.raises(DivergedError) as caught:
        go(line, [Phase("sound", 0, []), Phase("ill", 4, [failing(line, at, value)])], callbacks=[Keep()])
    assert (caught.value.phase, caught.value.step, caught.value.term) == ("ill", at, "sick")
    assert len(states) == 1 + at // 3
    torch.testing.assert_close(line.state_dict(), states[-1], rtol=0, atol=0)


def test_an_epoch_after_which_a_callback_finds_divergence_is_undone(line, go):
    states, lengths = [], []

    class Watch(Callback):
        def on_epoch_end(self, state):
            if state.epochs_done == 3:
                raise DivergedError(state.phase_name, state.step, "figure")
            states.append(deepcopy(state.module.state_dict()))

        def on_run_end(self, state):
            lengths.append(state.epochs_done)

    with pytest.raises(DivergedError, match="figure"):
        go(line, Phase("p", 5, [line.objective()]), callbacks=[Watch()])
    torch.testing.assert_close(line.state_dict(), states[-1], rtol=0, atol=0)
    assert (len(states), lengths) == (2, [2])


def test_the_step_of_an_error_counts_optimiser_steps(line, go):
    with pytest.raises(DivergedError) as caught:
        go(line, Phase("p", 1, [failing(line, 4, math.nan)]), batch_size=4, accumulate=2)
    assert caught.value.step == 2


def test_a_gradient_that_is_not_finite_never_leaves_the_module_so(go):
    """The loss is finite, the square root's slope at 0 is not: the last step of the epoch spoils the parameter."""
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(2))
    phase = Phase("p", 3, [Objective(lambda batch: {"root": Term(module.w.square().sum().sqrt())}, [module.w])])
    with pytest.raises(DivergedError):
        go(module, phase, batch_size=24)
    assert bool(torch.isfinite(module.w).all())


def test_a_run_whose_very_last_step_is_not_finite_is_noticed(go):
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(2))
    phase = Phase("p", 1, [Objective(lambda batch: {"root": Term(module.w.square().sum().sqrt())}, [module.w])])
    with pytest.raises(DivergedError) as caught:
        go(module, phase, batch_size=24)
    assert (caught.value.phase, caught.value.step, caught.value.term) == ("p", 0, "gradient of w")
    assert bool(torch.isfinite(module.w).all())


def test_bf16_runs_matrix_products_only(go, rows):
    module = nn.Linear(3, 2)
    seen = {}

    def terms(batch):
        out = module(batch.x)
        seen["product"], seen["parameter"] = out.dtype, module.weight.dtype
        return {"square": Term(out.float().square().mean())}

    history = go(module, Phase("p", 20, [Objective(terms, list(module.parameters()))]), precision="bf16")
    assert seen == {"product": torch.bfloat16, "parameter": torch.float32}
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]


@pytest.mark.parametrize("large", [True, False])
def test_the_size_of_one_restart_says_whether_products_are_routed(line, loader_of, rows, monkeypatch, large):
    asked, entered, member = [], [], nn.Linear(2, 2)
    routed = lambda: contextlib.nullcontext(entered.append(1))  # noqa: E731
    monkeypatch.setattr("steinmix.training.stepper.is_large", lambda module: asked.append(module) or large)
    monkeypatch.setattr("steinmix.training.stepper.onednn_products", routed)
    optimizer, phase = torch.optim.SGD([line.weight, line.bias], lr=0.1), Phase("p", 1, [line.objective()])
    stepper = Stepper(line, phase, [optimizer], Training(precision="fp32"), torch.device("cpu"), member)
    stepper.epoch(loader_of(rows), 0)
    assert asked == [member]
    assert entered == [1] * large


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_the_optimiser_sees_the_diversified_direction_as_its_gradient(go, optimizer, normal):
    """Through the loop equals by hand: gradient set to minus phi, then the same optimiser."""
    start = normal(5, 2, dtype=torch.float32)
    module = nn.Module()
    module.theta = nn.Parameter(start.clone())
    terms = lambda batch: {"f": Term((module.theta - 1).square().sum())}  # noqa: E731
    objective = Objective(terms, [module.theta], Particles([module.theta]), NSVGD(2.0))
    go(module, Phase("p", 7, [objective]), batch_size=24, optimizer=optimizer, lr=0.05)

    theta = nn.Parameter(start.clone())
    by_hand = OPTIMIZERS[optimizer]([theta], lr=0.05)
    for _ in range(7):
        theta.grad = -NSVGD(2.0)(theta.detach(), -2 * (theta.detach() - 1))
        by_hand.step()
    torch.testing.assert_close(module.theta.detach(), theta.detach(), rtol=1e-4, atol=1e-5)


def test_a_run_touches_no_global_generator(line, go, global_generators):
    before = global_generators()
    go(line, Phase("p", 2, [line.objective()]), optimizer="adam")
    assert global_generators() == before


def test_parameters_are_left_without_gradients(line, go):
    go(line, Phase("p", 1, [line.objective()]))
    assert all(p.grad is None for p in line.parameters())


@pytest.mark.parametrize("kind", ["resident", "read", "streamed"])
def test_every_way_of_reading_trains(line, go, rows, streamed, kind):
    x = streamed(rows) if kind == "streamed" else rows
    history = go(line, Phase("p", 10, [line.objective()]), x, resident_bytes=0 if kind == "read" else 2**31)
    assert history[-1]["square"] < 0.1 * history[0]["square"]


def test_a_batch_of_distinct_rows_expands_what_was_computed_of_them():
    values = torch.arange(6.0).reshape(3, 2)
    assert Batch(values, torch.arange(3)).expand(values) is values
    index = torch.tensor([2, 0, 2, 1])
    assert torch.equal(Batch(values, torch.arange(4), index).expand(values), values[index])


def test_a_stacked_batch_of_distinct_rows_expands_each_restart_by_its_own_numbers():
    index = torch.tensor([[2, 0, 2, 1], [1, 1, 0, 2]])
    for values in (torch.arange(6.0).reshape(2, 3), torch.arange(24.0).reshape(2, 3, 2, 2)):
        expected = torch.stack([values[r][index[r]] for r in range(2)])
        assert torch.equal(Batch(values, torch.zeros(2, 4), index).expand(values), expected)
