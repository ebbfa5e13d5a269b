use super::proto::{TracePacket, Type};
use super::tracks::{About, Side, Until, lanes};
use super::*;
use prost::Message as _;
use shootdown_abi::{Activity, Counter, FLUSH_VECTOR};
use shootdown_emu::{MachineConfig, Preset};
use std::collections::BTreeMap;

fn see(t: &mut Timeline, cpu: u8, cycle: u64, what: What) {
    t.event(&Event { cpu, cycle, what });
}

fn mark(t: &mut Timeline, cpu: u8, cycle: u64, mark: Mark, payload: u32) {
    see(t, cpu, cycle, What::Mark(mark, payload));
}

/// Processor 0 shoots down a page at 1 and 2; its message waits for the bus, and 2 is late.
fn shoot(t: &mut Timeline, message: u64, at: u64) {
    let sent =
        What::IpiSent { message, by_vector: true, vector: FLUSH_VECTOR, targets: 0b110, left: at + 30 };
    mark(t, 0, at, Mark::FlushBegin, 7);
    see(t, 0, at + 10, sent);
    see(t, 0, at + 20, What::Activity(Activity::AckWait));
    for (cpu, late) in [(1, 0), (2, 100)] {
        let arrived = What::IpiArrived { message, vector: FLUSH_VECTOR, from: 0 };
        see(t, cpu, at + 50, arrived);
        see(t, cpu, at + 60 + late, What::Interrupt(FLUSH_VECTOR));
        mark(t, cpu, at + 80 + late, Mark::HandlerBegin, cpu.into());
        see(t, cpu, at + 90 + late, What::Invlpg(0xf000_0000));
        mark(t, cpu, at + 100 + late, Mark::HandlerEnd, cpu.into());
    }
    see(t, 0, at + 210, What::Activity(Activity::FlushInit));
    see(t, 0, at + 250, What::Invlpg(0xf000_0000));
    mark(t, 0, at + 260, Mark::FlushEnd, 7);
}

fn shootdowns(t: &Timeline) -> Vec<&Shootdown> {
    t.records().iter().filter_map(|r| if let Record::Shootdown(s) = r { Some(s) } else { None }).collect()
}

fn ended() -> Timeline {
    let mut t = Timeline::default();
    mark(&mut t, 0, 0, Mark::RoiBegin, 0);
    shoot(&mut t, 1, 1000);
    mark(&mut t, 0, 9000, Mark::RoiEnd, 0);
    t
}

#[test]
fn a_shootdown_is_told_with_all_that_came_of_it() {
    let t = ended();
    let [s] = shootdowns(&t)[..] else { panic!("{:?}", t.records()) };
    assert_eq!((s.cpu, s.task, s.begun, s.done, s.counted), (0, 7, 1000, Some(1260), Counted::Yes));
    assert_eq!((s.waiting, s.answered, s.latency()), (Some(1020), Some(1210), Some(260)));
    assert_eq!(s.own, Dropped { invlpg: 1, last: Some(1250), ..Dropped::default() });
    let [m] = &s.messages[..] else { panic!("{s:?}") };
    assert_eq!((m.number, m.from, m.sent, m.left), (1, 0, 1010, 1030));
    let told: Vec<_> =
        m.deliveries.iter().map(|d| (d.cpu, d.arrived, d.taken, d.begun, d.acknowledged)).collect();
    let late = |cpu, late: u64| (cpu, Some(1050), Some(1060 + late), Some(1080 + late), Some(1100 + late));
    assert_eq!(told, [late(1, 0), late(2, 100)]);
    assert!(m.deliveries.iter().all(|d| d.dropped.invlpg == 1 && d.counted == Counted::Yes));
    assert_eq!(m.deliveries[1].latency(), Some(150));
}

#[test]
fn one_handler_may_serve_two_messages() {
    let mut t = Timeline::default();
    mark(&mut t, 0, 0, Mark::RoiBegin, 0);
    for (message, from) in [(1, 0), (2, 2)] {
        let sent = What::IpiSent { message, by_vector: true, vector: FLUSH_VECTOR, targets: 0b10, left: 10 };
        see(&mut t, from, 10, sent);
        see(&mut t, 1, 20 + message, What::IpiArrived { message, vector: FLUSH_VECTOR, from });
    }
    see(&mut t, 1, 50, What::Interrupt(FLUSH_VECTOR));
    see(&mut t, 1, 60, What::Cr3Load(0x1000));
    mark(&mut t, 1, 70, Mark::HandlerEnd, 1);
    let [Record::Invalidation(i), Record::Message(a), Record::Message(b)] = t.records() else {
        panic!("{:?}", t.records())
    };
    assert_eq!((i.by, i.how), (By::Handler, How::Cr3));
    let (a, b) = (&a.deliveries[0], &b.deliveries[0]);
    assert_eq!((a.joined, a.latency()), (false, Some(49)));
    assert_eq!((b.joined, b.acknowledged, b.latency()), (true, Some(70), None));
}

#[test]
fn what_reaches_over_the_edge_of_the_region_is_not_counted() {
    let mut t = Timeline::default();
    mark(&mut t, 0, 10, Mark::FlushBegin, 1);
    mark(&mut t, 1, 10, Mark::KmapBegin, 2);
    see(&mut t, 0, 15, What::GlobalFlush);
    mark(&mut t, 0, 20, Mark::RoiBegin, 0);
    mark(&mut t, 0, 30, Mark::FlushEnd, 1);
    mark(&mut t, 1, 35, Mark::KmapEnd, 2);
    mark(&mut t, 1, 40, Mark::KmapBegin, 2);
    mark(&mut t, 0, 50, Mark::RoiEnd, 0);
    mark(&mut t, 1, 60, Mark::KmapEnd, 2);
    shoot(&mut t, 1, 1000);
    let [Record::Shootdown(s), Record::Kmap(first), Record::Kmap(last)] = t.records() else {
        panic!("{:?}", t.records())
    };
    assert_eq!((s.begun, s.done, s.counted), (10, Some(30), Counted::No));
    assert_eq!((first.done, first.counted), (Some((1, 35)), Counted::No));
    assert_eq!((last.begun, last.done, last.counted), (40, None, Counted::Yes));
}

#[test]
fn the_bound_is_kept_and_what_is_left_out_is_counted() {
    let mut t = Timeline::with_limit(8);
    (0..4).for_each(|i| shoot(&mut t, 1 + i, 1000 * (i + 1)));
    // A shootdown with two targets is four slices, its three invalidations are told one by one.
    let held: usize = t.records().iter().map(Record::weight).sum();
    assert!(held <= 8 && held + t.left_out() == 4 * 7 + 4 * 2 - 1, "{held} and {}", t.left_out());
    // The first one is there; the activity that its initiator went on with is not.
    assert_eq!((held, t.complete_until()), (8, Some(1210)));
    mark(&mut t, 0, 9000, Mark::RoiBegin, 0);
    assert_eq!(
        (t.records().len(), t.left_out(), t.complete_until()),
        (0, 0, None),
        "the warm-up does not count"
    );
}

#[test]
fn records_that_never_end_are_bounded() {
    let mut r = Recorder::default();
    for n in 0..3 * recorder::OPEN as u64 {
        let cpu = (n % 64) as u8;
        let what = What::IpiSent { message: n + 1, by_vector: true, vector: 0x30, targets: 0b1, left: n };
        r.event(&Event { cpu, cycle: n, what });
        r.event(&Event { cpu, cycle: n, what: What::Mark(Mark::KmapBegin, n as u32) });
    }
    assert_eq!(std::iter::from_fn(|| r.pop()).count(), 4 * recorder::OPEN);
    r.end();
    assert_eq!(std::iter::from_fn(|| r.pop()).count(), 2 * recorder::OPEN);
}

#[test]
fn slices_of_a_lane_lie_apart_or_within_each_other() {
    let mut t = Timeline::default();
    for (message, at) in [(1, 100), (2, 120), (3, 300)] {
        let sent = What::IpiSent { message, by_vector: true, vector: 0x40, targets: 0b10, left: at };
        see(&mut t, 0, at, sent);
    }
    for (message, at) in [(1, 150), (2, 170), (3, 350)] {
        see(&mut t, 1, at, What::IpiArrived { message, vector: 0x40, from: 0 });
        see(&mut t, 1, at + 1, What::Interrupt(0x40));
    }
    let preset = Preset::builtin("p3").unwrap();
    let lanes = lanes(t.records(), &preset.costs());
    let arrivals: Vec<_> = lanes.iter().filter(|l| l.about == About::Cpu(1, Side::Arrivals)).collect();
    assert_eq!(arrivals.iter().map(|l| l.slices.len()).collect::<Vec<_>>(), [5, 1], "two were on their way");
    for lane in &lanes {
        let ends: Vec<_> = lane.slices.iter().map(|s| (s.from, s.until)).collect();
        for (i, &(from, until)) in ends.iter().enumerate() {
            let Until::Cycle(to) = until else { continue };
            for &(later, other) in &ends[i + 1..] {
                let Until::Cycle(end) = other else { continue };
                assert!(later >= from && (later >= to || end <= to), "{ends:?}");
            }
        }
    }
}

fn packets(bytes: &[u8]) -> Vec<TracePacket> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Trace {
        #[prost(message, repeated, tag = "1")]
        packet: Vec<TracePacket>,
    }
    Trace::decode(bytes).unwrap().packet
}

#[test]
fn the_file_says_what_the_records_say() {
    let config = MachineConfig { cpus: 3, ..MachineConfig::new(Preset::builtin("p3").unwrap()) };
    let t = ended();
    let bytes = pftrace::encode(&t, &config, "test");
    assert_eq!(bytes, pftrace::encode(&t, &config, "test"), "equal timelines are equal bytes");
    let packets = packets(&bytes);
    let names: BTreeMap<u64, String> = packets
        .iter()
        .filter_map(|p| p.interned_data.as_ref())
        .flat_map(|i| i.event_names.iter().map(|n| (n.iid.unwrap(), n.name.clone().unwrap())))
        .collect();
    let mut open: BTreeMap<u64, Vec<(String, u64)>> = BTreeMap::new();
    let mut seen = Vec::new();
    let mut flows: BTreeMap<u64, usize> = BTreeMap::new();
    let mut now = 0;
    for p in &packets {
        let Some(e) = &p.track_event else { continue };
        let at = p.timestamp.unwrap();
        assert!(at >= now, "in order of time");
        now = at;
        let stack = open.entry(e.track_uuid.unwrap()).or_default();
        let name = e.name_iid.map(|n| names[&n].clone());
        e.flow_ids.iter().chain(&e.terminating_flow_ids).for_each(|f| *flows.entry(*f).or_default() += 1);
        match Type::try_from(e.r#type.unwrap()).unwrap() {
            Type::SliceBegin => stack.push((name.unwrap(), at)),
            Type::SliceEnd => {
                let (name, from) = stack.pop().expect("a slice ends that has not begun");
                seen.push((name, from, at));
            }
            Type::Instant => seen.push((name.unwrap(), at, at)),
            Type::Unspecified => panic!("{e:?}"),
        }
    }
    assert!(open.values().all(Vec::is_empty), "{open:?}");
    let mhz = u64::from(config.preset.clock_mhz);
    let count = |wanted: &str| seen.iter().filter(|(name, ..)| name == wanted).count();
    for (name, n) in [
        ("shootdown", 1),
        ("send flush", 1),
        ("wait", 1),
        ("all acknowledged", 1),
        ("deliver flush", 2),
        ("flush pending", 2),
        ("handle flush", 2),
        ("entry", 2),
        ("acknowledge", 2),
        ("invlpg", 3),
    ] {
        assert_eq!(count(name), n, "{name}: {seen:?}");
    }
    let ns = |cycle: u64| cycle * 1000 / mhz;
    assert!(seen.contains(&("shootdown".into(), ns(1000), ns(1260))), "{seen:?}");
    assert!(seen.contains(&("handle flush".into(), ns(1160), ns(1200))), "{seen:?}");
    // There: send, deliver, pending, handle. Back: acknowledge, all acknowledged.
    let mut steps: Vec<usize> = flows.into_values().collect();
    steps.sort_unstable();
    assert_eq!(steps, [2, 2, 4, 4]);
}

#[test]
fn what_the_kernel_counts_is_a_point() {
    let mut t = Timeline::default();
    mark(&mut t, 1, 5, Mark::Count, (Counter::Wraps as u32) << 16 | 1);
    mark(&mut t, 1, 6, Mark::Count, (Counter::Operations as u32) << 16 | 1);
    let wrap = Point { cpu: 1, cycle: 5, counter: Counter::Wraps, amount: 1 };
    assert_eq!(t.records(), [Record::Point(wrap)]);
}
