"""Every mistake ends in one message that names the key, the value and the fix, and leaves nothing behind."""

import os
import shutil
import subprocess

import pytest
import torch

from vae_lab.cli.main import main

MISTAKES = {
    # misspelt keys
    "model.latnt_dim=3": "model.latnt_dim does not exist; did you mean latent_dim? There are: decoder,",
    "sed=3": "sed does not exist; did you mean seed? There are: callbacks,",
    "+sed=3": "sed does not exist; did you mean seed? There are: callbacks,",
    "modl=conv": "modl does not exist; did you mean model?",
    "estimatr.kl=sampled": "estimatr does not exist; did you mean estimator?",
    "optimizer.algorithm.beta=3": "optimizer.algorithm.beta does not exist; did you mean betas?",
    "+trainer.max_epoch=3": "trainer.max_epoch does not exist; did you mean max_epochs?",
    "+model.encoder.widths=[3]": "model.encoder.widths does not exist. There are: activation, hidden,",
    "model={latnt_dim: 3}": "model.latnt_dim does not exist; did you mean latent_dim?",
    "model.encoder.hidden.x=3": "model.encoder.hidden.x does not exist: model.encoder.hidden is given",
    "trainer.max_samples.x=3": "trainer.max_samples.x does not exist: trainer.max_samples is given",
    "trainer.options={max_tim: 1}": "trainer.options.max_tim does not exist. There are: gradient_clip_val",
    # unknown options
    "model=cnv": "model=cnv is not an option; did you mean conv? There are: autoregressive,",
    "model/encoder=mpl": "model/encoder=mpl is not an option; did you mean mlp? There are: constant, conv,",
    "experiment=foo": "experiment=foo is not an option",
    "estimator.kl=analytical": "estimator.kl must be one of analytic, sampled, entropy, got 'analytical'.",
    "dataset.binarize=often": "dataset.binarize must be one of none, dynamic, fixed, threshold, got 'often'.",
    "trainer.accelerator=tpux": "trainer: You selected an invalid accelerator name",
    "trainer.precision=17": "trainer.precision must be 32-true, bf16-mixed or 64-true on a CPU, got 17.",
    "model=null": "Config group override must be a string",
    "model.posterior=null": "model.posterior must be one of its group's options, got None.",
    # wrong types
    "model.latent_dim=abc": "model.latent_dim must be int, got 'abc'.",
    "model.latent_dim=2.5": "model.latent_dim must be int, got 2.5.",
    "model.latent_dim=true": "model.latent_dim must be int, got True.",
    "model.encoder.hidden=[a]": "model.encoder.hidden must be Sequence of int, got ['a'].",
    "optimizer.algorithm.betas=[0.9,x]": "betas must be tuple of float or Tensor, float or Tensor, got",
    "model.encoder.hidden=[1,a]": "model.encoder.hidden must be Sequence of int, got [1, 'a'].",
    "sweep.name=[a]": "sweep.name has the wrong type: Cannot convert 'list' to string: '['a']'.",
    "seed=abc": "seed has the wrong type: Value 'abc' of type 'str' could not be converted to Integer.",
    "rerun=perhaps": "rerun must be false, true or code, got perhaps.",
    "rerun=-1": "rerun must be false, true or code, got -1.",
    "optimizer.lr=fast": "optimizer.lr must be float, got 'fast'.",
    "model.latent_dim=[1": "cannot be read: a bracket is not closed; write model.latent_dim=[1].",
    "model.encoder=mlp": "model.encoder must be one of its group's options, got 'mlp'.",
    "model.latent_dim=???": "model.latent_dim must be given.",
    "model.latent_dim=${foo}": "Interpolation key 'foo' not found",
    # out of range
    "model.latent_dim=0": "model.latent_dim must be at least 1, got 0.",
    "model.encoder.hidden=[0]": "model.encoder.hidden must hold widths of at least 1, got [0].",
    "estimator.num_samples=0": "estimator.num_samples must be at least 1, got 0.",
    "estimator.beta=-1": "estimator.beta must not be negative, got -1.",
    "optimizer.lr=-1": "optimizer.lr must be above 0 and finite, got -1.",
    "optimizer.lr=nan": "optimizer.lr must be finite, got nan.",
    "optimizer.lr=inf": "optimizer.lr must be finite, got inf.",
    "optimizer.weight_decay=-1": "optimizer.weight_decay must be finite and not negative, got -1.",
    "dataset.batch_size=5000": "dataset.batch_size must be at most 1237, the size of the training part",
    "dataset.batch_size=0": "dataset.batch_size must be at least 1, got 0.",
    "dataset.validation_size=-1": "dataset.validation_size must be at least 0 and below 1437, got -1.",
    "trainer.max_samples=0": "trainer.max_samples must be a whole number of at least 1, got 0.",
    "trainer.max_epochs=null": "trainer.max_epochs or max_samples must be given.",
    "trainer.evaluate_at=[0]": "trainer.evaluate_at must hold sample counts of at least 1, got 0.",
    "trainer.checkpoint_seconds=-1": "trainer.checkpoint_seconds must not be negative, got -1.",
    "trainer.devices=3": "dataset.batch_size must be divisible by the number of processes, 3, got 100.",
    "seed=-1": "seed must be at least 0 and below 2^32, got -1.",
    "evaluation.importance_samples=0": "evaluation.importance_samples must be at least 1, got 0.",
    "evaluation.fit.num_steps=0": "evaluation.fit.num_steps must be at least 1, got 0.",
    "evaluation.fit.lr=0": "evaluation.fit.lr must be above 0, got 0.",
    # sizes and words without sense, which would end a run late or a machine at once
    "model.latent_dim=1000000000": "model.latent_dim must be at most 100,000, got 1000000000.",
    "model.latent_dim=100000000000000000000": "model.latent_dim must be at most 100,000, got 1000000000000",
    "model.encoder.hidden=[100000,100000]": "the memory does not suffice",
    "model.encoder.hidden=[1099511627776]": "model.encoder.hidden must be at most 100,000, got 1099",
    "estimator=nvil estimator.baseline.network.network.hidden=[100000,100000]": "the memory does not suffice",
    "estimator=nvil estimator.baseline.network.network.hidden=[0]": (
        "estimator: hidden must hold widths of at least 1, got [0]."
    ),
    "estimator.num_samples=4294967296": "estimator.num_samples must be at most 1,000,000, got 4294967296.",
    "estimator.num_samples=1000000 dataset.batch_size=1000": (
        "estimator: the memory does not suffice: num_samples=1000000 with dataset.batch_size=1000 would need"
    ),
    "estimator.free_bits=1e300": "estimator.free_bits must be at most 10,000, got 1e+300.",
    "estimator.beta=inf": "estimator.beta must be finite, got inf.",
    "estimator.warm_up=1e300": "estimator.warm_up must be at most 1e+15, got 1e+300.",
    "dataset.test_size=0": "dataset.test_size must be at least 1: the trained model is measured on",
    "optimizer.algorithm.eps=-1": "optimizer.algorithm cannot take a step with its settings (Invalid epsilon",
    "optimizer.algorithm.betas=[3,3]": "optimizer.algorithm cannot take a step with its settings (Invalid",
    "optimizer.algorithm.eps=nan": "optimizer.algorithm.eps must be finite, got nan.",
    "+optimizer.algorithm.lr=-5": "optimizer.algorithm.lr has no effect; use lr.",
    "optimizer=sgd optimizer.algorithm.momentum=3": (
        "optimizer.algorithm.momentum must be at least 0 and below 1, got 3."
    ),
    "optimizer/schedule=cosine optimizer.schedule.T_max=0": "optimizer.schedule.T_max must be at least 1 and",
    "optimizer/schedule=exponential optimizer.schedule.gamma=nan": (
        "optimizer.schedule.gamma must be finite, got nan."
    ),
    "optimizer/schedule=exponential optimizer.schedule.gamma=-1": "must be at least 1e-06 and below 10",
    "trainer.evaluate_at=''": "trainer.evaluate_at must not be empty.",
    "trainer.checkpoint_at=''": "trainer.checkpoint_at must not be empty.",
    "trainer.accelerator=tpu": "trainer.accelerator must be cpu here, got tpu: torch finds no such device;",
    "trainer.precision=16-true": "trainer.precision must be 32-true, bf16-mixed or 64-true on a CPU, got 16",
    "estimator=gumbel_softmax estimator.final_temperature=0.1": (
        "estimator.final_temperature and annealing need each other, got 0.1 and 0; give both or neither."
    ),
    # combinations that cannot work
    "dataset=ppca": "model.likelihood: Bernoulli needs data in [0, 1], but the data go from",
    "dataset=ppca model=conv": "model.encoder: a convolutional network needs images of shape (C, H, W), got",
    "estimator=iwae estimator.kl=analytic": "estimator.kl must be sampled, got 'analytic'.",
    "estimator=sticking_the_landing estimator.kl=entropy": "estimator.kl must be sampled, got 'entropy'.",
    "estimator=score_function estimator.baseline=leave_one_out": (
        "estimator.baseline is a group of options: write estimator/baseline=leave_one_out."
    ),
    "estimator=score_function estimator.rao_blackwell=true": (
        "estimator.rao_blackwell needs kl=sampled or kl=entropy: an analytic KL term leaves nothing to drop."
    ),
    "estimator=rloo estimator.optimal_scaling=true": (
        "estimator: leave_one_out and optimal_scaling both compare a datum's samples"
    ),
    "estimator=score_function_running_mean estimator.baseline.running_mean.decay=1.0": (
        "decay must be at least 0 and below 1, got 1.0."
    ),
    "estimator=nvil estimator/baseline=variance_normalization": (
        "estimator.kl must be sampled for baseline=variance_normalization, got analytic"
    ),
    "estimator=vimco estimator.num_samples=1": "estimator.num_samples must be at least 2 for VIMCO, got 1.",
    "noise=antithetic": "estimator: num_samples must be even for antithetic pairs, got 1; use noise=indep",
    "noise=antithetic estimator=arm model/posterior=bernoulli model/prior=bernoulli": (
        "estimator: needs noise without pairs, and of AntitheticNoise each pair would come twice; use noise="
    ),
    "noise=sobol estimator=enumeration model/posterior=bernoulli model/prior=bernoulli": (
        "estimator: has no noise, on which SobolNoise would have an effect; use noise=independent."
    ),
    "noise=antithetic estimator=rloo": "estimator: needs independent samples, and AntitheticNoise",
    "estimator=score_function estimator/baseline=batch_mean trainer.devices=2": (
        "estimator: needs the whole batch in one process, and 2 processes would share it; use tr"
    ),
    "evaluation.test_curve=3": "evaluation.test_curve must be bool, got 3.",
    "evaluation.train_curve=-1": "evaluation.train_curve must be at least 0, got -1.",
    "estimator=score_function estimator/baseline=leave_one_out": (
        "estimator.num_samples must be at least 2 for baseline=leave_one_out, got 1."
    ),
    "estimator=monte_carlo_em": "estimator: needs a model without an encoder, and this model has one",
    "estimator=monte_carlo_em model/encoder=none": (
        "evaluation.importance_samples needs q(z|x), and model/encoder=none has none; use evaluation=marginal"
    ),
    "estimator=monte_carlo_em model/encoder=none evaluation.importance_samples=null": (
        "evaluation.marginal_likelihood is null, and a model without an encoder has no other measure"
    ),
    "estimator=monte_carlo_em model/encoder=none evaluation.importance_samples=null "
    "evaluation.amortization_gap=true": "evaluation.amortization_gap needs q(z|x), and model/encoder=none",
    "estimator=monte_carlo_em model/encoder=none evaluation=marginal_likelihood trainer.devices=2": (
        "estimator: needs its state of every datum in one process, and 2 processes would share it; use tr"
    ),
    "model/encoder=none evaluation=marginal_likelihood": (
        "estimator: needs q(z|x), and model/encoder=none has none; use model/encoder=mlp or estimator=monte"
    ),
    "estimator=wake_sleep model/encoder=per_datum": (
        "estimator: needs an amortised encoder, and model/encoder=per_datum knows the training data alone"
    ),
    "model/encoder=per_datum evaluation.amortization_gap=true": (
        "evaluation.amortization_gap compares an encoder with q fitted to each datum, and model/encoder="
    ),
    "estimator=full_variational_bayes optimizer.weight_decay=1e-3": (
        "optimizer.weight_decay must be 0 for an estimator whose bound has the prior on the weights already"
    ),
    "estimator=autoencoder evaluation.amortization_gap=true": (
        "evaluation.amortization_gap needs a model p(x, z), and an autoencoder is none; leave it out."
    ),
    "estimator=autoencoder evaluation=marginal_likelihood": (
        "evaluation.marginal_likelihood needs a model p(x, z), and an autoencoder is none; leave it out."
    ),
    "estimator=autoencoder model/encoder=per_datum": (
        "evaluation.fit needs a bound, and an autoencoder has none; use another encoder."
    ),
    "estimator=full_variational_bayes evaluation.amortization_gap=true": (
        "evaluation.amortization_gap needs one decoder for both bounds, and this estimator draws its weights"
    ),
    "evaluation=marginal_likelihood model.latent_dim=26": (
        "evaluation.marginal_likelihood.num_samples must be at least 52 for a density over 26 latent"
    ),
    "model/encoder=none estimator=monte_carlo_em evaluation=marginal_likelihood trainer.alternate=true": (
        "trainer.alternate lets encoder and decoder take turns, and this model has no encoder; set it to"
    ),
    "evaluation=marginal_likelihood evaluation.marginal_likelihood.num_data=0": (
        "evaluation.marginal_likelihood.num_data must be at least 1, got 0."
    ),
    "optimizer/schedule=cosine": "optimizer.schedule.T_max must be given.",
    "dataset.validation_size=0 trainer.select=best": "trainer.select=best needs a validation part",
    "trainer.precision=16-mixed": "precision must be 32-true, bf16-mixed or 64-true on a CPU, got 16-mixed.",
    # what is not there
    "dataset=mnist dataset.download=false dataset.root=nowhere": "train-images-idx3-ubyte is not in nowhere",
    "dataset=frey_face dataset.root=nowhere": "is not in nowhere; docs/datasets.md tells",
    "output_dir=/proc/nowhere": "cannot write /proc/nowhere",
    # paths that lead through what is not there
    "hydra.run.dir=a/../../.. model=ppca": "leads through a, which is not there; choose another hydra.run",
    "output_dir=a/../x": "a/../x leads through a, which is not there; choose another output_dir.",
    "hydra.searchpath=[file:///nope]": "hydra.searchpath: there is no folder /nope.",
    "trainer.num_nodes=0": "trainer.num_nodes must be at least 1, got 0.",
    # flags among other words
    "-sc install=bash": "-sc is for the shell alone",
    "--hydra-help --cfg job": "--hydra-help takes no overrides",
    "--cfg=x": "argument --cfg/-c: invalid choice: 'x'",
}  # fmt: skip


def refused(arguments, capsys):
    """Runs the command line in this process; gives its one message."""
    with pytest.raises(SystemExit) as end:
        main(["train", "logger=none", *arguments])
    assert isinstance(end.value.code, str), "an error must not end in exit status 0"
    return end.value.code


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(mistake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = mistake.split(" ") if "{" not in mistake else [mistake]
    message = refused(arguments, capsys)
    assert message.startswith("vae-lab train: ")
    assert MISTAKES[mistake] in message
    assert "\n" not in message
    assert not list(tmp_path.glob("outputs/runs/*")), "a half-made run directory was left"
    assert not (tmp_path / "a").exists()


def test_no_gpu_where_one_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = refused(["trainer=gpu"], capsys)
    assert "trainer.accelerator must be cpu here, got gpu: torch finds no GPU; use trainer=cpu." in message


def test_a_misspelt_key_in_a_file_is_refused(tmp_path, vae_lab):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    for text, expected in {
        "model:\n  latnt_dim: 3\n": "latnt_dim",
        "sed: 3\n": "sed",
    }.items():
        (tmp_path / "mine" / "experiment" / "trial.yaml").write_text("# @package _global_\n" + text)
        process = vae_lab("train", "--config-dir", "mine", "experiment=trial", "logger=none")
        assert process.returncode == 1
        assert f"{expected} does not exist; did you mean" in process.stderr
        assert "Traceback" not in process.stderr
        assert not list(tmp_path.glob("outputs/runs/*"))


def test_an_unknown_command_names_the_nearest():
    with pytest.raises(SystemExit) as end:
        main(["trian"])
    assert str(end.value.code).startswith("vae-lab: trian is not a command; did you mean train? There are: ")


@pytest.mark.parametrize("word", ["a" * 3000, f"{'a' * 300}/b", "\0"])
@pytest.mark.parametrize("command", [[], ["sweep"], ["status"], ["figures"], ["runs"], ["explore", "run="]])
def test_a_word_that_can_be_no_path_names_nothing(here, command, word):
    words = [*command[:1], f"run={word}"] if command[1:] else [*command, word]
    stderr = here(*words).stderr
    assert stderr.count("\n") == 1
    assert stderr.startswith("vae-lab")


@pytest.mark.parametrize("command", ["sweep", "status", "figures", "runs"])
@pytest.mark.parametrize("flags", [["--cfg=x"], ["--cfg"], ["--info=nf", "mine"], ["-sc", "install=bash"]])
def test_flags_of_hydra_are_refused_by_commands_that_take_names(here, command, flags):
    assert here(command, *flags).stderr.count("\n") == 1


def test_settings_of_a_finished_run_that_define_nothing_are_checked_too(vae_lab, tmp_path):
    finished = ["train", "logger=none", "trainer.max_samples=200", "trainer.evaluate_at=end"]
    assert vae_lab(*finished).returncode == 0
    for word, message in {
        "trainer.accelerator=qsbpyzq": "trainer: You selected an invalid accelerator name",
        "trainer.devices=a:b": "trainer: `devices` selected with `CPUAccelerator` should be an int > 0",
        "trainer.strategy=x": "trainer: You selected an invalid strategy name",
        "trainer.num_nodes=-1": "trainer.num_nodes must be at least 1, got -1.",
        "+logger.x=3": "logger.x does not exist",
        "callbacks=estimator_probe callbacks.estimator_probe.every=0": "every must be at least 1, got 0.",
    }.items():
        process = vae_lab(*finished, *word.split())
        assert process.returncode == 1
        assert process.stderr.startswith("vae-lab train: ")
        assert message in process.stderr
        assert process.stderr.count("\n") == 1
    done = vae_lab(*finished, "trainer.devices=2", "trainer.accelerator=auto")
    assert done.stdout.startswith("This configuration is done already")


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is(here, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    stderr = here("train", "logger=none", "hydra.run.dir=run").stderr
    assert "cannot write into run (Permission denied); choose another hydra.run.dir." in stderr
    assert not list((tmp_path / "run").iterdir())


def test_a_folder_above_is_left_as_it_was_by_what_is_refused(vae_lab, tmp_path):
    (tmp_path / "here").mkdir()
    for words in (["explore", "run=none"], ["train", "model.latent_dim=0"]):
        process = vae_lab(*words, "logger=none", "output_dir=..", cwd=tmp_path / "here")
        assert process.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    run = vae_lab("train", "logger=none", "model=ppca", "hydra.run.dir=../run", cwd=tmp_path / "here")
    assert run.returncode == 0
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_processes_within_the_process_of_a_multirun_are_refused(vae_lab, tmp_path):
    process = vae_lab(
        "train",
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "logger=none",
        "-m",
        "seed=0,1",
        "hydra/launcher=basic",
    )
    assert process.returncode == 1
    assert "trainer: a run of several processes cannot be part of -m" in process.stderr
    assert not list(tmp_path.glob("outputs/runs/*/metrics.csv"))


def test_a_mistake_as_a_user_sees_it(vae_lab, tmp_path):
    process = vae_lab("train", "model.latent_dim=0")
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == "vae-lab train: model.latent_dim must be at least 1, got 0.\n"


SHORT = ["logger=none", "trainer.max_epochs=3", "hydra.run.dir=run"]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(vae_lab, tmp_path):
    unstable = ["optimizer=sgd", "optimizer.lr=1e30", "trainer.checkpoint_seconds=0"]
    process = vae_lab("train", *SHORT, *unstable)
    assert process.returncode == 1
    assert "training stopped at step" in process.stderr
    assert "is not finite. The last good checkpoint is kept" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(tensor.isfinite().all() for tensor in state.values())


def test_a_truncated_checkpoint_and_a_missing_one(vae_lab, tmp_path):
    assert vae_lab("train", *SHORT).returncode == 0
    last, done = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "run" / "metrics.json"
    expected = done.read_text()
    done.unlink()
    last.write_bytes(last.read_bytes()[:1000])
    process = vae_lab("train", *SHORT)
    assert process.returncode == 1
    assert "last.ckpt is truncated or corrupt" in process.stderr
    assert "Delete it, or pass rerun=true, to begin again." in process.stderr
    last.unlink()
    assert vae_lab("train", *SHORT).returncode == 0
    metrics = '"metrics": '
    assert done.read_text().split(metrics)[1].split("}")[0] == expected.split(metrics)[1].split("}")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_stops_with_a_message_and_space_lets_it_go_on(vae_lab, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    try:
        command = ["train", f"hydra.run.dir={small}/run", "logger=none", "trainer.max_epochs=5",
                   "trainer.checkpoint_at=epoch"]  # fmt: skip
        process = vae_lab(*command)
        assert process.returncode == 74
        assert "the disk is full. Make space and give the same command again" in process.stderr
        assert "Traceback" not in process.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        assert vae_lab(*command).returncode == 0
        assert (small / "run" / "metrics.json").is_file()
    finally:
        subprocess.run(["umount", str(small)], check=True)
