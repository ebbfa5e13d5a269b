//! HdrHistogram's interval log, as `HistogramLogReader` of every HdrHistogram library reads it: a line for each histogram, with
//! a tag that says whose it is. (`HistogramLogWriter` of the Java library, version 1.3 of the format.)
//!
//! The time of a line is simulated: all begin at 0 and last as long as the regions of interest did.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

/// The log of some histograms: tag, histogram, simulated seconds. Characters that a tag cannot hold become `;`.
pub fn hlog(histograms: &[(String, Histogram<u64>, f64)]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[Histogram log format version 1.3]");
    builder.add_comment("values are cycles; times are simulated");
    let mut log = builder.begin_log_with(&mut bytes, &mut serializer)?;
    for (tag, histogram, seconds) in histograms {
        let tag = tag.replace([',', ' ', '\n', '\r'], ";");
        let length = Duration::from_secs_f64(seconds.clamp(0.0, 1e9));
        log.write_histogram(histogram, Duration::ZERO, length, Tag::new(&tag))
            .map_err(|e| io::Error::other(e.to_string()))?;
    }
    Ok(bytes)
}
