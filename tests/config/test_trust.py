"""Nothing that a stranger's configuration names is imported or called, and what the user names is."""

import json
import os
import pickle
import re
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

import vae_lab
from vae_lab.checks.cases import gaussian_batch, linear_gaussian_vae
from vae_lab.cli.main import main
from vae_lab.config import foreign, hydra_settings, schema, trust
from vae_lab.config.instantiate import instantiate
from vae_lab.errors import UserError
from vae_lab.figures.style import figure
from vae_lab.files.paths import CONF, ROOT
from vae_lab.noise import NoiseSource
from vae_lab.runs import signature
from vae_lab.sweep import manifest
from vae_lab.sweep.jobs import line
from vae_lab.sweep.launchers import slurm

SMALL = ["model.encoder.hidden=[4]", "model.decoder.hidden=[4]", "logger=none"]
SMALL += [
    "dataset=ppca",
    "model/likelihood=gaussian",
    "evaluation.importance_samples=1",
    "trainer.max_samples=100",
    "trainer.evaluate_at=end",
]


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that a stranger's code would make, and a module that makes it when it is imported."""
    path = tmp_path / "executed"
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "stranger.py").write_text(
        f"open({str(path)!r}, 'w').close()\nclass Thing:\n    def __init__(self, **_): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    yield path
    sys.modules.pop("stranger", None)


@pytest.fixture
def crafted(tmp_path, marker):
    """Makes a directory that passes for that of a finished run, of a configuration with a changed node."""

    def make(key="seed", node=0):
        schema.register_schemas()
        signature.register_signature()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", SMALL)
        with open_dict(cfg):
            OmegaConf.update(cfg, key, node, merge=False, force_add=True)
        run = tmp_path / "run"
        (run / ".hydra").mkdir(parents=True)
        OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
        result = {"definition": signature.definition(cfg), "signature": "0" * 12, "metrics": {}}
        (run / "metrics.json").write_text(json.dumps(result | {"estimator": "Reparameterized"}))
        return run

    return make


def attacks(marker):
    """Targets that call or import something, beginning with those that were shown to."""
    write = f"open({str(marker)!r}, 'w').close()"
    return {
        "runstring": {"_target_": "numpy.testing.runstring", "astr": write, "dict": {}},
        "joblib": {"_target_": "joblib.load", "filename": str(marker)},
        "hub": {"_target_": "torch.hub.load", "repo_or_dir": "x", "model": "y", "source": "local"},
        "open": {"_target_": "builtins.open", "file": str(marker), "mode": "w"},
        "system": {"_target_": "os.system", "command": f"touch {marker}"},
        "import": {"_target_": "stranger.Thing"},
        "through a module": {"_target_": "vae_lab.files.writing.os.system", "command": f"touch {marker}"},
        "through torch": {"_target_": "torch.optim.adam.torch.load", "f": str(marker)},
        "class of another": {"_target_": "vae_lab.files.writing.Path", "_args_": [str(marker)]},
        "function": {
            "_target_": "vae_lab.files.writing.write_atomically",
            "path": str(marker),
            "content": "",
        },
        "nested": {"_target_": "vae_lab.noise.NoiseSource", "seed": [{"_target_": "stranger.Thing"}]},
        "interpolated": {"_target_": "${oc.env:HOME}"},
        "no text": {"_target_": 3},
    }


NODES = ("callbacks.estimator_probe", "model", "model.prior", "logger", "optimizer.algorithm", "dataset")


@pytest.mark.parametrize("attack", attacks(""))
def test_a_run_of_a_stranger_is_not_loaded(crafted, marker, attack):
    run = crafted("callbacks.estimator_probe", attacks(marker)[attack])
    with pytest.raises(UserError, match=r"callbacks\.estimator_probe.*_target_"):
        vae_lab.load(run)
    assert not marker.exists()
    assert "stranger" not in sys.modules


TEXT = "{oc.create:{_target_:numpy.testing.runstring,astr:\"import os;os.mkdir('%s')\",dict:{}}}"


@pytest.mark.parametrize("sign", ["$", "${oc.select:x,$}", {"${oc.env:HOME}": 1}])
def test_no_text_becomes_an_interpolation_when_others_are_resolved(crafted, marker, sign):
    run = crafted("trainer.options", {"profiler": "${output_dir}" + TEXT % marker})
    path = run / ".hydra" / "config.yaml"
    cfg = OmegaConf.load(path)
    cfg.output_dir = sign
    OmegaConf.save(cfg, path)
    with pytest.raises(UserError, match=r"config\.yaml: .*(must hold no \$|reads the environment)"):
        vae_lab.load(run)
    assert not marker.exists()


def test_a_text_is_resolved_once(marker):
    node = OmegaConf.create({"a": "$", "x": {"_target_": "vae_lab.training.TrainerFactory"}})
    node.x.options = {"profiler": "${a}" + TEXT % marker}
    with pytest.raises(UserError, match=r"x\.options\.profiler must hold no \$\{ once"):
        instantiate(node.x, "x")
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "x: !!python/object/apply:pathlib.PosixPath [a]",
        "x: !!binary aGVsbG8=",
        "x: " + "[" * 1000 + "]" * 1000,
        "x: ${x}",
        "x: ${nothing}",
        "1: {2: 3}",
    ],
)
def test_odd_values_in_a_configuration_are_told(crafted, text):
    run = crafted()
    with (run / ".hydra" / "config.yaml").open("a") as file:
        file.write(f"{text}\n")
    with pytest.raises(UserError, match=r"cannot be read as|must be a plain value|1 does not exist"):
        vae_lab.load(run)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("callbacks", [1], "callbacks must be one of its group's options, got"),
        ("trainer", None, "trainer must be one of its group's options, got None"),
        ("optimizer", None, "optimizer must be one of its group's options, got None"),
        ("dataset.path", [1], "dataset.path does not exist"),
    ],
)
def test_groups_and_keys_of_odd_kinds_are_told(crafted, key, value, message):
    run = crafted(key, value)
    with pytest.raises(UserError, match=message):
        vae_lab.load(run)
    path = run / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0\nrerun", "seed: x\nrerun"))
    with pytest.raises(UserError, match=f"seed must be int, got 'x'|{message}"):
        vae_lab.load(run)


@pytest.mark.parametrize("key", NODES)
def test_no_node_of_a_run_names_a_stranger(crafted, marker, key):
    run = crafted(key, {"_target_": "stranger.Thing"})
    with pytest.raises(UserError, match=rf"{key}\._target_=stranger\.Thing .* set VAE_LAB_TRUST=stranger"):
        vae_lab.load(run)
    assert not marker.exists()


COMMANDS = [["evaluate"], ["generate"], ["explore"], ["embed"], ["impute", "missing=0.5"]]
COMMANDS += [["outliers", "against=digits"], ["gradients"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_opens_a_run_of_a_stranger(here, crafted, marker, command):
    run = crafted("callbacks.estimator_probe", attacks(marker)["runstring"])
    done = here(*command, f"run={run}", "logger=none")
    assert "callbacks.estimator_probe._target_=numpy.testing.runstring is neither of" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not marker.exists()


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("estimator", {"_target_": "stranger.Thing"}),
        ("hydra", {"callbacks": {"x": {"_target_": "stranger.Thing"}}}),
        ("hydra", {"job_logging": {"handlers": {"x": {"()": "stranger.Thing"}}}}),
        ("hydra", {"launcher": {"_target_": "stranger.Thing"}}),
        ("hydra", {"sweeper": {"x": {"_target_": "stranger.Thing"}}}),
        ("defaults", ["_self_", {"override hydra/callbacks": "x"}]),
        ("defaults", ["_self_", "../x"]),
        ("output_dir", "${oc.env:HOME}"),
        ("output_dir", "${${x}:HOME}"),
    ],
)
def test_a_frozen_configuration_of_a_stranger_is_not_run(here, crafted, marker, key, node):
    run = crafted(key, node)
    done = here(*line("train", run))
    assert f"{run}/.hydra/config.yaml" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not marker.exists()
    assert sorted(path.name for path in run.iterdir()) == [".hydra", "metrics.json"]


FLAGS = ["--config-dir {}", "-cd={}", "--config-d={}", "hydra.searchpath=[file://{}]"]
FLAGS += ["hydra.searchpath=['{}']", "hydra.searchpath=[pkg://hydra.conf,{}]"]


@pytest.mark.parametrize("flags", FLAGS)
def test_a_folder_of_options_may_not_set_hydra(here, tmp_path, marker, flags):
    option = tmp_path / "options" / "experiment" / "x.yaml"
    option.parent.mkdir(parents=True)
    callbacks = "{x: {_target_: vae_lab.noise.NoiseSource}}"
    option.write_text(f"# @package _global_\nhydra: {{callbacks: {callbacks}}}\n")
    done = here("train", *flags.format(option.parent.parent).split(), "experiment=x")
    assert "x.yaml sets hydra, which can start programs" in done.stderr
    option.write_text("# @package _global_\nestimator: {_target_: stranger.Thing}\n")
    done = here("train", *flags.format(option.parent.parent).split(), "experiment=x")
    assert "estimator._target_=stranger.Thing is neither of" in done.stderr
    option.write_text("# @package _global_\n3: {}\n")
    assert (
        "3 does not exist"
        in here("train", *flags.format(option.parent.parent).split(), "experiment=x").stderr
    )
    assert not marker.exists()


def test_no_flag_of_hydra_brings_in_more(here, crafted, marker):
    run = crafted("estimator", {"_target_": "stranger.Thing"})
    for flags in (["--config-pa", f"{run}/.hydra", "-cn", "config"], [f"--config-name={run}/.hydra/config"]):
        done = here("train", *flags, "hydra.run.dir=x")
        assert "config.yaml: estimator._target_=stranger.Thing is neither of" in done.stderr
    (run / "job.pickle").write_bytes(pickle.dumps(Touches(marker)))
    done = here("train", "--experimental-rerun", f"{run}/job.pickle")
    assert "reads a pickle" in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "a${oc.create:x}", "${${a}:HOME}", r"\${oc.env:HOME}"])
def test_the_environment_is_not_read_for_a_stranger(crafted, value):
    with pytest.raises(UserError, match=r"output_dir=.* reads the environment"):
        vae_lab.load(crafted("output_dir", value))


def test_yaml_that_makes_objects(crafted, marker):
    run = crafted()
    (run / ".hydra" / "config.yaml").write_text(f"x: !!python/object/apply:os.system ['touch {marker}']\n")
    with pytest.raises(UserError, match="cannot be read as a configuration"):
        vae_lab.load(run)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trainer.max_samples={_target_:os.getlogin}",
            "trainer.max_samples must be int or float or null, got a node",
        ),
        (
            "trainer.options={x:{_target_:os.getlogin}}",
            "trainer.options must be Mapping of str, Any or null, and holds a",
        ),
        ("trainer.options={x:[{_target_:os.getlogin}]}", "trainer.options must be Mapping"),
        ("seed={_target_:os.getlogin}", "seed"),
        (
            "estimator={_target_:os.getlogin}",
            "estimator must be Estimator, got a node with _target_=os.getlogin",
        ),
        ("estimator._target_=torch.optim.Adam", "estimator must be Estimator, got a node"),
        ("+estimator._partial_=true", "estimator must be Estimator, got a node"),
        ("+estimator._args_=[1]", "estimator._args_ must be left out: arguments are given by their names."),
        ("+estimator._convert_=none", "estimator._convert_ must be left out"),
        ("+estimator._recursive_=3", "estimator._recursive_ must be true or false, got 3"),
        ("model._recursive_=1", "model._recursive_ must be true or false, got 1"),
        (
            "optimizer.algorithm._target_=vae_lab.models.networks.MLP",
            "optimizer.algorithm must be Callable of",
        ),
        ("optimizer.algorithm._partial_=false", "optimizer.algorithm must be Callable of"),
        ("model.encoder.hidden=[{_target_:os.getlogin}]", "model.encoder.hidden.0 must be int, got a node"),
        ("logger._target_=vae_lab.noise.NoiseSource", "logger must be Tracking"),
        ("+callbacks.x={_target_:vae_lab.tracking.MetricsCsv,path:x}", "callbacks.x must be Callback"),
        (
            "model.prior._target_=vae_lab.files.writing.os.getlogin",
            "model.prior._target_ must be a class that vae_lab",
        ),
        ("estimator._target_=Reparameterized", "estimator._target_ must be the dotted path of a class"),
    ],
)
def test_nothing_is_called_where_a_value_or_another_thing_belongs(here, monkeypatch, override, message):
    monkeypatch.setattr(os, "getlogin", lambda: pytest.fail("called"))
    done = here("train", *SMALL, override)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def beside(tmp_path):
    """A configuration of the user's in a folder with results and, in `extra`, a stranger's options."""
    for name, text in {
        "mine.yaml": "seed: 1\n",
        "outputs/runs/x/.hydra/overrides.yaml": "- seed=1\n",
        "wandb/config.yaml": "hydra: ${oc.env:HOME}\n",
        "notes.yaml": "- a list\n",
        "extra/x.yaml": "a: {_target_: stranger.Thing}\n",
        "more/y.yaml": "defaults: [/extra: x]\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return ["--config-path", str(tmp_path), "--config-name", "mine"]


def test_what_lies_beside_a_configuration_is_none_of_its_options(beside):
    words = ["hydra.run.dir=outputs/runs/y", "output_dir=outputs"]
    foreign.check_files_of("train", [*beside, *words])
    foreign.check_files_of("train", ["--config-dir", beside[1], *words])


@pytest.mark.parametrize("chosen", ["+extra=x", "+more=y", "+seed=../extra/x", "defaults: [extra: x]"])
def test_options_that_are_chosen_are_checked(beside, chosen, tmp_path):
    if chosen.startswith("defaults"):
        (tmp_path / "mine.yaml").write_text(chosen)
    with pytest.raises(UserError, match=r"extra/x\.yaml: a\._target_=stranger\.Thing"):
        foreign.check_files_of("train", [*beside, *([] if chosen.startswith("defaults") else [chosen])])
    if not chosen.startswith("defaults"):
        with pytest.raises(UserError, match=r"extra/x\.yaml: a\._target_=stranger\.Thing"):
            foreign.check_files_of("train", ["--config-dir", beside[1], chosen])


@pytest.mark.parametrize("name", [r"a\b", "a\u200bb", "a\u00a0b", "EXTRA/x"])
def test_defaults_are_plain_names_in_any_case(beside, name, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({"defaults": [name]}))
    with pytest.raises(UserError, match=r"must be names of options|extra/x\.yaml: a\._target_=stranger"):
        foreign.check_files_of("train", beside)


def test_a_linked_folder_of_options_is_refused(beside, tmp_path):
    (tmp_path / "mine.yaml").write_text("defaults: [sub/in/x]\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "in").symlink_to(tmp_path / "extra")
    with pytest.raises(UserError, match=r"sub/in is a link to a folder"):
        foreign.check_files_of("train", beside)


def test_a_path_names_no_class():
    assert trust.named_in(["run=a/_target_:numpy.testing.runstring", "run=_target_:a.b"]) == []


def test_options_beside_a_configuration_in_a_folder_below_are_checked(beside, tmp_path):
    (tmp_path / "below" / "b").mkdir(parents=True)
    (tmp_path / "below" / "a.yaml").write_text("defaults: [b: x]\n")
    (tmp_path / "below" / "b" / "x.yaml").write_text("a: {_target_: stranger.Thing}\n")
    with pytest.raises(UserError, match=r"below/b/x\.yaml: a\._target_=stranger\.Thing"):
        foreign.check_files_of("train", [*beside[:3], "below/a"])


OWN = """
import torch
from vae_lab.estimators import Reparameterized
from vae_lab.noise import NoiseSource

class Mine(Reparameterized):
    pass

def make() -> Reparameterized:
    return Reparameterized()

def other():
    return Reparameterized()
"""


@pytest.fixture
def own_package(tmp_path, marker, monkeypatch):
    """A package of the user's."""
    (tmp_path / "path" / "mypackage.py").write_text(OWN)
    yield "mypackage"
    sys.modules.pop("mypackage", None)


def estimator(target, **settings):
    from vae_lab.estimators.base import Estimator

    return instantiate({"_target_": target, **settings}, "estimator", Estimator)


def test_what_the_user_names_is_built(own_package, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="set VAE_LAB_TRUST=mypackage"):
        estimator("mypackage.Mine")
    assert "mypackage" not in sys.modules
    with trust.trusting(["mypackage"]):
        assert type(estimator("mypackage.Mine")).__name__ == "Mine"
        for borrowed in ("mypackage.Reparameterized", "mypackage.make", "mypackage.torch.optim.Adam"):
            with pytest.raises(
                UserError, match=r"estimator\._target_ must be a class that mypackage defines"
            ):
                estimator(borrowed)
    monkeypatch.setenv(trust.VARIABLE, "another, mypackage.make,mypackage.other")
    assert type(estimator("mypackage.make")).__name__ == "Reparameterized"  # named in full
    with pytest.raises(UserError, match="estimator must be Estimator, got a node"):
        estimator("mypackage.other")  # which tells not what it makes
    with pytest.raises(UserError, match="is neither of"):
        estimator("mypackage.Mine")
    monkeypatch.setenv(trust.VARIABLE, "")
    (tmp_path / "settings" / "vae_lab").mkdir(parents=True)
    (tmp_path / "settings" / "vae_lab" / "trust").write_text("mypackage\n")
    assert type(estimator("mypackage.Mine")).__name__ == "Mine"


def test_the_estimator_of_the_page_on_extending(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    (tmp_path / "of_the_page.py").write_text(example)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(trust.VARIABLE, "of_the_page")
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    mine = estimator("of_the_page.Mine", scale=2, num_samples=3, kl="sampled")
    plain = estimator("vae_lab.estimators.Reparameterized", num_samples=3, kl="sampled")
    drawn = NoiseSource(0).training(
        mine.noise_spec(vae, batch), purpose="train", step=0, batch_size=3, dtype=torch.float64
    )
    mine.check(vae)
    torch.testing.assert_close(mine(vae, batch, drawn).surrogate, 2 * plain(vae, batch, drawn).surrogate)
    for settings, message in [
        ({"scale": "x"}, "estimator.scale must be float, got 'x'."),
        ({"num_samples": "x"}, "estimator.num_samples must be int, got 'x'."),  # behind `**settings`
        ({"scael": 2}, "unexpected keyword argument 'scael'"),
    ]:
        with pytest.raises(UserError, match=re.escape(message)):
            estimator("of_the_page.Mine", **settings)


@pytest.mark.parametrize(
    ("target", "content", "message"),
    [
        (
            "absent.Mine",
            "",
            "there is no package absent; install it, or set PYTHONPATH=<the folder",
        ),
        ("own.mine.Mine", "import absent", "No module named 'absent'."),
        (
            "own.mine.Mine",
            "from math import nothing",
            "ImportError: cannot import name 'nothing'",
        ),
        ("own.mine.Mine", "1 / 0", "ZeroDivisionError: division by zero."),
        ("own.mine.Mine", "class Mien: ...", "own.mine has no Mine."),
        ("own.Mine", "class Mine: ...", "own has no Mine."),
    ],
)
@pytest.mark.parametrize("named", ["package", "class"])
def test_what_cannot_be_imported_says_why(tmp_path, monkeypatch, target, content, message, named):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "mine.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        allowed = [target if named == "class" else target.split(".")[0]]
        with trust.trusting(allowed), pytest.raises(UserError) as refused:
            trust.find_target(target, "estimator")
    finally:
        for module in ("own", "own.mine"):
            sys.modules.pop(module, None)
    assert str(refused.value).startswith(f"estimator._target_={target} cannot be imported: ")
    assert message in str(refused.value)


def test_a_name_that_only_begins_like_a_trusted_one(own_package):
    with trust.trusting(["mypack", "mypackage.M"]), pytest.raises(UserError, match="is neither of"):
        estimator("mypackage.Mine")
    with pytest.raises(UserError, match="is neither of"):
        estimator("vae_lab_of_a_stranger.Thing")


def test_what_the_files_of_the_installation_name(own_package, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("_target_: mypackage.Mine   # mine\nkl: sampled\n")
    monkeypatch.setattr("vae_lab.config.plugins.CONF", tmp_path)
    assert type(estimator("mypackage.Mine", kl="sampled")).__name__ == "Mine"


@pytest.mark.slow
def test_what_the_user_typed_runs_in_a_sweep_and_is_remembered(own_package, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mine = [*SMALL, "estimator._target_=mypackage.Mine"]
    main(["train", "-m", *mine, "seed=0,1"])
    assert "note: mypackage.Mine is trusted from now on" in capsys.readouterr().out
    assert trust.VARIABLE not in os.environ
    run, _ = sorted((tmp_path / "outputs" / "runs").iterdir())
    main(["evaluate", f"run={run}", "logger=none", "measures.gap=0", "measures.importance_samples=[1]"])
    main([*line("train", run), "rerun=true"])
    assert "note" not in capsys.readouterr().out
    (tmp_path / "settings" / "vae_lab" / "trust").unlink()
    with pytest.raises(UserError, match=r"config.yaml: estimator.* set VAE_LAB_TRUST=mypackage"):
        vae_lab.load(run)
    with pytest.raises(SystemExit, match=r"config.yaml: estimator.* set VAE_LAB_TRUST=mypackage"):
        main([*line("train", run), "rerun=true"])
    assert vae_lab.load(run, trust=["mypackage"]).sample(2).shape == (2, 10)
    monkeypatch.setenv(trust.VARIABLE, "mypackage")
    main([*line("train", run), "rerun=true"])
    assert os.environ[trust.VARIABLE] == "mypackage"


@pytest.mark.parametrize(("path", "expected"), [([], "1"), ([""], None), (["."], None)])
def test_jobs_look_for_modules_where_the_command_does(tmp_path, monkeypatch, path, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(Path(each).absolute()) if each else each for each in path])
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.delenv("PYTHONSAFEPATH")
    main(["status", "--help"])
    assert os.environ.get("PYTHONSAFEPATH") == expected


def test_a_figure_ignores_a_matplotlibrc(tmp_path):
    with mpl.rc_context({"text.usetex": True, "font.size": 30}):  # as a file in the current folder may say
        with figure(tmp_path / "x.png", 1, 1) as canvas:
            assert not mpl.rcParams["text.usetex"]
            canvas.suptitle("a_b")
        assert mpl.rcParams["text.usetex"]


def test_files_are_read_by_what_runs_nothing():
    sources = {path: path.read_text() for path in Path(vae_lab.__file__).parent.rglob("*.py")}
    assert [path.name for path, text in sources.items() if "hydra_instantiate" in text] == ["instantiate.py"]
    assert [path.name for path, text in sources.items() if "import pickle" in text] == ["cifar10.py"]
    of_installation = ("check_read", "CONF", "option_file(", "sweep_files()")
    for text in sources.values():
        assert "OmegaConf.load" not in text or any(word in text for word in of_installation)
        assert all("weights_only=True" in call for call in re.findall(r"torch\.load\(.*", text))
        assert all("formats=" in call for call in re.findall(r"Image\.open\(.*", text))
        assert all("allow_pickle=False" in call for call in re.findall(r"np\.load\(.*", text))


class Touches:
    """An object whose pickle runs a program when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_checkpoint_runs_nothing(crafted, marker):
    run = crafted()
    (run / "checkpoints").mkdir()
    torch.save({"state_dict": Touches(marker)}, run / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match="last.ckpt"):
        vae_lab.load(run)
    assert not marker.exists()


@pytest.mark.parametrize(
    "word", ["hydra.launcher.slots={_target_: os.getlogin}", "hydra.launcher._target_=a.B"]
)
def test_a_launcher_takes_no_node(word):
    with pytest.raises(UserError, match=r"^hydra\.launcher\.\w+ must be a plain value; hydra/launcher="):
        hydra_settings.check_hydra_settings(["-m", word])


@pytest.mark.parametrize(
    "change",
    [
        {"definition": [1]},
        {"metrics": {"a": "b"}},
        {"code": [1]},
        {"notes": 3},
        {"config": [1]},
        {"parameters": 3},  # a training's, without what else each of these has
    ],
    ids=str,
)
def test_a_result_of_odd_kinds_is_damaged(crafted, change):
    run = crafted()
    result = json.loads((run / "metrics.json").read_bytes())
    (run / "metrics.json").write_text(json.dumps(result | change))
    with pytest.raises(UserError, match=r"metrics\.json is damaged"):
        vae_lab.load(run)
    (run / "metrics.json").write_text(json.dumps({"metrics": {}}))
    with pytest.raises(UserError, match="holds a run of another configuration"):
        vae_lab.load(run)


@pytest.mark.parametrize(
    "change",
    [
        {"entries": [{"point": [1], "directory": "a"}]},
        {"entries": [{"point": {}, "directory": "\0"}]},
        {"roles": [1]},
        {"roles": {"seed": "other"}},
        {"name": [1]},
        {"keys": 3},
    ],
    ids=str,
)
def test_a_sweep_of_odd_kinds_is_damaged(tmp_path, change):
    empty = {"name": "s", "question": "", "command": "train", "figure": None, "metric": "", "roles": {}}
    whole = empty | {"entries": [{"point": {}, "directory": "a"}], "code": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(whole))
    assert manifest.read_manifest(tmp_path).name == "s"
    (tmp_path / "manifest.json").write_text(json.dumps(whole | change))
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        manifest.read_manifest(tmp_path)
    (tmp_path / "slurm.json").write_text("[1]")
    assert slurm.numbers(tmp_path) == {}


def test_the_page_names_the_list_of_what_is_trusted(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = f"~/{trust._store().relative_to(tmp_path)}"
    page = (ROOT / "docs" / "security.md").read_text()
    assert re.findall(r"`(~/[^`]*)`", page) == [place, place]
