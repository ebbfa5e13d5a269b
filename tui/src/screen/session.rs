//! The engine on a thread of its own: commands in, snapshots out.
//!
//! The thread runs pieces as long as the pace says so, and makes a snapshot only when one is
//! asked for, so that frames cost the machine nothing but the looks of one per frame. Commands
//! raise a flag that the machine looks at between two turns: they are heard within a slice.

use super::engine::{Command, Engine, Pace};
use super::latency::Freshness;
use super::snapshot::Snapshot;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Cycles of a piece when nothing limits it.
const PIECE: u64 = 50_000_000;
/// How often a limited run looks at the clock.
const TICK: Duration = Duration::from_millis(5);

/// Speeds that can be chosen, in simulated cycles for a second of the host; `None`: full.
pub const SPEEDS: [Option<u64>; 8] = [
    Some(1_000),
    Some(10_000),
    Some(100_000),
    Some(1_000_000),
    Some(10_000_000),
    Some(30_000_000),
    Some(100_000_000),
    None,
];

enum Message {
    Command(Command),
    /// How fast to run.
    Speed(Option<u64>),
    /// A snapshot is wanted.
    Frame,
    End,
}

/// See the module.
pub struct Session {
    sender: Sender<Message>,
    flag: Arc<AtomicBool>,
    thread: Option<JoinHandle<Busy>>,
}

/// What the thread spent its time on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Busy {
    /// Running machines.
    pub running: Duration,
    /// Making snapshots of machines that would have run meanwhile.
    pub snapshots: Duration,
    /// How many of these.
    pub count: u64,
}

impl Session {
    /// Puts the engine on its thread. `flag` is the engine's; `deliver` gets the snapshots.
    pub fn start(
        engine: Engine,
        flag: Arc<AtomicBool>,
        deliver: impl Fn(Snapshot) + Send + 'static,
    ) -> Session {
        let (sender, receiver) = mpsc::channel();
        let raised = Arc::clone(&flag);
        let thread = thread::spawn(move || serve(engine, &receiver, &raised, deliver));
        Session { sender, flag, thread: Some(thread) }
    }

    fn send(&self, message: Message) {
        // A thread that is gone is noticed by its end.
        let _ = self.sender.send(message);
        self.flag.store(true, Ordering::Release);
    }

    /// Asks for something.
    pub fn command(&self, command: Command) {
        self.send(Message::Command(command));
    }

    /// Sets the speed.
    pub fn speed(&self, speed: Option<u64>) {
        self.send(Message::Speed(speed));
    }

    /// Asks for a snapshot.
    pub fn frame(&self) {
        self.send(Message::Frame);
    }

    /// Ends the thread; what it was busy with.
    pub fn end(mut self) -> Busy {
        self.send(Message::End);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    /// Has the thread ended though nobody asked it to?
    pub fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.send(Message::End);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the hook.
            let _ = thread.join();
        }
    }
}

/// A limited run: where it began.
struct Limit {
    since: Instant,
    from: u64,
}

fn serve(
    mut engine: Engine,
    receiver: &Receiver<Message>,
    flag: &AtomicBool,
    deliver: impl Fn(Snapshot),
) -> Busy {
    let mut busy = Busy::default();
    let mut speed = None;
    let mut limit: Option<Limit> = None;
    loop {
        let limited = matches!(engine.pace(), Pace::Running | Pace::ToEvent).then_some(speed).flatten();
        let until = limited.map_or(u64::MAX, |speed: u64| {
            let limit = limit.get_or_insert_with(|| Limit { since: Instant::now(), from: engine.now() });
            let passed = limit.since.elapsed().as_micros() * u128::from(speed) / 1_000_000;
            limit.from.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
        });
        let waits = engine.pace() == Pace::Paused;
        if !waits && until > engine.now() {
            let start = Instant::now();
            engine.advance(until.min(engine.now().saturating_add(PIECE)));
            busy.running += start.elapsed();
        }
        // Lowered first: what comes from here on raises it again.
        flag.store(false, Ordering::Release);
        let mut next = if waits {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else if limited.is_some() && engine.now() >= until {
            receiver.recv_timeout(TICK)
        } else {
            receiver.recv_timeout(Duration::ZERO)
        };
        loop {
            match next {
                Ok(Message::Command(command)) => {
                    limit = None;
                    engine.obey(command);
                }
                Ok(Message::Speed(s)) => (speed, limit) = (s, None),
                Ok(Message::Frame) => {
                    let start = Instant::now();
                    // Of what stays on the screen nothing is old.
                    let rests = engine.pace() == Pace::Paused;
                    deliver(engine.snapshot(if rests { Freshness::All } else { Freshness::InTurn }));
                    if !rests {
                        busy.snapshots += start.elapsed();
                        busy.count += 1;
                    }
                }
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return busy,
                Err(RecvTimeoutError::Timeout) => break,
            }
            next = receiver.recv_timeout(Duration::ZERO);
        }
    }
}
