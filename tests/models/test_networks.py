import pytest
import torch

from vae_lab.models.networks import (
    MLP,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    Linear,
    ResidualDecoder,
    ResidualEncoder,
    Shift,
)

SHAPES = [(1, 8, 8), (1, 28, 28), (1, 28, 20), (3, 32, 17), (2, 5, 1), (1, 1, 1)]
ENCODERS = {
    "mlp": lambda shape: MLP(shape, (4,), hidden=[16, 8], activation="tanh"),
    "linear": lambda shape: Linear(shape, (4,)),
    "conv": lambda shape: ConvolutionalEncoder(shape, (4,), channels=[4, 8, 16]),
    "residual": lambda shape: ResidualEncoder(shape, (4,), channels=[4, 8, 6]),
    "residual_without_norm": lambda shape: ResidualEncoder(shape, (4,), channels=[4, 8], norm="none"),
}
DECODERS = {
    "mlp": lambda shape: MLP((4,), shape, hidden=[16, 8]),
    "linear": lambda shape: Linear((4,), shape),
    "conv": lambda shape: ConvolutionalDecoder((4,), shape, channels=[16, 8, 4]),
    "residual": lambda shape: ResidualDecoder((4,), shape, channels=[6, 8, 4]),
    "residual_without_norm": lambda shape: ResidualDecoder((4,), shape, channels=[8, 4], norm="none"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_take_any_shape(encoder, shape):
    network = ENCODERS[encoder](shape)
    assert network(torch.rand(6, *shape)).shape == (6, 4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_give_any_shape_and_every_parameter_a_gradient(decoder, shape):
    network = DECODERS[decoder](shape)
    outputs = network(torch.rand(6, 4))
    assert outputs.shape == (6, *shape)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_datum_does_not_depend_on_its_batch(decoder):
    network = DECODERS[decoder]((1, 8, 8)).double()
    z = torch.rand(6, 4, dtype=torch.float64)
    assert torch.allclose(network(z)[2:3], network(z[2:3]))


def test_init_std_is_the_standard_deviation_of_every_parameter():
    torch.manual_seed(0)
    network = MLP((784,), (784,), hidden=[500], init_std=0.01)
    for parameter in network.parameters():
        assert parameter.std().item() == pytest.approx(0.01, rel=5 / (2 * parameter.numel()) ** 0.5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_said_of_a_datum_does_not_depend_on_its_batch(encoder):
    network = ENCODERS[encoder]((1, 8, 8)).double()
    x = torch.rand(6, 1, 8, 8, dtype=torch.float64)
    assert torch.allclose(network(x)[2:3], network(x[2:3]))


@pytest.mark.parametrize("network", [ResidualEncoder, ResidualDecoder])
def test_a_norm_that_a_batch_shares_is_refused(network):
    with pytest.raises(ValueError, match="norm must not be batch: the bound of a datum would depend on"):
        network((1, 8, 8), (1, 8, 8), channels=[4], norm="batch")


CONVOLUTIONAL = [ConvolutionalEncoder, ConvolutionalDecoder, ResidualEncoder, ResidualDecoder]


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_convolutions_refuse_vectors(network):
    with pytest.raises(ValueError, match=r"needs images of shape \(C, H, W\), got data of shape \(10,\)"):
        network((10,), (10,), channels=[4])


def test_glorot_bounds_the_weights_and_leaves_out_the_biases():
    network = MLP((50,), (70,), hidden=[200], init="glorot")
    for layer in (network.layers[0], network.layers[2]):
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert (layer.bias == 0).all()
    with pytest.raises(ValueError, match=r"init_std must be null with init=glorot, got 0\.1"):
        MLP((2,), (2,), hidden=[], init_std=0.1, init="glorot")


def test_shift_adds_a_learned_vector():
    network = Shift((4,), (1, 2, 2))
    with torch.no_grad():
        network.bias.copy_(torch.arange(4.0))
    assert network(torch.ones(3, 4))[0].flatten().tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="needs as many outputs as inputs, got 4 and 3"):
        Shift((3,), (1, 2, 2))


def test_bad_widths():
    with pytest.raises(ValueError, match=r"hidden must hold widths of at least 1, got \[8, 0\]"):
        MLP((2,), (2,), hidden=[8, 0])
    with pytest.raises(ValueError, match=r"channels must hold .* got \[\]"):
        ConvolutionalEncoder((1, 8, 8), (2,), channels=[])
    with pytest.raises(ValueError, match="init_std must be above 0 or null, got -1"):
        MLP((2,), (2,), hidden=[8], init_std=-1)
