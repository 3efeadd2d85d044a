"""A real Slurm cluster on the loopback interface of one machine: munged, slurmctld and several slurmd.

No accounting database, no control groups, no systemd; root or not. Everything is in one folder. A node's CPUs and GPUs
are what the configuration says, not what the machine has (the GPUs are terminals).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue")

#: Seconds for everything that Slurm's own commands do; they wait for ever for a daemon that hangs.
PATIENCE = 30

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# The credential's life is also how long a requeued job waits: two minutes by default.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
# Submitit names its files by job number: those of another cluster must not be taken for this one's.
FirstJobId={first_job}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
PlugStackConfig={folder}/plugstack.conf
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
MinJobAge=86400
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
# A request that no node can fulfil fails at once instead of waiting for ever.
EnforcePartLimits=ALL
GresTypes=gpu
NodeName={names} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports} CPUs={cpus} RealMemory=1000000 Gres=gpu:{gpus}
PartitionName=main Nodes={main} Default=YES MaxTime=2-00:00:00 PriorityTier=1 GraceTime=20 State=UP
PartitionName=abrupt Nodes={abrupt} PriorityTier=1 GraceTime=0 State=UP
PartitionName=cancelling Nodes={abrupt} PriorityTier=1 GraceTime=0 PreemptMode=CANCEL State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 State=UP
"""


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_search_path()) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    try:
        address = socket.gethostbyname(_host())
    except OSError:
        address = "nothing"
    if not address.startswith("127."):
        # slurmd listens on what the host name resolves to, whatever NodeAddr says.
        return f"the host name {_host()} resolves to {address}, not to a loopback address"
    return ""


class Cluster:
    """A cluster that runs until :meth:`stop`.

    A job in the partition "urgent" takes the place of those of the others: in "main" they get a signal and time to
    save, in "abrupt" they are killed; both are requeued. In "cancelling" they are killed for good.

    Attributes:
        nodes: names of the nodes of "main": addresses, since processes of several nodes find each other by them.
        abrupt: names of the nodes of "abrupt" and "cancelling".
        folder: of its configuration, state and logs.
        hidden: a folder that the last of ``nodes`` sees empty, as if it were not shared; None where that cannot be had.
    """

    def __init__(self, nodes: int = 2, abrupt: int = 2, cpus: int = 2, gpus: int = 2) -> None:
        # Not pytest's own folder, which is closed to others: munged refuses that. Short, for the sockets in it.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        names = [f"127.0.0.{11 + index}" for index in range(nodes + abrupt)]
        self.nodes, self.abrupt = names[:nodes], names[nodes:]
        self._started: list[int] = []
        port = _free_ports(len(names) + 1)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=_host(),
                port=port,
                user=user,
                first_job=secrets.randbelow(60_000_000) + 1000,
                names=f"127.0.0.[11-{10 + len(names)}]",
                main=",".join(self.nodes),
                abrupt=",".join(self.abrupt),
                ports=f"[{port + 1}-{port + len(names)}]",
                cpus=cpus,
                gpus=gpus,
            )
        )
        (self.folder / "gres.conf").write_text(f"Name=gpu Count={gpus} File=/dev/tty[0-{gpus - 1}]\n")
        (self.folder / "plugstack.conf").touch()
        (self.folder / "state").mkdir()
        self.hidden: Path | None = self.folder / "hidden"
        self.hidden.mkdir()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _search_path()}

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        result = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
        return result.stdout.strip()

    def state(self, job: str) -> str:
        """Slurm's word for the state of a job."""
        return self.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")

    def wait_for(self, job: str, *states: str, seconds: float = 120) -> str:
        """Wait until a job is in one of the states; which one."""
        until = time.monotonic() + seconds
        while (state := self.state(job)) not in states:
            assert time.monotonic() < until, f"job {job} is {state} after {seconds} s, not {' or '.join(states)}"
            time.sleep(0.3)
        return state

    def running(self) -> dict[str, int]:
        """The jobs that are running, each with how often Slurm has started it again."""
        lines = self.run("squeue", "--noheader", "--states=RUNNING", "--Format=JobID:20,RestartCnt:10").splitlines()
        return {job: int(restarts) for job, restarts in map(str.split, lines)}

    def preempt(self, node: str) -> None:
        """Let a more urgent job have a node, for a moment."""
        options = (f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=true")
        self.run("sbatch", "--partition=urgent", *options)

    def stop(self) -> None:
        """End all jobs and daemons, and remove the folder."""
        if (self.folder / "slurmctld.pid").exists():
            for job in set(self.run("squeue", "--noheader", "--format=%A").split()):
                subprocess.run(["scancel", job], env=os.environ | self.environment, timeout=PATIENCE, check=False)
            until = time.monotonic() + PATIENCE
            while self.run("squeue", "--noheader", "--format=%A") and time.monotonic() < until:
                time.sleep(0.2)
        munged, *others = self._started or [0]
        _end(others)
        _end([munged] if munged else [])
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        names = {option: self.folder / f"munge.{option}" for option in ("sock", "pid", "log", "seed")}
        self._daemon(
            "munged",
            f"--key-file={key}",
            f"--socket={names['sock']}",
            f"--pid-file={names['pid']}",
            f"--log-file={names['log']}",
            f"--seed-file={names['seed']}",
            "--num-threads=2",
            pid_file=names["pid"],
        )
        conf = ("-f", str(self.folder / "slurm.conf"))
        self._daemon("slurmctld", *conf, pid_file=self.folder / "slurmctld.pid")
        own_mounts = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {self.hidden} && exec "$@"', "sh")
        if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode:
            own_mounts, self.hidden = (), None
        for node in (*self.nodes, *self.abrupt):
            prefix = own_mounts if node == self.nodes[-1] else ()
            self._daemon(*prefix, "slurmd", *conf, "-N", node, pid_file=self.folder / f"slurmd_{node}.pid")
        until = time.monotonic() + PATIENCE
        while len(set(self.run("sinfo", "--noheader", "-N", "--states=idle", "--format=%N").split())) < len(
            self.nodes + self.abrupt
        ):
            assert time.monotonic() < until, (self.folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.1)

    def _daemon(self, *command: str, pid_file: Path) -> None:
        """Start a program that goes to the background, and remember its process."""
        subprocess.run(command, env=os.environ | self.environment, timeout=PATIENCE, check=True)
        until = time.monotonic() + PATIENCE
        while not (pid_file.exists() and pid_file.read_text().strip()):
            assert time.monotonic() < until, f"{command[0]} has not started"
            time.sleep(0.05)
        self._started.append(int(pid_file.read_text()))


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _search_path() -> str:
    return os.pathsep.join(dict.fromkeys([*os.environ["PATH"].split(os.pathsep), "/usr/sbin", "/usr/bin"]))


def _free_ports(count: int) -> int:
    """The first of ``count`` successive ports that nobody listens on."""
    while True:
        first = 20_000 + secrets.randbelow(10_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _end(pids: Sequence[int]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(_is_alive, pids):
            os.kill(pid, number)
        until = time.monotonic() + 10
        while any(map(_is_alive, pids)) and time.monotonic() < until:
            time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
