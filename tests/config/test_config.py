"""Every option of every group composes and builds."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, built
from hydra import compose, initialize_config_dir
from test_own_data import small_cifar10, small_omniglot, write_images

from vae_lab.config import schema
from vae_lab.config.commands import COMMANDS
from vae_lab.config.instantiate import instantiate
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator
from vae_lab.evaluation.measures import Measures
from vae_lab.files.paths import CONF
from vae_lab.runs import signature
from vae_lab.training.build import build_run
from vae_lab.training.settings import Settings

GROUPS = {
    "dataset": [],
    "model": [],
    "model/encoder": [],
    "model/decoder": [],
    "model/posterior": [],
    "model/likelihood": [],
    "model/network": ["model=autoregressive"],
    "model/prior": [],
    "estimator": [],
    "estimator/baseline": ["estimator=score_function", "estimator.num_samples=2", "estimator.kl=sampled"],
    "noise": ["estimator.num_samples=2"],
    "callbacks": [],
    "optimizer": [],
    "optimizer/schedule": ["optimizer.schedule.T_max=10"],
    "trainer": [],
    "evaluation": [],
    "evaluation/fit": [],
    "logger": [],
    "experiment": [],
}
OF_GRADIENTS = {"estimators", "probe"}
OF_EVALUATE = {"measures"}
OF_DISCRETE = {"arm", "disarm", "enumeration", "gumbel_softmax", "rebar", "relax", "straight_through"}
OF_HYDRA = {"hydra/launcher", "hydra/sweeper"}  # chosen one by one in the tests of sweeps
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


def test_every_folder_of_options_is_tested():
    folders = {str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml")} - {"."}
    assert folders == set(GROUPS) | OF_GRADIENTS | OF_EVALUATE | OF_HYDRA


def test_what_stands_outside_the_groups_is_a_command_or_common_to_several():
    common = {"command", "application", "elbo", "direct_fit"}
    of_commands = {name for name in COMMANDS if COMMANDS[name].has_configuration}
    assert {path.stem for path in CONF.glob("*.yaml")} == of_commands | common


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, path.stem) for group in sorted(OF_GRADIENTS) for path in sorted((CONF / group).glob("*.yaml"))],
    ids="/".join,
)
def test_option_of_gradients(group, option):
    schema.register_schemas()
    signature.register_signature()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("gradients", [f"{group}={option}"])
    assert instantiate(cfg.probe, "probe").num_replicates >= 2
    for name in cfg.estimators:
        assert isinstance(instantiate(cfg.estimators[name], name), Estimator)


@pytest.mark.parametrize("option", [path.stem for path in sorted((CONF / "measures").glob("*.yaml"))])
def test_option_of_evaluate(option):
    schema.register_schemas()
    signature.register_signature()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"measures={option}", "run=some"])
    assert isinstance(instantiate(cfg.measures, "measures"), Measures)
    assert len(signature.signature(cfg)) == 12


def test_the_readme_names_the_run_that_its_command_makes():
    schema.register_schemas()
    signature.register_signature()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made = signature.signature(compose("train", []))
    readme = (REPOSITORY / "README.md").read_text()
    assert f"in outputs/runs/{made}\n" in readme


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids="/".join)
def test_option(group, option, request, monkeypatch, tmp_path):
    of_files = ("mnist", "fashion_mnist", "frey_face", "frey_face_1500", "binarized_mnist")
    if option in of_files or group == "experiment":
        request.getfixturevalue("real_data")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    overrides = [f"{group}={option}"]
    if option in ("gpu", "ddp"):
        overrides.append("trainer.accelerator=cpu")  # no GPU where the tests run
    if option in ("cosine", "mohamed2020") or group != "optimizer/schedule":
        overrides += GROUPS[group]
    if option == "maximum_likelihood":
        overrides.append("model=autoregressive")
    if option == "exact":
        overrides.append("model=pixelcnn")
    if option == "none" and group in ("estimator", "optimizer", "trainer", "evaluation"):
        overrides = ["model=ppca"]  # which chooses them all
    elif option in ("none", "monte_carlo_em") and group in ("model/encoder", "estimator"):
        overrides += ["estimator=monte_carlo_em", "model/encoder=none", "evaluation=marginal_likelihood"]
        overrides.remove(f"{group}={option}")
    of_flow = (group, option) == ("model/posterior", "flow")
    if option in ("hierarchical", "burda2016_two_layers") or group == "model/prior" or of_flow:
        overrides.append("estimator.kl=sampled")
    if group == "model/likelihood" and option in ("categorical", "discretized_logistic"):
        overrides += ["dataset.binarize=none", "model.likelihood.levels=17"]
    if option == "beta":
        overrides += ["dataset.binarize=none", "dataset.dequantize=true"]
    if option == "hierarchical":
        overrides += ["model/posterior=hierarchical", "model/prior=hierarchical"]
        overrides.remove(f"{group}={option}")
    families = ("cauchy", "exponential", "gamma", "weibull")
    if group in ("model/posterior", "model/prior") and option in families:
        other = "cauchy" if option == "cauchy" else "exponential"
        overrides += [f"model/prior={other}"] if group == "model/posterior" else [f"model/posterior={option}"]
    if group in ("model/posterior", "model/prior") and option in ("bernoulli", "categorical"):
        overrides = [f"model/posterior={option}", f"model/prior={option}"]
        overrides += ["estimator=rloo", "model.latent_dim=20"]
    if group == "estimator" and option in OF_DISCRETE:
        overrides += ["model/posterior=bernoulli", "model/prior=bernoulli"]
    if option == "shift":
        overrides += ["dataset=ppca", "model.latent_dim=10", "model/likelihood=gaussian_fixed"]
    if option == "rainforth2018":
        overrides += ["dataset=ppca", "dataset.data_dim=20"]
    if option in ("breast_cancer", "logistic_regression"):
        overrides = ["dataset=breast_cancer", "model=logistic_regression"]
    if option in ("cost", "identity"):
        overrides += ["model/decoder=identity", "model/likelihood=cost"]
    if option == "array":
        np.save(tmp_path / "x.npy", np.zeros((200, 8, 8), dtype=np.uint8))
        overrides.append(f"dataset.path={tmp_path}/x.npy")
    if option == "table":
        rows = np.random.default_rng(0).normal(size=(200, 3))
        np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c", comments="")
        overrides += [f"dataset.path={tmp_path}/t.csv", "model/likelihood=gaussian"]
    if option == "image_folder":
        write_images(tmp_path / "images", number=130)
        overrides += [f"dataset.path={tmp_path}/images", "model/likelihood=continuous_bernoulli"]
    if option in ("cifar10", "omniglot"):
        overrides += [f"dataset.root={tmp_path}", "dataset.validation_size=5", "dataset.batch_size=10"]
    if option == "ppca" and group == "dataset":
        overrides.append("model/likelihood=gaussian")
    schema.register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides)
    if option in ("cifar10", "omniglot"):
        cfg.dataset.files = {"cifar10": small_cifar10, "omniglot": small_omniglot}[option](tmp_path)
    parts = build_run(Settings.of(cfg), Path("checkpoints"))
    assert len(parts.model.state_dict()) > 0


@pytest.mark.parametrize("model", ["burda2016", "burda2016_two_layers"])
def test_the_models_of_burda_begin_at_the_mean_image(model):
    parts = built("experiment=burda2016", "dataset=digits", f"model={model}", "estimator.num_samples=2")
    vae, x = parts.vae, parts.dataset.data.train.x
    with torch.no_grad():
        vae.decoder.layers[-1].weight.zero_()
        pixels = vae.decode(torch.zeros(1, 1, vae.latent_dim))
    torch.testing.assert_close(pixels.mean[0, 0], x.mean(0).clamp(0.001, 0.999))
    at_zero = built("dataset=digits", f"model={model}", "estimator.kl=sampled").vae.decoder.layers[-1].bias
    assert at_zero.abs().max() == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=conv"], "model.starts_at_mean sets the last biases of model/decoder=mlp, and Convolutional"),
        (
            ["model/likelihood=gaussian", "dataset.binarize=none"],
            "model.starts_at_mean: Gaussian has more parameters than a mean; use bernoulli.",
        ),
    ],
)
def test_models_that_cannot_begin_at_the_mean(overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        built("+model.starts_at_mean=true", *overrides)


@pytest.mark.parametrize("latent_dim", [1, 1000])
@pytest.mark.parametrize("model", ["mlp", "kingma2014", "relu2", "conv", "linear"])
def test_latent_dim_from_one_to_a_thousand(model, latent_dim):
    assert built(f"model={model}", f"model.latent_dim={latent_dim}").vae.latent_dim == latent_dim
