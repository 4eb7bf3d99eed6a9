"""Keys and options that a user may have meant: by their name elsewhere, by the field's words, by spelling."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig

from vae_lab.config.options import groups, option_file, options_of
from vae_lab.errors import nearest_name

# What else a key is called; of those that the configuration has, all are offered.
KEYS = {
    ("epochs", "epoch", "num_epochs", "n_epochs", "max_epoch"): ["trainer.max_epochs"],
    ("steps", "max_steps", "num_steps", "iterations", "iters", "budget"): ["trainer.max_samples"],
    ("learning_rate", "step_size", "stepsize", "eta"): ["optimizer.lr"],
    ("z_dim", "zdim", "latent", "latents", "latent_size", "latent_dims", "num_latents", "n_latents"): [
        "model.latent_dim"
    ],
    ("dim", "dim_z", "z", "code_size", "bottleneck", "embedding_dim", "d"): ["model.latent_dim"],
    ("hidden_dim", "hidden_dims", "hidden_size", "hidden_sizes", "hidden_units", "h_dim"): [
        "model.encoder.hidden",
        "model.decoder.hidden",
    ],
    ("layers", "units", "width", "widths"): ["model.encoder.hidden", "model.decoder.hidden"],
    ("batch", "bs", "batchsize", "minibatch", "minibatch_size"): ["dataset.batch_size"],
    ("k", "l", "s", "samples", "n_samples", "num_samples", "particles", "num_particles", "iw_samples"): [
        "estimator.num_samples",
        "measures.importance_samples",
        "importance_samples",
        "number",
    ],
    ("kl_weight", "kl_coeff", "b"): ["estimator.beta"],
    ("anneal", "annealing", "kl_annealing", "warmup", "kl_warmup"): ["estimator.warm_up"],
    ("tau", "temp"): ["estimator.temperature", "temperature"],
    ("gpu", "gpus", "cuda", "device"): ["trainer.accelerator=gpu"],
    ("n_gpus", "num_gpus", "world_size"): ["trainer.devices"],
    ("workers", "n_workers", "num_workers"): ["dataset.num_workers", "hydra.launcher.slots"],
    ("jobs", "n_jobs", "parallel", "slots"): ["hydra.launcher.slots"],
    ("launcher", "executor"): ["hydra/launcher"],
    ("threads",): ["hydra.launcher.threads"],
    ("output", "out_dir", "outdir", "out", "save_dir", "log_dir", "logdir", "results"): ["output_dir"],
    ("random_seed", "rng", "seeds"): ["seed"],
    ("l2", "wd", "decay"): ["optimizer.weight_decay"],
    ("data_dir", "data_path", "data_root"): ["dataset.root", "dataset.path"],
    ("val_size", "valid_size", "n_validation"): ["dataset.validation_size"],
    ("fp16", "amp", "half", "dtype", "bf16"): ["trainer.precision"],
    ("binarise", "binarization", "binary"): ["dataset.binarize"],
    ("scheduler", "lr_schedule", "lr_scheduler"): ["optimizer/schedule"],
    ("arch", "architecture", "net"): ["model"],
    ("objective", "bound", "gradient", "grad", "loss"): ["estimator"],
    ("opt", "optim"): ["optimizer"],
    ("data", "ds", "data_set"): ["dataset"],
    ("q", "guide", "variational_family"): ["model/posterior"],
    ("obs_model", "recon_loss", "observation_model"): ["model/likelihood"],
    ("ckpt", "checkpoint", "checkpoints", "save_every"): ["trainer.checkpoint_at"],
    ("eval_every", "val_every", "evaluate_every"): ["trainer.evaluate_at"],
    ("force", "overwrite", "redo"): ["rerun"],
    ("model_path", "checkpoint_path", "run_dir", "model_dir"): ["run"],
}

# What else an option is called.
OPTIONS = {
    ("reinforce", "score", "sf", "bbvi", "policy_gradient", "likelihood_ratio"): [
        "estimator=score_function",
        "estimators=single_sample",
    ],
    ("vae", "aevb", "sgvb", "elbo", "pathwise", "vanilla", "beta_vae", "betavae", "svi"): [
        "estimator=reparameterized",
        "model=mlp",
    ],
    ("reparam", "reparametrized", "reparameterised", "reparameterization", "reparametrization"): [
        "estimator=reparameterized"
    ],
    ("iw", "importance_weighted", "iw_elbo", "iwelbo"): ["estimator=iwae"],
    ("stl",): ["estimator=sticking_the_landing"],
    ("rws",): ["estimator=reweighted_wake_sleep"],
    ("ws", "helmholtz"): ["estimator=wake_sleep"],
    ("loo", "leave_one_out"): ["estimator=rloo", "estimator/baseline=leave_one_out"],
    ("gumbel", "concrete", "gs"): ["estimator=gumbel_softmax"],
    ("st", "ste"): ["estimator=straight_through"],
    ("mvd", "measure_valued_derivative"): ["estimator=measure_valued"],
    ("mcem", "em"): ["estimator=monte_carlo_em"],
    ("enumerate", "exact", "marginalize"): ["estimator=enumeration"],
    ("ae", "auto_encoder"): ["estimator=autoencoder"],
    ("fvb", "bayes", "bayesian"): ["estimator=full_variational_bayes"],
    ("mle", "ml"): ["estimator=maximum_likelihood"],
    ("cnn", "convolutional", "convnet", "dcgan"): ["model=conv", "model/encoder=conv", "model/decoder=conv"],
    ("fc", "dense", "fully_connected"): ["model=mlp", "model/encoder=mlp", "model/decoder=mlp"],
    ("resnet",): ["model=residual", "model/encoder=residual", "model/decoder=residual"],
    ("gmm", "mog"): ["model=gaussian_mixture", "model/prior=gaussian_mixture"],
    ("ladder", "lvae", "hvae", "two_layers"): ["model=burda2016_two_layers"],
    ("pca", "probabilistic_pca"): ["model=ppca", "dataset=ppca"],
    ("kingma", "kingma2013"): ["model=kingma2014", "experiment=kingma2014_mnist"],
    ("burda", "burda2015"): ["model=burda2016", "experiment=burda2016"],
    ("normal", "diagonal", "diag", "mean_field", "gauss"): [
        "model/posterior=gaussian",
        "model/prior=standard_normal",
        "model/likelihood=gaussian",
    ],
    ("gaussian", "standard_gaussian", "n01"): ["model/prior=standard_normal"],
    ("full_rank", "full_covariance"): ["model/posterior=full_gaussian"],
    ("iaf", "maf", "nsf", "normalizing_flow", "normalising_flow"): [
        "model/posterior=flow",
        "model/prior=flow",
    ],
    ("vampprior", "vamp_prior"): ["model/prior=vamp"],
    ("mse", "l2"): ["model/likelihood=gaussian_fixed"],
    ("bce", "cross_entropy"): ["model/likelihood=bernoulli"],
    ("cb",): ["model/likelihood=continuous_bernoulli"],
    ("logistic", "dmol"): ["model/likelihood=discretized_logistic"],
    ("fashion", "fashionmnist"): ["dataset=fashion_mnist"],
    ("cifar", "cifar_10"): ["dataset=cifar10"],
    ("frey", "freyface"): ["dataset=frey_face"],
    ("bmnist", "binary_mnist", "binarised_mnist"): ["dataset=binarized_mnist"],
    ("npy", "npz", "numpy"): ["dataset=array"],
    ("folder", "images", "imagefolder"): ["dataset=image_folder"],
    ("csv", "tsv", "parquet"): ["dataset=table"],
    ("adamw", "radam", "nadam"): ["optimizer=adam"],
    ("momentum", "nesterov"): ["optimizer=sgd"],
    ("exp", "step"): ["optimizer/schedule=exponential"],
    ("fixed", "none"): ["optimizer/schedule=constant"],
    ("qmc", "rqmc", "quasi"): ["noise=sobol"],
    ("iid", "mc", "gaussian"): ["noise=independent"],
    ("mirrored",): ["noise=antithetic"],
    ("off", "false", "csv", "disabled"): ["logger=none"],
    ("wb", "offline", "online"): ["logger=wandb"],
    ("cuda", "gpus"): ["trainer=gpu"],
    ("multi_gpu",): ["trainer=ddp"],
    ("local", "joblib"): ["hydra/launcher=processes"],
    ("submitit", "submitit_slurm", "cluster"): ["hydra/launcher=slurm"],
}


def keys_like(name: str, config: Any, near: str = "") -> list[str]:
    """Full keys of a configuration that a name may stand for: those of this name, else by the field's words.

    Args:
        name: The last part of a key that does not exist.
        config: The configuration.
        near: A part of the configuration; what lies in it comes alone, if there is something.
    """
    every = [key for key in _names(config) if not key.startswith("sweep.")]
    same = [key for key in every if _plain(key.rsplit(".", 1)[-1]) == _plain(name)]
    words = [key for key in _of(KEYS, name) if key.startswith("hydra") or _exists(key, every)]
    keys = [_as_group(key) for key in same] or words
    inside = [key for key in keys if near and key.startswith(f"{near}.")]
    return inside or list(dict.fromkeys(keys))


def options_like(group: str, option: str, options: Iterable[str]) -> list[str]:
    """Choices `group=option` that an unknown one may stand for, of its group alone if there are some."""
    same = [f"{group}={each}" for each in options if _plain(each) == _plain(option)]
    elsewhere = [
        f"{each}={same}" for each in groups() for same in options_of(each) if _plain(same) == _plain(option)
    ]
    words = _of(OPTIONS, option)
    of_group = [choice for choice in words if choice.startswith(f"{group}=")]
    return (
        same
        or of_group
        or elsewhere
        or words
        or [f"{group}={each}" for each in nearest_name(option, options)]
    )


def options_with(group: str) -> list[str]:
    """The options of the group above that have a given one as a part, such as those with `model/network`."""
    above, _, part = group.rpartition("/")
    entry = re.compile(rf"^ *- (override )?{part}:", re.MULTILINE)
    options = options_of(above) if above else []
    return [f"{above}={each}" for each in options if entry.search(option_file(above, each).read_text())]


def _names(node: Any, above: str = "") -> Iterator[str]:
    """Every key of a configuration that a user may give, without those of classes."""
    for name in node:
        if str(name).startswith("_"):
            continue
        key = f"{above}.{name}" if above else str(name)
        yield key
        below = None if node._is_missing() else node._get_node(name)
        if isinstance(below, DictConfig) and not below._is_none() and not below._is_missing():
            yield from _names(below, key)


def _of(table: dict[tuple[str, ...], list[str]], word: str) -> list[str]:
    return [meant for words, all_meant in table.items() if _plain(word) in words for meant in all_meant]


def _exists(key: str, every: list[str]) -> bool:
    return key.partition("=")[0].replace("/", ".") in every


def _as_group(key: str) -> str:
    """A key as the command line chooses an option of it, where it has some."""
    group = key.replace(".", "/")
    return group if group in groups() else key


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
