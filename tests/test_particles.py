import pytest
import torch
from torch import nn

from steinmix import NSVGD, RBF, ConfigError, NoDiversity, NoParticlesError, Particles
from steinmix.objective import Objective


@pytest.fixture
def parameters(normal):
    """Three components: a vector, a matrix and a number each."""
    return [nn.Parameter(normal(3, 2)), nn.Parameter(normal(3, 2, 2)), nn.Parameter(normal(3))]


def test_a_row_holds_the_parameters_of_one_component_in_order(parameters):
    rows = Particles(parameters).rows()
    for i, row in enumerate(rows):
        expected = [v for p in parameters for v in p[i].detach().flatten().tolist()]
        assert row.tolist() == expected
    assert len(Particles(parameters)) == 3
    assert repr(Particles(parameters)) == "Particles(m=3, p=7)"


def test_rows_are_a_detached_copy(parameters):
    for some in (parameters, parameters[:1]):
        rows = Particles(some).rows()
        before = some[0].detach().clone()
        assert not rows.requires_grad
        rows.zero_()
        assert torch.equal(some[0].detach(), before)


def test_the_diversifier_gets_the_ascent_direction_and_its_answer_is_descended(parameters, normal):
    seen = {}
    for p in parameters:
        p.grad = normal(*p.shape)
    before = torch.cat([p.grad.reshape(3, -1) for p in parameters], -1).clone()

    def diversifier(theta, ascent):
        seen["theta"], seen["ascent"] = theta, ascent
        return 2 * ascent + theta

    Particles(parameters).diversify_(diversifier)
    rows = Particles(parameters).rows()
    assert torch.equal(seen["theta"], rows)
    assert torch.equal(seen["ascent"], -before)
    after = torch.cat([p.grad.reshape(3, -1) for p in parameters], -1)
    assert torch.equal(after, 2 * before - rows)


def test_neutral_diversifier_leaves_every_bit_of_the_gradient(parameters, normal):
    for p in parameters:
        p.grad = normal(*p.shape)
    before = [p.grad.clone() for p in parameters]
    Particles(parameters).diversify_(NoDiversity())
    assert all(torch.equal(p.grad, b) for p, b in zip(parameters, before))


def test_a_missing_gradient_counts_as_zero(parameters):
    parameters[0].grad = torch.ones(3, 2, dtype=torch.float64)
    Particles(parameters).diversify_(lambda theta, ascent: ascent + 1)
    assert parameters[0].grad.eq(0).all()
    assert parameters[1].grad.eq(-1).all()
    assert parameters[2].grad.eq(-1).all()


def test_gradients_are_written_in_place(parameters):
    parameters[0].grad = kept = torch.zeros(3, 2, dtype=torch.float64)
    Particles(parameters).diversify_(NSVGD(1.0))
    assert parameters[0].grad is kept
    assert bool(kept.abs().sum() > 0)


def test_axes_before_the_components_are_kept(normal):
    means, scales = nn.Parameter(normal(2, 4, 3, 5)), nn.Parameter(normal(2, 4, 3))
    theta = Particles([means, scales], batch_dims=2)
    assert theta.rows().shape == (2, 4, 3, 6)
    assert len(theta) == 3
    theta.diversify_(NSVGD(0.5, RBF(1.0)))
    alone = Particles([nn.Parameter(means.detach()[1, 2]), nn.Parameter(scales.detach()[1, 2])])
    alone.diversify_(NSVGD(0.5, RBF(1.0)))
    torch.testing.assert_close(means.grad[1, 2], alone.parameters[0].grad)
    torch.testing.assert_close(scales.grad[1, 2], alone.parameters[1].grad)


def test_parameters_must_agree_on_the_number_of_components():
    with pytest.raises(ConfigError, match="no list of tensors"):
        Particles([])
    with pytest.raises(ConfigError, match=r"shapes \(3, 2\), \(4, 2\)"):
        Particles([torch.zeros(3, 2), torch.zeros(4, 2)])
    with pytest.raises(ConfigError, match="first 2 axes must agree"):
        Particles([torch.zeros(3)], batch_dims=1)


def test_an_objective_with_a_diversifier_needs_particles():
    with pytest.raises(NoParticlesError, match="NSVGD needs particles"):
        Objective(lambda batch: {}, [], diversifier=NSVGD(1.0))
    for neutral in (None, NoDiversity()):
        Objective(lambda batch: {}, [], diversifier=neutral)


def test_an_objective_lists_the_parameters_of_all_groups():
    a, b, c = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    found = Objective(lambda batch: {}, [{"params": [a, b], "lr": 0.1}, {"params": [c]}]).parameters()
    assert [id(p) for p in found] == [id(a), id(b), id(c)]
    assert [id(p) for p in Objective(lambda batch: {}, [a, c]).parameters()] == [id(a), id(c)]


def test_what_is_no_list_of_parameters_is_refused():
    means = nn.Parameter(torch.zeros(3, 2))
    for wrong in (means, nn.Linear(2, 3), [means * 2], [means, "means"], 3):
        with pytest.raises(ConfigError, match="Particles got"):
            Particles(wrong)


def test_a_tensor_that_comes_twice_is_refused():
    """It would stand in the matrix twice, and half of its repulsion would be lost."""
    means = nn.Parameter(torch.zeros(3, 2))
    with pytest.raises(ConfigError, match=r"one tensor twice, among those of shapes \[\(3, 2\), \(3, 2\)\]"):
        Particles([means, means])
    assert len(Particles([means, nn.Parameter(torch.zeros(3, 2))])) == 3


@pytest.mark.parametrize("wrong", [-1, 1.0, "1"])
def test_axes_before_the_components_are_a_number(wrong):
    with pytest.raises(ConfigError, match=r"batch_dims is .*; expected how many axes stand before m, 0 or more"):
        Particles([nn.Parameter(torch.zeros(3, 2))], batch_dims=wrong)


def test_a_frozen_parameter_stays():
    means, scales = nn.Parameter(torch.rand(3, 2)), torch.rand(3, 2)
    before = scales.clone()
    Particles([means, scales]).diversify_(NSVGD(1.0))
    torch.optim.Adam([means, scales], lr=0.1).step()
    assert torch.equal(scales, before)
    assert bool(means.grad.abs().sum() > 0)


def test_a_class_is_no_diversifier():
    theta = torch.nn.Parameter(torch.zeros(3, 2))
    with pytest.raises(ConfigError, match=r"diversifier is the class NSVGD; expected an object, NSVGD\(\)"):
        Particles([theta]).diversify_(NSVGD)


@pytest.mark.parametrize("wrong", [None, "NSVGD"])
def test_what_cannot_be_called_is_no_diversifier(wrong):
    with pytest.raises(ConfigError, match=r"diversifier is .*; expected an object, NSVGD\(\) or NoDiversity\(\)"):
        Particles([nn.Parameter(torch.zeros(3, 2))]).diversify_(wrong)


@pytest.mark.parametrize("answer", [lambda theta, ascent: None, lambda theta, ascent: ascent[:1]])
def test_an_answer_of_another_shape_is_refused(answer):
    with pytest.raises(ConfigError, match=r"the diversifier gave .*; expected a direction of shape \(3, 2\)"):
        Particles([torch.zeros(3, 2)]).diversify_(answer)
