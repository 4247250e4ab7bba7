"""The one entrypoint: compose the config, refuse what is wrong with it, hand it to the runner.

Everything that is slow to import (torch, wandb) is imported further down, once it is needed.
"""

import os
import secrets
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mllmrec.compose import check
from mllmrec.errors import Refusal
from mllmrec.grid import following, jobs, launcher
from mllmrec.sweep import choices

# Idle threads of torch spin; beside other jobs they then take the time of those at work, and a step
# was seen to take 30 times as long. So few spins cost nothing where the machine is free.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

CONF = Path(__file__).parent / "conf"
SWEEPS = Path(__file__).parent / "sweeps"
RUN = secrets.token_hex(3)  # so that two runs that begin in one second do not share a folder
OmegaConf.register_new_resolver("run", lambda: RUN, replace=True)
choices.register(SWEEPS)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(config: DictConfig) -> None:
    """One job; Hydra calls it once, or once for each point of a grid."""
    from mllmrec.runner import launch

    try:
        with jobs.told(HydraConfig.get()):
            launch(config, HydraConfig.get())
    except Refusal as refusal:
        if HydraConfig.get().mode == RunMode.RUN and os.environ.get("HYDRA_FULL_ERROR") != "1":
            sys.exit(f"mllmrec: {refusal}")
        # in a grid Hydra goes on with the other jobs, and prints this kind without a traceback
        raise CompactHydraException(f"mllmrec: {refusal}") from refusal


def main() -> None:
    is_full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        launcher.check_installed(sys.argv[1:])
        check(sys.argv[1:], CONF)
        launcher.check_machine(sys.argv[1:], str(CONF))
        job()
    except Refusal as refusal:
        if is_full:
            raise
        sys.exit(f"mllmrec: {refusal}")
    except KeyboardInterrupt:  # which Hydra lets through
        if is_full:
            raise
        print("mllmrec: interrupted; repeat the command to go on", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT, as shells expect it
    finally:
        following.end()


if __name__ == "__main__":
    main()
