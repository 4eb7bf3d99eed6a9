"""The signal-to-noise ratio against the number of samples, and the sweeps that draw it."""

import polars as pl
import pytest

from vae_lab.applications.gradients.figures.snr import log_slope


def rows(numbers, values):
    return pl.DataFrame({"num_samples": numbers, "snr": values})


def test_the_slope_is_the_exponent():
    numbers = [10, 100, 1000]
    assert log_slope(rows(numbers, [3 * number**-0.5 for number in numbers])) == pytest.approx(-0.5)
    assert log_slope(rows([10], [1.0])) is None


@pytest.mark.slow
def test_slopes_on_the_linear_gaussian_model(vae_lab, tmp_path):
    """By IWAE the encoder's ratio falls as K^-1/2 and the decoder's rises as K^1/2 (Rainforth et al., 2018);
    by DReG the encoder's rises so, too (Tucker et al., 2019).
    """
    process = vae_lab(
        *["sweep", "rainforth2018_snr", "num_samples=10,60,300", "logger=none"],
        *["probe.num_replicates=100"],
    )
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "outputs" / "sweeps" / "rainforth2018_snr"
    slopes = pl.read_csv(folder / "slopes.csv")
    found = {(row["group"], row["estimator"]): row["slope"] for row in slopes.to_dicts()}
    assert found["encoder", "iwae"] == pytest.approx(-0.5, abs=0.15)
    assert found["encoder", "dreg"] == pytest.approx(0.5, abs=0.15)
    assert found["decoder", "iwae"] == pytest.approx(0.5, abs=0.15)
    assert (folder / "figure.png").stat().st_size > 10_000
