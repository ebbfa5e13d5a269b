//! Barriers: processes meet, none goes on before all are there.

use crate::param::NBARRIER;
use crate::sched::WaitQueue;
use crate::sync::SpinLock;

struct Meeting {
    arrived: u32,
    /// How often the barrier has opened: tells this meeting from the next one.
    opened: u32,
}

struct Barrier {
    meeting: SpinLock<Meeting>,
    waiters: WaitQueue,
}

static BARRIERS: [Barrier; NBARRIER] = [const {
    Barrier { meeting: SpinLock::new(Meeting { arrived: 0, opened: 0 }), waiters: WaitQueue::new() }
}; NBARRIER];

/// Sleeps until `n` processes are at barrier `id`; `None` if there is no such barrier.
pub fn wait(id: u32, n: u32) -> Option<()> {
    let barrier = BARRIERS.get(id as usize)?;
    let mut meeting = barrier.meeting.lock();
    let round = meeting.opened;
    meeting.arrived += 1;
    if meeting.arrived >= n {
        meeting.arrived = 0;
        meeting.opened = round.wrapping_add(1);
        drop(meeting);
        barrier.waiters.wake_all();
        return Some(());
    }
    while meeting.opened == round {
        barrier.waiters.sleep_on(meeting);
        meeting = barrier.meeting.lock();
    }
    Some(())
}
