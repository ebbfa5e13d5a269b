//! `--timeline`: Perfetto's own classes (PyPI: perfetto) read the file, and it says what the result says.

mod common;

use common::{BASE, SMALL, elf, file, python, shootdown, stderr};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Reads a `.pftrace` and prints what is in it as JSON: names counted, cycles by processor, track and name, tracks, faults.
const READER: &str = r#"
import collections, json, sys
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

trace = proto.Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
tracks, names, notes = {}, {}, {}
counts, cycles, open_slices = collections.Counter(), collections.Counter(), collections.defaultdict(list)
flows, faults, now = collections.Counter(), [], 0
for packet in trace.packet:
    if packet.HasField("track_descriptor"):
        d = packet.track_descriptor
        parent = tracks.get(d.parent_uuid, "")
        tracks[d.uuid] = parent + "/" + d.name
    for name in packet.interned_data.event_names:
        names[name.iid] = name.name
    for name in packet.interned_data.debug_annotation_names:
        notes[name.iid] = name.name
    if not packet.HasField("track_event"):
        continue
    event = packet.track_event
    if packet.timestamp < now:
        faults.append("goes back in time")
    now = packet.timestamp
    if event.track_uuid not in tracks:
        faults.append("a track without a name")
    stack = open_slices[event.track_uuid]
    for flow in list(event.flow_ids) + list(event.terminating_flow_ids):
        flows[flow] += 1
    if event.type == event.TYPE_SLICE_END:
        if not stack:
            faults.append("an end without a begin")
            continue
        stack.pop()
        continue
    name = names[event.name_iid]
    counts[name] += 1
    values = {notes[a.name_iid]: a.uint_value for a in event.debug_annotations}
    cycles[tracks[event.track_uuid] + "/" + name] += values.get("cycles", 0)
    if event.type == event.TYPE_SLICE_BEGIN:
        stack.append(name)
json.dump({"counts": counts, "cycles": cycles, "tracks": sorted(tracks.values()), "faults": faults,
    "open": sum(map(len, open_slices.values())), "flows": collections.Counter(map(str, flows.values()))}, sys.stdout)
"#;

fn read(python: &Path, trace: &Path) -> Value {
    let done = Command::new(python).args(["-c", READER]).arg(trace).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn perfetto_reads_what_the_result_says() {
    let Some(python) = python("perfetto", "perfetto.protos.perfetto.trace.perfetto_trace_pb2") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("t.pftrace");
    for (strategy, preset) in [("shared-invlpg", "p3"), ("batched", "haswell-ep"), ("deferred-seq", "p3")] {
        let run = |trace: &Path| {
            let mut command = shootdown();
            command.args(["run", "--strategy", strategy, "--cpu", preset, "--format", "json"]).args(SMALL);
            let output = command.arg("--timeline").arg(trace).output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"][0].clone()
        };
        let row = run(&trace);
        let seen = read(&python, &trace);
        assert_eq!((&seen["faults"], &seen["open"]), (&serde_json::json!([]), &serde_json::json!(0)));
        let figure = |key: &str| row[key].as_u64().unwrap();
        let latencies = |key: &str| row[key]["count"].as_u64().unwrap();
        for (name, wanted) in [
            ("kmap()", latencies("kmap_latency")),
            ("shootdown", latencies("initiator_latency")),
            ("handle flush", latencies("target_latency")),
            ("acknowledge", latencies("target_latency")),
            ("send flush", figure("flush_ipis")),
            ("deliver flush", figure("flush_ipi_targets")),
            ("invlpg", figure("invlpg")),
            ("CR3 load", figure("cr3_loads")),
            ("global flush", figure("global_flushes")),
            ("wraps", figure("wraps")),
            ("recycles", figure("recycles")),
            ("conflicts", figure("conflicts")),
        ] {
            assert_eq!(seen["counts"][name].as_u64().unwrap_or(0), wanted, "{strategy} on {preset}: {name}");
        }
        let sends = ["send flush", "send reschedule", "send IPI"];
        let sent: u64 = sends.iter().filter_map(|name| seen["counts"][name].as_u64()).sum();
        assert_eq!(sent, figure("ipis"));
        // The activities of each processor are those of its ledger.
        let root = format!("/kmap-storm under {strategy} on 4 x {preset}");
        for (i, cpu) in row["cpus"].as_array().unwrap().iter().enumerate() {
            let ledger: BTreeMap<String, u64> =
                serde_json::from_value(cpu["ledger"]["activity"].clone()).unwrap();
            for (activity, cycles) in ledger {
                let track = format!("{root}/CPU {i}/activity/{activity}");
                assert_eq!(seen["cycles"][&track].as_u64().unwrap_or(0), cycles, "{track}");
            }
        }
        let tracks: Vec<&str> =
            seen["tracks"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
        for side in ["activity", "initiator", "arrivals", "handler", "local invalidations"] {
            (0..4).for_each(|i| {
                assert!(tracks.contains(&format!("{root}/CPU {i}/{side}").as_str()), "{tracks:?}")
            });
        }
        // A flush is followed there (send, deliver, pending, handle) and back (acknowledge, all acknowledged).
        assert!(seen["flows"]["4"].as_u64() >= Some(figure("flush_ipi_targets")), "{seen}");
        assert!(seen["flows"]["2"].as_u64() >= Some(latencies("target_latency")), "{seen}");

        let again = dir.path().join("again.pftrace");
        run(&again);
        assert!(
            std::fs::read(&trace).unwrap() == std::fs::read(&again).unwrap(),
            "equal runs are equal bytes"
        );
    }
    println!("perfetto reads the timelines of three runs");
}

#[test]
fn any_guest_has_a_timeline() {
    let dir = tempfile::tempdir().unwrap();
    // mov eax, 0x10; out 0xf4, eax
    let kernel = file(dir.path(), "k.elf", &elf(BASE, &[0xb8, 0x10, 0, 0, 0, 0xe7, 0xf4]));
    let trace = dir.path().join("t.pftrace");
    let output = shootdown()
        .arg("boot")
        .arg(kernel)
        .args(["--mem", "16M", "--cpus", "2", "--timeline"])
        .arg(&trace)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(33), "{}", stderr(&output));
    let bytes = std::fs::read(&trace).unwrap();
    assert!(bytes.windows(14).any(|w| w == b"boot on 2 x p3"));
}

#[test]
fn bad_files_are_refused_before_the_run() {
    for options in [&["--timeline", "/nowhere/t.pftrace"][..], &["--timeline", "t", "--out", "t"]] {
        let output = shootdown().arg("run").args(SMALL).args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = stderr(&output);
        assert!(message.contains("accepted") && message.lines().count() == 1, "{message}");
    }
}
