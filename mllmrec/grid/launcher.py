"""What a launcher of jobs needs, checked before the first of them."""

import shutil
from collections.abc import Sequence
from importlib.util import find_spec

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from mllmrec.errors import Refusal
from mllmrec.grid import gpus
from mllmrec.grid.jobs import WORKERS, kind_of
from mllmrec.hardware import machine
from mllmrec.overrides import typed_keys

GROUP = "hydra/launcher"
PLUGINS = {
    "processes": ("hydra_plugins.hydra_joblib_launcher", "parallel"),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "parallel"),
    "slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}

OmegaConf.register_new_resolver("at_once", gpus.at_once, replace=True)


def check_installed(argv: Sequence[str]) -> None:
    """Refuse a launcher that would not be used, or whose package is missing.

    Raises:
        Refusal: there is no ``-m``, or a package to install.
    """
    args, _ = get_args_parser().parse_known_args(list(argv))
    chosen = choice(args.overrides)
    if chosen is None:
        return
    if not args.multirun and not (args.help or args.hydra_help or args.cfg or args.info):
        raise Refusal(
            f"{GROUP}={chosen} without -m: a single launch runs here, in this process",
            allowed="a launcher with -m, which takes a single point too",
            do=f"type python launch.py -m {GROUP}={chosen} and the rest, or leave it out",
        )
    package, extra = PLUGINS.get(chosen, ("hydra", ""))
    try:
        found = find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Refusal(
            f"{GROUP}={chosen}: its package is not installed",
            allowed="the launchers whose packages are; without one jobs run one after the other",
            do=f"type pip install 'mllmrec[{extra}]'",
        )


def check_machine(argv: Sequence[str], conf: str) -> None:
    """Refuse more jobs at once than there are GPUs, and SLURM where there is none.

    The config is one that composes.

    Raises:
        Refusal: the machine does not have what the launcher needs.
    """
    args, _ = get_args_parser().parse_known_args(list(argv))
    chosen = choice(args.overrides)
    if chosen is None or not args.multirun:
        return
    if asks_for_a_plan(args.overrides):
        raise Refusal(
            f"plan_only=true with {GROUP}={chosen}: jobs elsewhere would print their plans there",
            allowed="the plans of a grid's points, printed here one after the other",
            do=f"leave {GROUP}={chosen} out, or plan_only=true",
        )
    words = [word for word in args.overrides if word.lstrip("+~").startswith("hydra")]
    with initialize_config_dir(version_base="1.3", config_dir=conf):
        name = args.config_name or "config"
        node = compose(name, overrides=words, return_hydra_config=True).hydra.launcher
        kind = kind_of(node)
        own = machine.gpus() if kind in WORKERS else []
        jobs = int(node.n_jobs) if kind in WORKERS else 0
    if kind == "SlurmLauncher" and not shutil.which("sbatch"):
        raise Refusal(
            f"{GROUP}={chosen}: there is no sbatch on this machine",
            allowed="a machine that can submit to a SLURM cluster: its login node",
            do=f"repeat the command there, or type {GROUP}=processes to run the jobs here",
        )
    if kind in WORKERS and not own and jobs == 0:
        raise Refusal(
            f"hydra.launcher.n_jobs={jobs}: no number of jobs at once",
            allowed="1 or more; -1 for one a core",
            do="type hydra.launcher.n_jobs=2, or leave it out",
        )
    if own and not 0 < jobs <= len(own):
        raise Refusal(
            f"hydra.launcher.n_jobs={jobs}: each job has a GPU to itself, and there are {len(own)}",
            allowed=f"1 to {len(own)} jobs at once; CUDA_VISIBLE_DEVICES says which GPUs",
            do=f"type hydra.launcher.n_jobs={len(own)}, or leave it out",
        )


def asks_for_a_plan(overrides: Sequence[str]) -> bool:
    values = [word.partition("=")[2] for word in overrides if typed_keys([word]) == ["plan_only"]]
    return bool(values) and values[-1].lower() in ("true", "yes", "on", "1")


def choice(overrides: Sequence[str]) -> str | None:
    """The launcher that was typed, if it is not Hydra's own for one job after the other."""
    values = [word.partition("=")[2] for word in overrides if typed_keys([word]) == [GROUP]]
    return values[-1] if values and values[-1] not in ("basic", "null") else None
