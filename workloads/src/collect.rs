//! The collector: an observer that makes latencies of the guest's marks.
//!
//! ```text
//!  kmap        KmapBegin .. KmapEnd        per task: it may sleep and end on another processor
//!  initiator   FlushBegin .. FlushEnd      per task
//!  target      IPI arrives .. HandlerEnd   per processor: waiting with interrupts off included
//!  response    told by the guest           from the time that an operation was due until it is done
//!  interrupt   requested   .. taken        told by the machine, for each that can be held off; the timer's apart as well
//!  off         IF cleared  .. IF set       told by the machine, in ring 0
//! ```
//!
//! Only what begins and ends within the region of interest counts; until that begins, what is counted is the
//! warm-up, as with all figures of a run that has not come further. The order is that in which the machine delivers
//! events: processors may be out of step by one slice, less than a line transfer.

use crate::waits::WaitCollector;
use hdrhistogram::Histogram;
use shootdown_abi::{FLUSH_VECTOR, Mark, TIMER_VECTOR};
use shootdown_emu::config::MAX_CPUS;
use shootdown_emu::observe::{Event, Observer, Wanted, What};
use std::collections::HashMap;

/// Latencies of one run, in cycles.
#[derive(Clone)]
pub struct Collector {
    /// False from the end of the region of interest on.
    measuring: bool,
    /// What began before this cycle belongs to the warm-up.
    from: u64,
    /// Begin of a kmap by task; looked up, never iterated.
    kmaps: HashMap<u32, u64>,
    /// Begin of a flush by task; looked up, never iterated.
    flushes: HashMap<u32, u64>,
    /// Arrival of a flush IPI that waits to be taken, per processor.
    arrived: [Option<u64>; MAX_CPUS],
    /// Arrival of the one whose handler runs.
    handled: [Option<u64>; MAX_CPUS],
    kmap: Histogram<u64>,
    initiator: Histogram<u64>,
    target: Histogram<u64>,
    response: Histogram<u64>,
    irq: Histogram<u64>,
    timer: Histogram<u64>,
    irqs_off: Histogram<u64>,
    flush_ipis: u64,
    flush_ipi_targets: u64,
    waits: WaitCollector,
}

impl Default for Collector {
    fn default() -> Collector {
        Collector::new()
    }
}

impl Collector {
    /// One that has seen nothing.
    pub fn new() -> Collector {
        Collector {
            measuring: true,
            from: 0,
            kmaps: HashMap::new(),
            flushes: HashMap::new(),
            arrived: [None; MAX_CPUS],
            handled: [None; MAX_CPUS],
            kmap: shootdown_emu::histogram::new(),
            initiator: shootdown_emu::histogram::new(),
            target: shootdown_emu::histogram::new(),
            response: shootdown_emu::histogram::new(),
            irq: shootdown_emu::histogram::new(),
            timer: shootdown_emu::histogram::new(),
            irqs_off: shootdown_emu::histogram::new(),
            flush_ipis: 0,
            flush_ipi_targets: 0,
            waits: WaitCollector::default(),
        }
    }

    /// From the call of kmap to a usable address.
    pub fn kmap(&self) -> &Histogram<u64> {
        &self.kmap
    }

    /// From the begin of a flush of several processors until it is complete everywhere.
    pub fn initiator(&self) -> &Histogram<u64> {
        &self.initiator
    }

    /// From the arrival of a flush IPI until its handler is done.
    pub fn target(&self) -> &Histogram<u64> {
        &self.target
    }

    /// From the time that an operation was due until it was done, of a load in which they are due at times.
    pub fn response(&self) -> &Histogram<u64> {
        &self.response
    }

    /// From the request of an interrupt that can be held off until it is taken.
    pub fn irq(&self) -> &Histogram<u64> {
        &self.irq
    }

    /// The same of the local APIC's timer alone.
    pub fn timer(&self) -> &Histogram<u64> {
        &self.timer
    }

    /// How long interrupts were off in ring 0, each time.
    pub fn irqs_off(&self) -> &Histogram<u64> {
        &self.irqs_off
    }

    /// Messages with the flush vector; a broadcast is one.
    pub fn flush_ipis(&self) -> u64 {
        self.flush_ipis
    }

    /// Processors that these messages were for.
    pub fn flush_ipi_targets(&self) -> u64 {
        self.flush_ipi_targets
    }

    /// Waiting by cause.
    pub fn waits(&self) -> &WaitCollector {
        &self.waits
    }

    /// The begin of something that the machine tells at its end, if that is to be counted.
    fn counted(&self, begin: u64) -> Option<u64> {
        (begin >= self.from).then_some(begin)
    }

    fn mark(&mut self, cpu: usize, cycle: u64, mark: Mark, payload: u32) {
        match mark {
            Mark::RoiBegin => {
                // What was waited for is known across the edge.
                let waits = std::mem::take(&mut self.waits);
                *self = Collector { waits, from: cycle, ..Collector::new() };
            }
            Mark::RoiEnd => self.measuring = false,
            Mark::KmapBegin => {
                self.kmaps.insert(payload, cycle);
            }
            Mark::KmapEnd => end(self.measuring, self.kmaps.remove(&payload), cycle, &mut self.kmap),
            Mark::FlushBegin => {
                self.flushes.insert(payload, cycle);
            }
            Mark::FlushEnd => end(self.measuring, self.flushes.remove(&payload), cycle, &mut self.initiator),
            Mark::Response => {
                end(self.measuring, Some(0), shootdown_abi::response_cycles(payload), &mut self.response);
            }
            Mark::HandlerEnd => {
                let begin = self.handled.get_mut(cpu).and_then(Option::take);
                end(self.measuring, begin, cycle, &mut self.target);
            }
            _ => {}
        }
    }
}

fn end(measuring: bool, begin: Option<u64>, cycle: u64, histogram: &mut Histogram<u64>) {
    if let Some(begin) = begin
        && measuring
    {
        histogram.saturating_record(cycle.saturating_sub(begin));
    }
}

impl Observer for Collector {
    fn wanted(&self) -> Wanted {
        Wanted::MARKS | Wanted::IPIS | Wanted::INTERRUPTS
    }

    fn event(&mut self, event: &Event) {
        let cpu = usize::from(event.cpu);
        self.waits.event(event);
        match event.what {
            What::Mark(mark, payload) => self.mark(cpu, event.cycle, mark, payload),
            What::IpiSent { vector: FLUSH_VECTOR, targets, .. } if self.measuring => {
                self.flush_ipis += 1;
                self.flush_ipi_targets += u64::from(targets.count_ones());
            }
            What::IpiArrived { vector: FLUSH_VECTOR, .. } => {
                if let Some(a) = self.arrived.get_mut(cpu) {
                    // A second one before the first is taken is the same request to the local APIC.
                    a.get_or_insert(event.cycle);
                }
            }
            What::Accepted { vector, requested } => {
                let begin = self.counted(requested);
                end(self.measuring, begin, event.cycle, &mut self.irq);
                if vector == TIMER_VECTOR {
                    end(self.measuring, begin, event.cycle, &mut self.timer);
                }
            }
            What::InterruptsOn { off_at } => {
                end(self.measuring, self.counted(off_at), event.cycle, &mut self.irqs_off);
            }
            What::Interrupt(FLUSH_VECTOR) => {
                if let (Some(a), Some(h)) = (self.arrived.get_mut(cpu), self.handled.get_mut(cpu)) {
                    *h = a.take();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(c: &mut Collector, cpu: u8, cycle: u64, what: What) {
        c.event(&Event { cpu, cycle, what });
    }

    #[test]
    fn a_kmap_may_end_on_another_processor() {
        let mut c = Collector::new();
        see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
        see(&mut c, 0, 100, What::Mark(Mark::KmapBegin, 7));
        see(&mut c, 1, 150, What::Mark(Mark::KmapBegin, 8));
        see(&mut c, 1, 400, What::Mark(Mark::KmapEnd, 7));
        assert_eq!((c.kmap().len(), c.kmap().max()), (1, 300));
    }

    #[test]
    fn only_the_region_of_interest_counts() {
        let mut c = Collector::new();
        see(&mut c, 0, 10, What::Mark(Mark::KmapBegin, 1));
        see(&mut c, 0, 20, What::Mark(Mark::RoiBegin, 0));
        see(&mut c, 0, 30, What::Mark(Mark::KmapEnd, 1));
        see(&mut c, 0, 40, What::Mark(Mark::RoiEnd, 0));
        see(&mut c, 0, 50, What::Mark(Mark::FlushBegin, 1));
        see(&mut c, 0, 60, What::Mark(Mark::FlushEnd, 1));
        assert!(c.kmap().is_empty() && c.initiator().is_empty());
    }

    #[test]
    fn the_warm_up_counts_until_the_region_of_interest_begins() {
        let mut c = Collector::new();
        see(&mut c, 0, 10, What::Mark(Mark::FlushBegin, 1));
        let (message, vector) = (1, FLUSH_VECTOR);
        see(&mut c, 0, 20, What::IpiSent { message, by_vector: true, vector, targets: 0b1110, left: 20 });
        see(&mut c, 0, 60, What::Mark(Mark::FlushEnd, 1));
        assert_eq!((c.initiator().len(), c.flush_ipis(), c.flush_ipi_targets()), (1, 1, 3));
        see(&mut c, 0, 70, What::Mark(Mark::RoiBegin, 0));
        assert_eq!((c.initiator().len(), c.flush_ipis(), c.flush_ipi_targets()), (0, 0, 0));
    }

    #[test]
    fn interrupts_are_timed_by_the_machine_and_count_if_requested_in_the_region() {
        let mut c = Collector::new();
        let accepted = |vector, requested| What::Accepted { vector, requested };
        see(&mut c, 0, 100, accepted(TIMER_VECTOR, 40));
        see(&mut c, 0, 200, What::InterruptsOn { off_at: 30 });
        assert_eq!((c.irq().max(), c.timer().max(), c.irqs_off().max()), (60, 60, 170), "the warm-up");
        see(&mut c, 0, 1000, What::Mark(Mark::RoiBegin, 0));
        see(&mut c, 1, 1300, accepted(TIMER_VECTOR, 990));
        see(&mut c, 1, 1300, What::InterruptsOn { off_at: 999 });
        assert!(c.irq().is_empty() && c.irqs_off().is_empty());
        see(&mut c, 1, 1500, accepted(FLUSH_VECTOR, 1490));
        see(&mut c, 1, 1600, accepted(TIMER_VECTOR, 1575));
        see(&mut c, 1, 1700, What::InterruptsOn { off_at: 1600 });
        assert_eq!((c.irq().len(), c.irq().min(), c.irq().max()), (2, 10, 25));
        assert_eq!((c.timer().len(), c.timer().max()), (1, 25));
        assert_eq!((c.irqs_off().len(), c.irqs_off().max()), (1, 100));
    }

    #[test]
    fn a_target_is_timed_from_the_arrival() {
        let mut c = Collector::new();
        let arrived = What::IpiArrived { message: 1, vector: FLUSH_VECTOR, from: 0 };
        see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
        see(&mut c, 1, 1000, arrived);
        see(&mut c, 1, 1100, arrived);
        see(&mut c, 1, 1300, What::Interrupt(FLUSH_VECTOR));
        // The next request arrives while the handler runs.
        see(&mut c, 1, 1350, arrived);
        see(&mut c, 1, 1400, What::Mark(Mark::HandlerEnd, 1));
        see(&mut c, 1, 1500, What::Interrupt(FLUSH_VECTOR));
        see(&mut c, 1, 1600, What::Mark(Mark::HandlerEnd, 1));
        assert_eq!((c.target().len(), c.target().max(), c.target().min()), (2, 400, 250));
    }
}
