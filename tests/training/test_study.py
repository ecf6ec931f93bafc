import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from steinmix import NSVGD, RBF, ConfigError, DataError, LogDet, NoDiversity, NormalPrior, Pairwise, Training
from steinmix.mixtures import DiagonalMixture
from steinmix.objective import Objective, Phase, Term
from steinmix.random import Streams
from steinmix.training import Cosine, StepDecay, run
from steinmix.training.study import Arm, Problem, Study

CODE = NSVGD(kernel=RBF("median_squared_with_zeros"), row_normalised=True)
DIVERSIFIERS = {
    "none": NoDiversity(),
    "nsvgd": NSVGD(),
    "nsvgd with prior": NSVGD(prior=NormalPrior(0.5, 2.0)),
    "nsvgd of the code": CODE,
    "pairwise": Pairwise(),
    "logdet": LogDet(),
}
N, BATCH = 96, 16


def problem(seed, m=4, d=1, n=N):
    """Rows of m groups, in float64 so that runs can be compared closely."""
    rng = Streams(seed).numpy("rows")
    x = torch.from_numpy(rng.normal(size=(n, d)) + 4 * rng.integers(m, size=(n, 1)))
    return Problem(x, torch.from_numpy(2 * rng.normal(size=(m, d))), torch.zeros(m, d).double(), Streams(seed))


def by_the_loop(one, arm, alpha, epochs, loader_of):
    """The same run by the engine: autograd, particles, optimiser, projection."""
    mixture = DiagonalMixture(*one.means.shape, learn_weights=False, log_var_range=(-3, 3)).double()
    with torch.no_grad():
        mixture.means.copy_(one.means)
        mixture.log_vars.copy_(one.log_vars)
    plain = isinstance(arm.diversifier, NoDiversity)
    diversifier = arm.diversifier if plain else replace(arm.diversifier, alpha=alpha)
    terms = lambda batch: {"f": Term(-mixture.log_prob(batch.x).mean())}  # noqa: E731
    objective = Objective(terms, mixture.component_parameters(), mixture.particles(), diversifier)
    training = Training(batch_size=BATCH, optimizer=arm.optimizer, schedule=arm.lr_schedule, progress=False)
    loader = loader_of(one.x.numpy(), BATCH, Streams(one.streams.seed), torch.Tensor.double)
    run(mixture, [Phase("p", epochs, [objective], after_step=mixture.project_)], loader, training, Streams(0), arm.lr)
    return mixture.means.detach(), mixture.log_vars.detach()


@pytest.mark.parametrize("name", DIVERSIFIERS)
@pytest.mark.parametrize("optimizer", ["tf_adagrad", "tf_rmsprop", "sgd"])
@pytest.mark.parametrize("d", [1, 2])
def test_a_run_is_the_run_of_the_loop(name, optimizer, d, loader_of):
    arm = Arm(DIVERSIFIERS[name], (0.3,), optimizer, 0.07, lr_schedule=Cosine(0.1))
    fitted = Study([arm], 5 * (N // BATCH), BATCH).run([problem(3, d=d)])
    means, log_vars = by_the_loop(problem(3, d=d), arm, 0.3, 5, loader_of)
    torch.testing.assert_close(fitted.means[0, 0], means, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(fitted.log_vars[0, 0], log_vars, rtol=1e-7, atol=1e-8)


def test_a_run_does_not_depend_on_the_rest_of_the_study():
    arms = [
        Arm(d, (0.3,) if name == "none" else (1.0, 0.1), o)
        for name, d in DIVERSIFIERS.items()
        for o in ("tf_adagrad", "sgd")
    ]
    whole = Study(arms, 30, BATCH).run([problem(seed) for seed in range(4)])
    position = 0
    for arm in arms:
        for alpha in arm.alphas:
            alone = Study([replace(arm, alphas=(alpha,))], 30, BATCH).run([problem(2)])
            torch.testing.assert_close(alone.means[0, 0], whole.means[2, position], rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(alone.log_vars[0, 0], whole.log_vars[2, position], rtol=1e-9, atol=1e-10)
            position += 1
    assert position == whole.means.shape[1]


def test_strengths_follow_their_schedule():
    """Decayed to nothing after the first of two passes, a penalty acts in the first alone."""
    drop = StepDecay(every=1, rate=1e-30)
    half, steps = N // BATCH, 2 * (N // BATCH)
    dropped = Study([Arm(Pairwise(), (0.5,), "sgd", alpha_schedule=drop)], steps, BATCH).run([problem(1)])
    first = Study([Arm(Pairwise(), (0.5,), "sgd")], half, BATCH).run([problem(1)])
    later = problem(1)._replace(means=first.means[0, 0], log_vars=first.log_vars[0, 0])
    torch.randperm(N, generator=later.streams.torch("order"))  # the first pass is behind
    second = Study([Arm(optimizer="sgd")], half, BATCH).run([later])
    torch.testing.assert_close(dropped.means, second.means, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("scale", "limit"), [(100.0, 0.2), (0.01, -0.1)])
def test_log_variances_stay_in_their_range(scale, limit):
    one = problem(0)
    one = one._replace(x=one.x * scale, means=one.means * scale)
    fitted = Study([Arm(lr=0.5)], 20, BATCH, log_var_range=(-0.1, 0.2)).run([one])
    reached = fitted.log_vars.max() if limit > 0 else fitted.log_vars.min()
    assert float(reached) == pytest.approx(limit)


def test_every_row_is_seen_once_a_pass_and_steps_are_counted(monkeypatch):
    from steinmix.training import study

    seen = []
    monkeypatch.setattr(study._Ascent, "advance", lambda self, x: seen.append(x.clone()))
    Study([Arm()], 14, BATCH).run([problem(seed, n=N) for seed in range(2)])
    assert [tuple(x.shape) for x in seen] == [(2, 1, 1, BATCH)] * 14
    for s in range(2):
        rows = torch.cat([x[s, 0, 0] for x in seen[:6]])
        torch.testing.assert_close(rows.sort().values, problem(s).x.flatten().sort().values)
    assert not torch.equal(seen[0], seen[6])


def test_fewer_rows_than_a_batch_make_one_batch():
    assert Study([Arm()], 3, 256).run([problem(0)]).means.shape == (1, 1, 4, 1)


def test_it_touches_no_global_generator(global_generators):
    before = global_generators()
    Study([Arm(NSVGD(), (0.5,))], 3, BATCH).run([problem(0)])
    assert global_generators() == before


@pytest.mark.parametrize(
    ("arms", "settings", "message"),
    [
        ([], {}, "arms is empty"),
        ([Arm()], {"steps": -1}, "steps is -1"),
        ([Arm(optimizer="newton")], {}, "optimizer is 'newton'.*expected"),
        ([Arm(NSVGD(), ())], {}, "alphas is empty"),
        ([Arm(NSVGD(), (1.0, -2.0))], {}, "alpha is -2"),
    ],
)
def test_what_cannot_work_is_named(arms, settings, message):
    with pytest.raises(ConfigError, match=message):
        Study(arms, **settings).run([problem(0)])


def test_problems_of_different_shapes_are_refused():
    with pytest.raises(DataError, match="2 shapes"):
        Study([Arm()]).run([problem(0), problem(0, m=3)])
    with pytest.raises(DataError, match="0 shapes"):
        Study([Arm()]).run([])


def test_runs_may_have_starts_of_their_own():
    arms = [Arm(), Arm(NSVGD(), (1.0, 0.1))]
    first = Study(arms, 6, BATCH).run([problem(0), problem(1)])
    again = [p._replace(means=m, log_vars=v) for p, m, v in zip((problem(0), problem(1)), *first)]
    second = Study(arms, 6, BATCH).run(again)
    alone = problem(1)._replace(means=first.means[1, 2], log_vars=first.log_vars[1, 2])
    expected = Study([Arm(NSVGD(), (0.1,))], 6, BATCH).run([alone])
    torch.testing.assert_close(second.means[1, 2], expected.means[0, 0], rtol=1e-9, atol=1e-10)
    with pytest.raises(DataError, match="starts for 3 runs, expected one for each of 1"):
        Study([Arm()]).run(again)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_it_computes_the_same():
    arms = [Arm(DIVERSIFIERS[name], (0.5,), "tf_rmsprop") for name in ("nsvgd with prior", "logdet")]
    plain, compiled = (
        Study(arms, 14, BATCH, compile=c).run([problem(s, m=2) for s in range(2)]) for c in (False, True)
    )
    np.testing.assert_allclose(compiled.means, plain.means, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(compiled.log_vars, plain.log_vars, rtol=1e-9, atol=1e-10)
