//! The trail of a run under way: its last shootdowns and its slowest ones, and
//! what the processors did lately. Bounded, and cheap to copy: what has ended is shared.

use super::record::{Record, Shootdown, Span};
use super::recorder::Recorder;
use shootdown_emu::observe::{Event, Observer, Wanted};
use std::collections::VecDeque;
use std::sync::Arc;

/// Shootdowns that are kept because they were the last.
pub const LAST: usize = 512;
/// Shootdowns that are kept because they were the slowest.
pub const SLOWEST: usize = 8;
/// Spans of a block.
const BLOCK: usize = 512;
/// Blocks that are kept.
const BLOCKS: usize = 32;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    recorder: Recorder,
    last: VecDeque<Arc<Shootdown>>,
    /// The slowest one first.
    slowest: Vec<Arc<Shootdown>>,
    seen: u64,
    blocks: VecDeque<Arc<Vec<Span>>>,
    block: Vec<Span>,
}

/// A copy of a trail, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Shootdowns that are kept, in order of their begin; those under way stand last and have no end.
    pub shootdowns: Vec<Arc<Shootdown>>,
    /// How many have ended in all.
    pub seen: u64,
    /// What the processors did lately, in blocks, each in order of ends.
    pub spans: Vec<Arc<Vec<Span>>>,
}

impl Trail {
    /// What there is to see now, at cycle `now`.
    pub fn look(&self, now: u64) -> Look {
        let mut shootdowns: Vec<_> = self.last.iter().chain(&self.slowest).map(Arc::clone).collect();
        shootdowns.sort_by_key(|s| (s.begun, s.cpu));
        shootdowns.dedup_by_key(|s| (s.begun, s.cpu));
        shootdowns.extend(self.recorder.under_way().map(Arc::new));
        let mut spans: Vec<_> = self.blocks.iter().map(Arc::clone).collect();
        let running = self.recorder.activities().map(|span| Span { to: now.max(span.from), ..span });
        spans.push(Arc::new(self.block.iter().copied().chain(running).collect()));
        Look { shootdowns, seen: self.seen, spans }
    }

    fn keep(&mut self, shootdown: Shootdown) {
        let shootdown = Arc::new(shootdown);
        self.seen += 1;
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(Arc::clone(&shootdown));
        // Of equally slow ones the first stays.
        let at = self.slowest.partition_point(|s| s.latency() >= shootdown.latency());
        if at < SLOWEST && shootdown.done.is_some() {
            self.slowest.insert(at, shootdown);
            self.slowest.truncate(SLOWEST);
        }
    }

    fn span(&mut self, span: Span) {
        self.block.push(span);
        if self.block.len() == BLOCK {
            if self.blocks.len() == BLOCKS {
                self.blocks.pop_front();
            }
            self.blocks.push_back(Arc::new(std::mem::take(&mut self.block)));
        }
    }
}

impl Observer for Trail {
    fn wanted(&self) -> Wanted {
        Recorder::WANTED
    }

    fn event(&mut self, event: &Event) {
        self.recorder.event(event);
        while let Some(record) = self.recorder.pop() {
            match record {
                Record::Shootdown(s) => self.keep(s),
                Record::Span(s) => self.span(s),
                Record::Message(_) | Record::Invalidation(_) | Record::Kmap(_) | Record::Point(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shootdown_abi::{Activity, Mark};
    use shootdown_emu::observe::What;

    fn flush(t: &mut Trail, from: u64, to: u64) {
        for (cycle, mark) in [(from, Mark::FlushBegin), (to, Mark::FlushEnd)] {
            t.event(&Event { cpu: 0, cycle, what: What::Mark(mark, 1) });
        }
    }

    #[test]
    fn the_last_and_the_slowest_stay() {
        let mut t = Trail::default();
        flush(&mut t, 10, 5000);
        (1..2000).for_each(|i| flush(&mut t, 10_000 * i, 10_000 * i + 100 + i % 3));
        t.event(&Event { cpu: 1, cycle: 30_000_000, what: What::Mark(Mark::FlushBegin, 1) });
        let look = t.look(30_000_010);
        assert_eq!((look.seen, look.shootdowns.len()), (2000, LAST + SLOWEST + 1));
        assert_eq!(look.shootdowns[0].latency(), Some(4990));
        let slow = look.shootdowns.iter().filter(|s| s.latency() == Some(102));
        assert_eq!(slow.map(|s| s.begun).next(), Some(20_000), "the first of equals");
        let open = look.shootdowns.last().unwrap();
        assert_eq!((open.cpu, open.done), (1, None));
        assert!(look.shootdowns.is_sorted_by_key(|s| s.begun));
    }

    #[test]
    fn spans_are_bounded_and_go_up_to_now() {
        let mut t = Trail::default();
        let activities = [Activity::Kmap, Activity::Kernel];
        for i in 0..2 * (BLOCK * BLOCKS) as u64 {
            let what = What::Activity(activities[i as usize % 2]);
            t.event(&Event { cpu: 0, cycle: 10 * i, what });
        }
        let end = 20 * (BLOCK * BLOCKS) as u64;
        let look = t.look(end);
        let all: Vec<&Span> = look.spans.iter().flat_map(|b| b.iter()).collect();
        assert!((BLOCK * BLOCKS..=BLOCK * (BLOCKS + 1)).contains(&all.len()), "{}", all.len());
        assert!(all.windows(2).all(|w| w[0].to == w[1].from));
        assert_eq!(all.last().map(|s| s.to), Some(end));
    }
}
