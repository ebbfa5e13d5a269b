//! On a terminal: input, frames and signals meet in one loop; the machines run on their own thread.

use super::app::{App, Effect};
use super::engine::{Command, Engine, Pace};
use super::options::{Options, Start};
use super::session::Session;
use super::snapshot::Snapshot;
use super::terminal::Guard;
use anyhow::{Context, Result, bail};
use ratatui::crossterm::event::{self, Event};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

enum Message {
    Input(Event),
    Frame(Box<Snapshot>),
    /// The terminal is gone, or somebody wants us to end.
    End,
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Timings {
    /// From a key to the end of the frame that shows what it did.
    pub latencies: Vec<Duration>,
    /// Drawing each frame.
    pub frames: Vec<Duration>,
    /// Of the machines' thread: running, and making snapshots.
    pub engine: super::session::Busy,
}

/// Runs the screen until the user leaves.
pub fn run(
    engine: Engine,
    flag: Arc<AtomicBool>,
    app: &mut App,
    options: &Options,
    panic_after: Option<usize>,
) -> Result<Timings> {
    let mut guard = Guard::take()?;
    let (sender, receiver) = mpsc::channel();
    listen(sender.clone());
    let ended = sender.clone();
    // Without the handler a signal ends the program and leaves the terminal as it is; the loop is still right.
    let _ = ctrlc::set_handler(move || {
        let _ = ended.send(Message::End);
    });
    let session = Session::start(engine, flag, move |s| {
        let _ = sender.send(Message::Frame(Box::new(s)));
    });
    session.speed(options.speed);
    session.command(Command::Look(app.look()));
    if options.start == Start::Running {
        session.command(Command::Run);
    }
    session.frame();
    let mut timings = Timings::default();
    let period = Duration::from_secs(1) / options.frames.max(1);
    // A frame was asked for; when the next one is due; a key that no frame has answered yet.
    let (mut asked, mut due, mut key): (bool, Instant, Option<Instant>) = (true, Instant::now(), None);
    let mut rate = Rate::default();
    loop {
        let message = receiver
            .recv_timeout(due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        match message {
            Ok(Message::Input(input)) => {
                key.get_or_insert_with(Instant::now);
                for effect in app.event(&input) {
                    match effect {
                        Effect::Command(command) => session.command(command),
                        Effect::Speed(speed) => session.speed(speed),
                        Effect::Quit => {
                            timings.engine = session.end();
                            return Ok(timings);
                        }
                    }
                }
                // What it did is seen in the next frame, which is wanted at once.
                session.frame();
                asked = true;
            }
            Ok(Message::Frame(snapshot)) => {
                asked = false;
                app.host_speed = rate.see(&snapshot);
                app.show(Arc::from(snapshot));
                let start = Instant::now();
                guard.terminal.draw(|f| app.draw(f.buffer_mut())).context("cannot draw")?;
                timings.frames.push(start.elapsed());
                timings.latencies.extend(key.take().map(|k| k.elapsed()));
                due = start + period;
                if panic_after == Some(timings.frames.len()) {
                    panic!("injected panic");
                }
            }
            Ok(Message::End) => {
                timings.engine = session.end();
                return Ok(timings);
            }
            Err(RecvTimeoutError::Timeout) => {
                let rests = app.snapshot().is_some_and(|s| s.pace == Pace::Paused);
                if rests {
                    due = Instant::now() + Duration::from_millis(200);
                } else if !asked {
                    session.frame();
                    asked = true;
                }
                if session.is_dead() {
                    bail!("the emulator's thread has ended");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(timings),
        }
    }
}

/// Passes the terminal's events on. The thread ends with the program.
fn listen(sender: Sender<Message>) {
    thread::spawn(move || {
        loop {
            let message = match event::read() {
                Ok(event) => Message::Input(event),
                Err(_) => Message::End,
            };
            let over = matches!(message, Message::End);
            if sender.send(message).is_err() || over {
                return;
            }
        }
    });
}

/// Instructions for each second of the host, over some frames.
#[derive(Default)]
struct Rate {
    since: Option<(Instant, u64, u64)>,
    shown: Option<f64>,
}

impl Rate {
    fn see(&mut self, snapshot: &Snapshot) -> Option<f64> {
        let count = snapshot.runs.iter().map(|r| r.all.totals().instructions).sum();
        let now = Instant::now();
        match self.since {
            _ if snapshot.pace == Pace::Paused => (self.since, self.shown) = (None, None),
            Some((since, generation, before)) if generation == snapshot.generation && count >= before => {
                let passed = now - since;
                if passed > Duration::from_millis(500) {
                    self.shown = Some((count - before) as f64 / passed.as_secs_f64());
                    self.since = Some((now, generation, count));
                }
            }
            _ => self.since = Some((now, snapshot.generation, count)),
        }
        self.shown
    }
}
