"""One row of a measurement of gradient estimators."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from vae_lab.probe.cost import GradientCost


@dataclass(frozen=True)
class Measurement:
    """One estimator's gradient for one group of parameters; squares of nats per datum per unit.

    The gradient is that of the mean over a minibatch of `batch_size` data, except for the groups
    `outputs...`: there it is each datum's own, by what the encoder gives for it, averaged over the data.

    Args:
        estimator: The estimator's name.
        num_samples: `K`, its samples per datum.
        kl: The form of its KL term.
        target: The bound whose gradient it estimates.
        declared_bias: Why it is biased, or an empty string.
        group: Which parameters: `outputs`, `encoder`, `decoder`, or one layer of them.
        num_parameters: How many numbers.
        path: `per datum` if the structure of the encoder was used, `replicates` if whole minibatch gradients
            were compared.
        trace: Trace of the covariance over the noise, at fixed data; with a 95 % interval, which is nan for
            fewer than 8 replicates, or 100 replicates times data.
        variance: The same per coordinate.
        minibatch_trace: Trace of the covariance over minibatches of the mean gradient; with a 95 % interval,
            which is nan for fewer than 20 data.
        total_trace: The sum of both: the law of total variance.
        snr: Length of the mean gradient over the square root of `trace`; the mean is the reference's if the
            estimator is unbiased.
        cosine: Between the mean over the replicates and the reference.
        cosine_of_one: Between a single gradient and the reference, from the squares' expectations.
        bias: Length of the mean's difference from the reference, over the reference's; 0 if the unbiased
            estimate of its square is negative.
        bias_limit: The bias that is found with a probability of about 80 %, at 5 % for all rows together:
            what the replicates resolve.
        bias_z: How unlikely so long a difference is without bias, as a quantile of the standard normal
            distribution; nan for fewer than 16 replicates.
        bias_p: The same as a p-value, corrected for the number of rows that are measured together.
        seconds: Wall time of one gradient.
        decoder_evaluations: Passes through the decoder per datum.
        memory: Bytes kept for the backward pass.
        variance_times_evaluations: `variance` at the cost of one decoder evaluation per datum.
        variance_times_seconds: `variance` at the cost of one second.
        status: `ok`, or why there are no values: some were not finite, or the encoder's outputs for the batch
            have no part in the gradient.
    """

    estimator: str
    num_samples: int
    kl: str
    target: str
    declared_bias: str
    group: str
    num_parameters: int
    path: str
    num_replicates: int
    batch_size: int
    trace: float
    trace_low: float
    trace_high: float
    variance: float
    variance_low: float
    variance_high: float
    minibatch_trace: float
    minibatch_trace_low: float
    minibatch_trace_high: float
    total_trace: float
    snr: float
    cosine: float
    cosine_of_one: float
    bias: float
    bias_limit: float
    bias_z: float
    bias_p: float
    seconds: float
    decoder_evaluations: float
    memory: int
    variance_times_evaluations: float
    variance_times_seconds: float
    status: str


COLUMNS = {field.name for field in fields(Measurement)}
ENDS = ("", "_low", "_high")
DERIVED = {f"variance{end}" for end in ENDS} | {"variance_times_evaluations", "variance_times_seconds"}


def measurement(
    subject: Mapping[str, Any], cost: GradientCost, status: str, values: Mapping[str, float | str]
) -> Measurement:
    """The row with the columns that follow from others.

    Args:
        subject: What is measured: the columns that are known before.
        cost: What one gradient costs.
        status: `ok`, or why there are no values.
        values: What is found, by column; a number that is left out is nan.
    """
    known = {**subject, **cost._asdict(), "status": status}
    numbers = COLUMNS - DERIVED - known.keys() - {"path"}
    entries: dict[str, Any] = dict.fromkeys(numbers, math.nan) | {"path": ""} | dict(values)
    variances = {f"variance{end}": entries[f"trace{end}"] / known["num_parameters"] for end in ENDS}
    return Measurement(
        **known,
        **entries,
        **variances,
        variance_times_evaluations=variances["variance"] * cost.decoder_evaluations,
        variance_times_seconds=variances["variance"] * cost.seconds,
    )
