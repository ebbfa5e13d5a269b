//! What others read: pandas takes CSV, JSON Lines and Parquet, PyPI's hdrhistogram the `.hlog`, with the same figures.
//!
//! The packages are installed at the first use; where that cannot be, the test says that it did nothing.

mod common;

use common::python;
use std::path::Path;
use std::process::{Command, Stdio};

const STUDY: &str = "repeats = 2\n[set]\nops = 40\nwarmup = 10\nmem = \"64M\"\nnormal = \"16M\"\nwindow = 64\npages = 128\n\
    [vary]\nstrategy = [\"atomic\", \"batched\", \"none\"]\ncpus = [1, 2]\n";

/// Reads everything and holds it against the JSON Lines, read as plain JSON. Fails with an exception.
const SCRIPT: &str = r#"
import json, math, os, sys
import pandas
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

lines = [json.loads(line) for line in open("all.jsonl")]
rows = {line["id"]: line["report"]["rows"][0] for line in lines}

jsonl = pandas.read_json("all.jsonl", lines=True, dtype={"id": str})
assert list(jsonl.id) == [line["id"] for line in lines]

csv = pandas.read_csv("all.csv", dtype={"id": str})
frames = [("csv", csv)]
if os.path.exists("all.parquet"):
    parquet = pandas.read_parquet("all.parquet")
    assert list(parquet.columns) == list(csv.columns), "columns of CSV and Parquet differ"
    assert str(parquet.cycles.dtype) in ("int64", "Int64"), parquet.cycles.dtype
    assert str(parquet.cycles_per_op.dtype) == "float64", parquet.cycles_per_op.dtype
    for column in csv.columns:
        mine, theirs = csv[column], parquet[column]
        same = [(a == b) or (pandas.isna(a) and pandas.isna(b)) for a, b in zip(mine, theirs)]
        assert all(same), f"{column}: {list(mine)} {list(theirs)}"
    frames.append(("parquet", parquet))
for name, frame in frames:
    assert len(frame) == len(lines) == 12
    assert frame.failure.notna().sum() == sum(line["failure"] is not None for line in lines) > 0
    for _, cell in frame.iterrows():
        row = rows[cell.id]
        assert cell.strategy == row["strategy"] and cell.cycles == row["cycles"]
        assert cell.cycles_per_op == row["cycles_per_op"]
        assert cell["kmap_latency.p99"] == row["kmap_latency"]["p99"]
    print(f"pandas {pandas.__version__} reads {name}: {len(frame)} cells, {len(frame.columns)} columns")

# Every histogram of the log has the percentiles of the .hgrm beside it, which equals the Java library's.
reader = HistogramLogReader("h/histograms.hlog", HdrHistogram(1, 1 << 40, 3))
count = 0
while (histogram := reader.get_next_interval_histogram()) is not None:
    # Characters that a tag cannot hold are told apart by the file's name.
    name = histogram.get_tag().replace(";", ",")
    for line in open(f"h/{name}.hgrm"):
        words = line.split()
        if len(words) < 3 or not words[0][0].isdigit():
            continue
        # The .hgrm is in steps: at its level the value is the least whose count reaches it.
        value, level, total = float(words[0]), float(words[1]), int(words[2])
        assert histogram.get_count_at_value(int(value)) > 0, (name, value)
        theirs = histogram.get_value_at_percentile(100 * total / histogram.get_total_count())
        assert theirs == value, (name, level, value, theirs)
    count += 1
assert count > 4
print(f"hdrhistogram reads the log: {count} histograms with equal percentiles")
"#;

fn well(dir: &Path, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    let done = command.args(words).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    // A failing cell is part of the sweep.
    let expected = if words[..2] == ["sweep", "run"] { 1 } else { 0 };
    assert_eq!(done.status.code(), Some(expected), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn pandas_and_hdrhistogram_read_what_is_written() {
    let Some(python) = python("pandas pyarrow hdrhistogram", "pandas, pyarrow, hdrh.log") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), STUDY).unwrap();
    well(dir.path(), &["sweep", "plan", "study.toml", "--out", "s"]);
    well(dir.path(), &["sweep", "run", "s"]);
    for name in ["all.jsonl", "all.csv"] {
        well(dir.path(), &["sweep", "merge", "s", "--out", name]);
    }
    if cfg!(feature = "parquet") {
        well(dir.path(), &["sweep", "merge", "s", "--out", "all.parquet"]);
    } else {
        println!("SKIPPED: Parquet, which is a feature (--features parquet)");
    }
    well(dir.path(), &["export", "histograms", "all.jsonl", "--out", "h"]);
    let done = Command::new(python).args(["-c", SCRIPT]).current_dir(dir.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    print!("{told}");
}
