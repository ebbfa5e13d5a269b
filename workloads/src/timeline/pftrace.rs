//! A timeline as a file for Perfetto (`ui.perfetto.dev`, `trace_processor`): a
//! sequence of `TracePacket`s, in order of time.
//!
//! Times are nanoseconds by the preset's clock, rounded down; `cycle` and
//! `cycles` among a slice's arguments are exact. Equal timelines are equal bytes.

use super::Timeline;
use super::proto::{
    ChildOrdering, DebugAnnotation, InternedData, NEEDS_STATE, Name, STATE_CLEARED, TracePacket,
    TrackDescriptor, TrackEvent, Type,
};
use super::tracks::{self, About, Category, Lane, Side, Slice, Until};
use shootdown_emu::MachineConfig;

/// Number of `packet` in `Trace`.
const PACKET: u32 = 1;
/// All packets are of one sequence.
const SEQUENCE: u32 = 1;
/// The track above all others.
const ROOT: u64 = 1;
/// The track above those of the tasks.
const TASKS: u64 = 2;
/// Tracks of processors and tasks that may have lanes.
const SIDES: [Side; 5] = [Side::Activity, Side::Initiator, Side::Arrivals, Side::Handler, Side::Local];

/// Names in order of their first use; their numbers begin with 1.
#[derive(Default)]
struct Names(Vec<&'static str>);

impl Names {
    fn number(&mut self, name: &'static str) -> u64 {
        let found = self.0.iter().position(|n| *n == name);
        let i = found.unwrap_or_else(|| {
            self.0.push(name);
            self.0.len() - 1
        });
        i as u64 + 1
    }

    fn interned(&self) -> Vec<Name> {
        let name = |(i, n): (u64, &&str)| Name { iid: Some(i), name: Some((*n).into()) };
        (1..).zip(&self.0).map(name).collect()
    }
}

/// The bytes of a `.pftrace` file. `label` says what was run; it names the track above all others.
pub fn encode(timeline: &Timeline, machine: &MachineConfig, label: &str) -> Vec<u8> {
    let lanes = tracks::lanes(timeline.records(), &machine.preset.costs());
    let mut writer = Writer { mhz: u64::from(machine.preset.clock_mhz).max(1), ..Writer::default() };
    let mut events: Vec<(u64, TrackEvent)> = Vec::new();
    for lane in &lanes {
        writer.lane(lane, &mut events);
    }
    let last = events.iter().map(|e| e.0).max().unwrap_or(0);
    if timeline.left_out() > 0 {
        events.push((last, writer.left_out(timeline)));
    }
    // Stable: on each track the order is right already.
    events.sort_by_key(|e| e.0);
    writer.head(machine.cpus, label, timeline, &lanes);
    for (cycle, event) in events {
        let timestamp = Some(writer.nanoseconds(cycle));
        writer.packet(TracePacket {
            timestamp,
            track_event: Some(event),
            sequence_flags: Some(NEEDS_STATE),
            ..TracePacket::default()
        });
    }
    writer.out
}

fn uuid(about: About, lane: usize) -> u64 {
    let track = match about {
        About::Cpu(cpu, side) => cpu_uuid(cpu) + 1 + side as u64,
        About::Task(task) => 1 << 32 | u64::from(task),
    };
    track | (lane as u64) << 40
}

fn cpu_uuid(cpu: usize) -> u64 {
    (cpu as u64 + 1) << 4
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    mhz: u64,
    names: Names,
    notes: Names,
}

impl Writer {
    fn nanoseconds(&self, cycle: u64) -> u64 {
        (u128::from(cycle) * 1000 / u128::from(self.mhz)) as u64
    }

    fn packet(&mut self, packet: TracePacket) {
        let packet = TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..packet };
        prost::encoding::message::encode(PACKET, &packet, &mut self.out);
    }

    fn head(&mut self, cpus: usize, label: &str, timeline: &Timeline, lanes: &[Lane]) {
        let categories = (1..).zip(Category::ALL);
        let category = |(i, c): (u64, Category)| Name { iid: Some(i), name: Some(c.name().into()) };
        let names = InternedData {
            event_categories: categories.map(category).collect(),
            event_names: self.names.interned(),
            debug_annotation_names: self.notes.interned(),
        };
        self.packet(TracePacket {
            interned_data: Some(names),
            sequence_flags: Some(STATE_CLEARED),
            ..TracePacket::default()
        });
        let description = match timeline.complete_until() {
            None => "complete".to_owned(),
            Some(cycle) => {
                format!("complete up to cycle {cycle}; {} slices left out", timeline.left_out())
            }
        };
        self.track(ROOT, None, label.into(), 0, Some(description));
        for cpu in 0..cpus {
            self.track(cpu_uuid(cpu), Some(ROOT), format!("CPU {cpu}"), cpu, None);
            for side in SIDES {
                let about = About::Cpu(cpu, side);
                self.track(uuid(about, 0), Some(cpu_uuid(cpu)), side.name().into(), side as usize, None);
            }
        }
        self.track(TASKS, Some(ROOT), "tasks".into(), cpus, None);
        for lane in lanes {
            match lane.about {
                About::Cpu(_, _) if lane.number == 0 => {}
                About::Cpu(cpu, side) => {
                    let name = side.name().into();
                    self.track(uuid(lane.about, lane.number), Some(cpu_uuid(cpu)), name, side as usize, None);
                }
                About::Task(task) => {
                    let name = format!("task {task}");
                    self.track(uuid(lane.about, lane.number), Some(TASKS), name, task as usize, None);
                }
            }
        }
    }

    fn track(&mut self, uuid: u64, parent: Option<u64>, name: String, rank: usize, about: Option<String>) {
        self.packet(TracePacket {
            track_descriptor: Some(TrackDescriptor {
                uuid: Some(uuid),
                name: Some(name),
                parent_uuid: parent,
                child_ordering: Some(ChildOrdering::Explicit as i32),
                sibling_order_rank: i32::try_from(rank).ok(),
                description: about,
            }),
            ..TracePacket::default()
        });
    }

    fn left_out(&mut self, timeline: &Timeline) -> TrackEvent {
        let note = DebugAnnotation {
            name_iid: Some(self.notes.number("slices")),
            uint_value: Some(timeline.left_out() as u64),
        };
        TrackEvent {
            r#type: Some(Type::Instant as i32),
            name_iid: Some(self.names.number("left out from here on")),
            track_uuid: Some(ROOT),
            debug_annotations: vec![note],
            ..TrackEvent::default()
        }
    }

    /// The events of a lane, in the order in which they nest.
    fn lane(&mut self, lane: &Lane, events: &mut Vec<(u64, TrackEvent)>) {
        let track = Some(uuid(lane.about, lane.number));
        let end = |at| {
            let end = TrackEvent {
                r#type: Some(Type::SliceEnd as i32),
                track_uuid: track,
                ..TrackEvent::default()
            };
            (at, end)
        };
        // Ends of the slices that are not over, innermost last.
        let mut open: Vec<Until> = Vec::new();
        for slice in &lane.slices {
            let instant = slice.until == Until::Instant;
            while let Some(&Until::Cycle(to)) = open.last()
                && (to < slice.from || to == slice.from && !instant)
            {
                open.pop();
                events.push(end(to));
            }
            if !instant {
                open.push(slice.until);
            }
            events.push((slice.from, self.event(slice, track)));
        }
        for until in open.into_iter().rev() {
            if let Until::Cycle(to) = until {
                events.push(end(to));
            }
        }
    }

    fn event(&mut self, slice: &Slice, track: Option<u64>) -> TrackEvent {
        let r#type = if slice.until == Until::Instant { Type::Instant } else { Type::SliceBegin };
        let exact = [("cycle", slice.from)];
        let length = match slice.until {
            Until::Cycle(to) => Some(("cycles", to.saturating_sub(slice.from))),
            Until::Instant | Until::Open => None,
        };
        let notes = exact.into_iter().chain(length).chain(slice.notes.iter().copied());
        let note = |(name, value)| DebugAnnotation {
            name_iid: Some(self.notes.number(name)),
            uint_value: Some(value),
        };
        TrackEvent {
            debug_annotations: notes.map(note).collect(),
            category_iids: vec![slice.category as u64 + 1],
            r#type: Some(r#type as i32),
            name_iid: Some(self.names.number(slice.name)),
            track_uuid: track,
            flow_ids: slice.flows.clone(),
            terminating_flow_ids: slice.ends.clone(),
        }
    }
}
