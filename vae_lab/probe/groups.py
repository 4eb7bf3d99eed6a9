"""Groups of parameters whose gradients are measured together."""

from vae_lab.models.vae import VAE

Groups = dict[str, list[str]]


def parameter_groups(vae: VAE, generative: bool = True) -> Groups:
    """The outputs of the encoder, each part of the model that has parameters, and each of its layers.

    Example:
        >>> from vae_lab.models.likelihoods import Bernoulli
        >>> from vae_lab.models.networks import Linear
        >>> from vae_lab.models.posteriors import Gaussian
        >>> from vae_lab.models.priors import StandardNormal
        >>> q = Gaussian(2)
        >>> vae = VAE(Linear((4,), (4,)), Linear((2,), (4,)), q, Bernoulli(), StandardNormal(2), 2)
        >>> list(parameter_groups(vae))[:4]
        ['outputs', 'outputs.mean', 'outputs.log_variance', 'encoder']
    """
    outputs = [f"outputs.{name}" for name in vae.posterior.outputs]
    groups: Groups = {"outputs": outputs} | {name: [name] for name in outputs}
    for name, _ in vae.named_parameters():
        part, layer = name.split(".")[0], name.rpartition(".")[0]
        if part == "encoder" or generative:
            for group in dict.fromkeys((part, layer)):
                groups.setdefault(group, []).append(name)
    return groups


def sizes_of(groups: Groups, vae: VAE) -> dict[str, int]:
    """How many numbers each group has; for an output of the encoder, those of one datum."""
    sizes = {name: parameter.numel() for name, parameter in vae.named_parameters()}
    sizes |= {f"outputs.{name}": size for name, size in vae.posterior.outputs.items()}
    return {group: sum(sizes[name] for name in names) for group, names in groups.items()}


def without_outputs(groups: Groups) -> Groups:
    """The groups that have parameters."""
    return {group: names for group, names in groups.items() if group.split(".")[0] != "outputs"}
