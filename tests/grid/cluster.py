"""A SLURM cluster of one node, this machine: its daemons run from a private folder."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

CONF = """
ClusterName=one
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def where(name: str) -> str | None:
    """The path of a program; daemons lie where a user's PATH need not lead."""
    return shutil.which(name) or shutil.which(name, path=SBIN)


def missing() -> list[str]:
    return [name for name in NEEDED if not where(name)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which SLURM's commands find the cluster, for as long as it runs."""
    folder.chmod(0o755)  # munged wants its socket reachable, and no folder of it writable to others
    for name in ("spool", "state"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(user=getpass.getuser(), folder=folder, ports=free_ports(2)))
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    munge = [f"--{kind}={folder}/munge.{kind.partition('-')[0]}" for kind in ("socket", "pid-file")]
    munge += [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "log", "seed")]
    daemons = [
        ["munged", "--foreground", "--force", *munge],
        ["slurmctld", "-D", "-i", "-f", str(conf)],
        ["slurmd", "-D", "-N", "localhost", "-f", str(conf)],
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            with (folder / f"{command[0]}.out").open("wb") as out:
                started.append(
                    subprocess.Popen(
                        [str(where(command[0])), *command[1:]],
                        env=environment,
                        stdout=out,
                        stderr=out,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )
            if command[0] == "munged":
                wait_for(lambda: (folder / "munge.socket").exists(), "munged's socket", folder)
        wait_for(lambda: "idle" in told(environment, "sinfo", "-h", "-o", "%T"), "a node", folder)
        yield environment
    finally:
        told(environment, "scancel", "--user", getpass.getuser())
        for daemon in reversed(started):
            daemon.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=20)
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()


def told(environment: dict[str, str], *command: str) -> str:
    """What one of SLURM's commands prints."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def wait_for(is_there, what: str, folder: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > until:
            logs = [*folder.glob("*.log"), *folder.glob("*.out")]
            tails = "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in logs)
            raise AssertionError(f"{what} did not come up in {seconds:.0f} s\n{tails}")
        time.sleep(0.2)
