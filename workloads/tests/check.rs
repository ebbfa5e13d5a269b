//! What of its file a load looks at in the end (`check=`): no part of any figure, and how much is run.

mod common;

use common::{outcome, sound};

fn keys<'a>(load: &'a str, check: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("workload", load),
        ("check", check),
        ("strategy", "batched"),
        ("cpus", "2"),
        ("pages", "128"),
        ("window", "32"),
        ("ops", "40"),
        ("warmup", "10"),
    ]
}

#[test]
fn what_is_looked_at_in_the_end_has_no_part_in_the_figures() {
    for load in ["kmap-storm", "pagecache-read"] {
        // Numbers of equal length: reading a longer one moves all that follows against the timer.
        let [tenth, half, most] = ["10", "50", "90"].map(|check| sound(&keys(load, check)));
        for other in [&half, &most] {
            assert_eq!(other.checksum, tenth.checksum, "{load}");
            assert_eq!(other.ledger, tenth.ledger, "{load}");
            assert_eq!(other.kmap_latency, tenth.kmap_latency, "{load}");
        }
    }
}

#[test]
fn so_many_per_cent_of_the_pages_are_looked_at() {
    for load in ["kmap-storm", "pagecache-read"] {
        let instructions = |check| outcome(&keys(load, check)).instructions as f64;
        let (none, tenth, all) = (instructions("0"), instructions("10"), instructions("100"));
        let share = (tenth - none) / (all - none);
        // 12 of 128 pages, and the spinning of who is done first.
        assert!((0.05..0.15).contains(&share), "{load}: {share}");
    }
}
