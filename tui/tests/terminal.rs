//! The screens in a real terminal, that of tmux: started, paused, stepped, resized, left; and
//! that the terminal is left as it was found, whatever ends the program.
//!
//! Skipped, and said so, where tmux is not installed.

mod common;

use assert_cmd::cargo::cargo_bin;
use common::SMALL;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long something may take to appear: builds without optimisation on a busy host are slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal with a shell in it.
struct Terminal {
    socket: String,
    _directory: tempfile::TempDir,
}

impl Terminal {
    /// `None`: there is no tmux.
    fn open(name: &str) -> Option<Terminal> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("SKIPPED: tmux is not installed");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join(name).display().to_string();
        let terminal = Terminal { socket, _directory: directory };
        let shell = "env PS1='$ ' XDG_CONFIG_HOME=/nonexistent LC_ALL=C.UTF-8 TERM=screen-256color sh";
        let dir = terminal._directory.path().display().to_string();
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-c", &dir, shell]);
        terminal.tmux(&["set-option", "-g", "window-size", "manual"]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).output().expect("tmux runs");
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        let arguments: Vec<_> = ["send-keys"].iter().chain(keys).copied().collect();
        self.tmux(&arguments);
    }

    /// Types a line and ends it.
    fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.keys(&["Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "no {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// What `stty -g` says, told under a name, once the shell is back.
    fn settings(&self, name: &str) -> String {
        self.wait("the shell", |screen| screen.trim_end().ends_with('$'));
        self.line(&format!("echo {name}=$(stty -g)."));
        let begin = format!("{name}=");
        let found = |screen: &str| {
            let line = screen.lines().find(|l| l.starts_with(&begin) && l.ends_with('.'))?;
            Some(line.to_owned())
        };
        let screen = self.wait(name, |screen| found(screen).is_some());
        found(&screen).expect("it was waited for")[begin.len()..].to_owned()
    }

    fn start(&self, more: &str) {
        let program = cargo_bin("shootdown");
        self.line(&format!("{} tui {} {more}", program.display(), SMALL.join(" ")));
    }

    fn cycle(screen: &str) -> u64 {
        let at = screen.find("cycle ").unwrap_or_else(|| panic!("no cycle:\n{screen}")) + 6;
        let digits: String = screen[at..].chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        digits.replace(',', "").parse().expect("a number")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

#[test]
fn a_session_from_start_to_quit() {
    let Some(t) = Terminal::open("session") else { return };
    let before = t.settings("before");
    t.start("--set ops=2000");
    // It runs; a pause stops it.
    t.wait_for("RUNNING");
    t.keys(&["Space"]);
    t.wait_for("PAUSED");
    let at = Terminal::cycle(&t.screen());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(Terminal::cycle(&t.screen()), at, "a paused run stands still");
    // Steps: an instruction, an event, and back.
    t.keys(&["s"]);
    t.wait_for("STEPPED");
    t.keys(&["n"]);
    t.wait("a shootdown", |s| s.contains("PAUSED") && Terminal::cycle(s) > at);
    t.keys(&["b"]);
    t.wait("the stop before", |s| !s.contains("RUNNING") && Terminal::cycle(s) <= at + 100_000);
    // Every screen by its number, then help.
    let tabs = t.screen().lines().next().unwrap_or_default().to_owned();
    let words: Vec<_> = tabs.split_whitespace().collect();
    for pair in words.windows(2).filter(|p| p[0].parse::<u32>().is_ok()) {
        t.keys(&[pair[0]]);
        let sign = match pair[1] {
            "Overview" => "Latencies in cycles",
            "Timeline" => "S send  > arrival",
            "TLB" => "v valid  G global",
            "Window" => "S stale  given last",
            "Compare" => "TLB misses per ",
            "Console" => "Serial port of the guest",
            other => panic!("a screen without a sign: {other}"),
        };
        t.wait_for(sign);
    }
    t.keys(&["?"]);
    t.wait_for("one instruction of the focused processor");
    t.keys(&["1"]);
    // Sizes.
    t.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    t.wait("the screen at 80x24", |s| s.contains("Latencies in cycles") && s.contains("? help"));
    t.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    t.wait_for("40x10 is too small");
    t.tmux(&["resize-window", "-x", "120", "-y", "36"]);
    t.wait_for("Latencies in cycles");
    // Another strategy by the form.
    t.keys(&["c"]);
    t.wait_for("choose what runs");
    t.keys(&["Down", "C-u"]);
    t.tmux(&["send-keys", "-l", "atomic"]);
    t.keys(&["Enter"]);
    t.wait("a run of atomic", |s| s.contains(" atomic ") && !s.contains("choose what runs"));
    // The screen as a file.
    t.keys(&["e"]);
    t.wait_for("write screen to");
    t.keys(&["C-u"]);
    t.line("here.txt");
    t.wait_for("written to here.txt");
    assert!(t._directory.path().join("here.txt").exists());
    t.keys(&["q"]);
    assert_eq!(t.settings("after"), before);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let Some(t) = Terminal::open("signal") else { return };
    let before = t.settings("before");
    let program = cargo_bin("shootdown").display().to_string();
    t.line(&format!("{program} tui {}", SMALL.join(" ")));
    t.wait("a screen", |s| s.contains("RUNNING") || s.contains("FINISHED"));
    let pane = t.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", pane.trim()))
        .expect("the shell's child");
    let child = children.split_whitespace().next().expect("the program").to_owned();
    let kill = Command::new("kill").args(["-TERM", &child]).status().expect("kill runs");
    assert!(kill.success());
    assert_eq!(t.settings("after"), before);
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_told() {
    let Some(t) = Terminal::open("panic") else { return };
    let before = t.settings("before");
    t.start("--panic-after 3");
    let screen = t.wait_for("injected panic");
    assert!(!screen.contains("Latencies in cycles"), "{screen}");
    assert_eq!(t.settings("after"), before);
}
