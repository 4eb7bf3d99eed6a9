"""Options that another needs, so that a model with it can be trained on the digits."""

BINARY = ["model/posterior=bernoulli", "model/prior=bernoulli"]
GREY = ["dataset.binarize=none", "dataset.dequantize=true"]
SAMPLED = ["estimator.kl=sampled"]
WITHOUT_ENCODER = [
    "estimator=monte_carlo_em", "model/encoder=none", "evaluation=marginal_likelihood",
]  # fmt: skip
COMPANIONS: dict[str, list[str]] = {
    "model/encoder=none": WITHOUT_ENCODER,
    "estimator=monte_carlo_em": WITHOUT_ENCODER,
    "estimator=maximum_likelihood": ["model=autoregressive"],
    "evaluation=exact": ["model=pixelcnn"],
    "estimator=none": ["model=ppca"],
    "optimizer=none": ["model=ppca"],
    "trainer=none": ["model=ppca"],
    "evaluation=none": ["model=ppca"],
    "model/network=recurrent": ["model=autoregressive"],
    "model/network=pixelcnn": ["model=autoregressive"],
    "dataset=ppca": ["model/likelihood=gaussian"],
    "dataset=breast_cancer": ["model=logistic_regression"],
    "model=logistic_regression": ["dataset=breast_cancer"],
    "model=rainforth2018": ["dataset=ppca", "dataset.data_dim=20"],
    "model/likelihood=logistic_regression": ["dataset=breast_cancer", "model=logistic_regression"],
    "model/likelihood=beta": GREY,
    "model/likelihood=categorical": ["dataset.binarize=none", "model.likelihood.levels=17"],
    "model/likelihood=discretized_logistic": ["dataset.binarize=none", "model.likelihood.levels=17"],
    "model/likelihood=cost": ["model/decoder=identity"],
    "model/decoder=identity": ["model/likelihood=cost"],
    "model/decoder=shift": ["dataset=ppca", "model.latent_dim=10", "model/likelihood=gaussian_fixed"],
    "model/posterior=hierarchical": ["model/prior=hierarchical", *SAMPLED],
    "model/prior=hierarchical": ["model/posterior=hierarchical", *SAMPLED],
    "model=burda2016_two_layers": SAMPLED,
    "model/posterior=flow": SAMPLED,
    "model/prior=flow": SAMPLED,
    "model/prior=gaussian_mixture": SAMPLED,
    "model/prior=vamp": SAMPLED,
    "model/posterior=cauchy": ["model/prior=cauchy", *SAMPLED],
    "model/prior=cauchy": ["model/posterior=cauchy", *SAMPLED],
    "model/posterior=exponential": ["model/prior=exponential"],
    "model/posterior=gamma": ["model/prior=exponential", "estimator=rloo"],
    "model/posterior=weibull": ["model/prior=exponential"],
    "model/prior=exponential": ["model/posterior=exponential"],
    "model/posterior=bernoulli": ["model/prior=bernoulli", "estimator=rloo"],
    "model/prior=bernoulli": ["model/posterior=bernoulli", "estimator=rloo"],
    "model/posterior=categorical": ["model/prior=categorical", "estimator=rloo", "model.latent_dim=20"],
    "model/prior=categorical": ["model/posterior=categorical", "estimator=rloo", "model.latent_dim=20"],
    "optimizer/schedule=cosine": ["optimizer.schedule.T_max=10"],
    "optimizer/schedule=mohamed2020": ["optimizer.schedule.T_max=10"],
    "trainer=gpu": ["trainer.accelerator=cpu"],
    "trainer=ddp": ["trainer.accelerator=cpu"],
    "dataset=array": ["dataset.path=faces.npy", "model/likelihood=continuous_bernoulli"],
    "dataset=image_folder": ["dataset.path=photos", "dataset.size=8", "model/likelihood=beta"],
    "noise=antithetic": ["estimator.num_samples=2"],
    "noise=sobol": ["estimator.num_samples=2"],
    "evaluation=marginal_likelihood": ["model.latent_dim=2"],
} | {
    f"estimator={name}": BINARY
    for name in (
        "arm", "disarm", "enumeration", "gumbel_softmax", "rebar", "relax", "straight_through",
    )
} | {
    f"estimator/baseline={name}": ["estimator=score_function", "estimator.num_samples=2", *SAMPLED]
    for name in (
        "none", "batch_mean", "leave_one_out", "network", "running_mean", "variance_normalization",
    )
}  # fmt: skip
