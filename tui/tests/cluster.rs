//! Shards under Slurm and under GNU parallel, where these are installed; else the tests say that they did nothing.
//!
//! Slurm runs on this host alone, with its configuration, key and state in a temporary directory: `munged`, `slurmctld` and
//! `slurmd` are started and ended here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Eight small cells.
const STUDY: &str = "repeats = 4\n[set]\nops = 40\nwarmup = 10\nmem = \"64M\"\nnormal = \"16M\"\nwindow = 64\npages = 128\n\
    cpus = 2\n[vary]\nstrategy = [\"atomic\", \"batched\"]\n";
/// Shards of each submission.
const SHARDS: &str = "4";
/// How long a job may take to be through, with a busy host.
const PATIENCE: Duration = Duration::from_secs(180);

fn installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|p| which(p).is_none()).collect();
    if !missing.is_empty() {
        println!("SKIPPED: {missing:?} not installed");
    }
    missing.is_empty()
}

/// Daemons lie in directories that a user's path may not have.
fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.into_iter().map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A planned sweep below `dir`, and the bytes that it must merge to.
fn planned(dir: &Path) -> (PathBuf, Vec<u8>) {
    std::fs::write(dir.join("study.toml"), STUDY).unwrap();
    let mut dirs = ["whole", "parts"].map(|name| dir.join(name));
    for sweep in &dirs {
        let words =
            [Path::new("sweep"), Path::new("plan"), &dir.join("study.toml"), Path::new("--out"), sweep];
        assert!(run(Command::new(program()).args(words)).status.success());
    }
    let [whole, parts] = &mut dirs;
    assert!(run(Command::new(program()).args(["sweep", "run"]).arg(&whole)).status.success());
    let out = dir.join("wanted.jsonl");
    assert!(
        run(Command::new(program()).args(["sweep", "merge"]).arg(&whole).arg("--out").arg(&out))
            .status
            .success()
    );
    (parts.clone(), std::fs::read(out).unwrap())
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_shootdown")
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// The program, but for one shard, which fails as long as a file is there.
fn faulty(dir: &Path) -> (PathBuf, PathBuf) {
    let (wrapper, trigger) = (dir.join("faulty.sh"), dir.join("fail"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *'--shard 2/{SHARDS}'*) [ -e '{}' ] && exit 3;; esac\nexec '{}' \"$@\"\n",
        trigger.display(),
        program()
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::write(&trigger, "").unwrap();
    let made = Command::new("chmod").arg("755").arg(&wrapper).status().unwrap();
    assert!(made.success());
    (wrapper, trigger)
}

#[test]
fn gnu_parallel_runs_the_shards_and_the_merge_notices_a_failed_one() {
    if !installed(&["parallel"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (parts, wanted) = planned(dir.path());
    let (wrapper, trigger) = faulty(dir.path());
    let submit = || {
        let mut command = Command::new(program());
        command.args(["sweep", "submit"]).arg(&parts).args(["--engine", "parallel", "--shards", SHARDS]);
        run(command.arg("--program").arg(&wrapper).env("HOME", dir.path()))
    };
    let failed = submit();
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("2 of 8 cells are missing"), "{}", text(&failed.stderr));
    std::fs::remove_file(trigger).unwrap();
    let done = submit();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(std::fs::read(parts.join("merged.jsonl")).unwrap(), wanted);
}

/// One-node Slurm; its daemons end with it.
struct Slurm {
    dir: PathBuf,
    daemons: Vec<std::process::Child>,
}

impl Slurm {
    fn start(dir: &Path) -> Slurm {
        for name in ["spool", "state"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        let host = text(&run(Command::new("hostname").arg("-s")).stdout).trim().to_owned();
        let user = text(&run(Command::new("id").arg("-un")).stdout).trim().to_owned();
        let at = dir.display();
        // Ports that are free now.
        let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, two) = (port(), port());
        let ports = [&one, &two].map(|l| l.local_addr().unwrap().port());
        drop((one, two));
        let configuration = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmdPort={}\nSlurmUser={user}\n\
             SlurmdUser={user}\nAuthType=auth/munge\nAuthInfo=socket={at}/munge.socket\nStateSaveLocation={at}/state\n\
             SlurmdSpoolDir={at}/spool\nSlurmctldPidFile={at}/slurmctld.pid\nSlurmdPidFile={at}/slurmd.pid\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\nSchedulerParameters=sched_interval=1,batch_sched_delay=1\nReturnToService=2\n\
             MpiDefault=none\nNodeName={host} NodeAddr=127.0.0.1 CPUs=1 RealMemory=100 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            ports[0], ports[1]
        );
        std::fs::write(dir.join("slurm.conf"), configuration).unwrap();
        std::fs::write(dir.join("munge.key"), [7; 1024]).unwrap();
        assert!(Command::new("chmod").arg("600").arg(dir.join("munge.key")).status().unwrap().success());
        let mut slurm = Slurm { dir: dir.into(), daemons: Vec::new() };
        let file = |option: &str, name: &str| format!("--{option}={at}/{name}");
        slurm.daemon(
            "munged",
            &[
                "--foreground".into(),
                "--force".into(),
                file("socket", "munge.socket"),
                file("key-file", "munge.key"),
                file("pid-file", "munged.pid"),
                file("log-file", "munged.log"),
                file("seed-file", "munge.seed"),
            ],
        );
        slurm.wait("munged", |dir| dir.join("munge.socket").exists());
        let conf = format!("{at}/slurm.conf");
        slurm.daemon("slurmctld", &["-D".into(), "-f".into(), conf.clone()]);
        slurm.daemon("slurmd", &["-D".into(), "-f".into(), conf]);
        slurm.wait("a node", |dir| text(&client(dir, "sinfo", &["-h", "-o", "%t"]).stdout).contains("idle"));
        slurm
    }

    fn daemon(&mut self, program: &str, words: &[String]) {
        let log = std::fs::File::create(self.dir.join(format!("{program}.out"))).unwrap();
        let mut command = Command::new(which(program).unwrap());
        command.args(words).env("SLURM_CONF", self.dir.join("slurm.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    /// Waits until something is so.
    fn wait(&self, what: &str, is: impl Fn(&Path) -> bool) {
        let start = Instant::now();
        while !is(&self.dir) {
            let logs = || {
                ["munged", "slurmctld", "slurmd"].map(|name| {
                    let text =
                        std::fs::read_to_string(self.dir.join(format!("{name}.out"))).unwrap_or_default();
                    text.lines().rev().take(5).collect::<Vec<_>>().join("\n")
                })
            };
            assert!(
                start.elapsed() < PATIENCE,
                "waited too long for {what}; logs: {}",
                logs().join("\n--\n")
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // The last first; each is this test's own child.
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn client(dir: &Path, program: &str, words: &[&str]) -> Output {
    run(Command::new(program).args(words).env("SLURM_CONF", dir.join("slurm.conf")))
}

#[test]
fn a_slurm_array_with_a_failing_shard_merges_only_after_it_was_run_again() {
    if !installed(&["munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (parts, wanted) = planned(dir.path());
    let (wrapper, trigger) = faulty(dir.path());
    let home = tempfile::tempdir().unwrap();
    let slurm = Slurm::start(home.path());
    let submit = || {
        let mut command = Command::new(program());
        command.args(["sweep", "submit"]).arg(&parts).args(["--engine", "slurm", "--shards", SHARDS]);
        command.arg("--program").arg(&wrapper).env("SLURM_CONF", home.path().join("slurm.conf"));
        let done = run(&mut command);
        assert!(done.status.success(), "{}", text(&done.stderr));
        // The queue is empty when array and merge are through, or the merge was dropped.
        slurm.wait("the queue to drain", |dir| {
            let queue = client(dir, "squeue", &["-h"]);
            queue.status.success() && queue.stdout.is_empty()
        });
    };
    submit();
    assert!(!parts.join("merged.jsonl").exists(), "the merge depends on all shards");
    std::fs::remove_file(trigger).unwrap();
    submit();
    assert_eq!(std::fs::read(parts.join("merged.jsonl")).unwrap(), wanted);
}
