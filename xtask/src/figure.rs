//! The README's picture: cycles per operation by strategy, stacked by what the
//! kernel was busy with.
//!
//! `shootdown compare --format json | cargo xtask figure --out docs/compare.svg`
//!
//! Plain SVG, written here because one chart needs no library. The colours are
//! those of Okabe and Ito, which colour-blind readers tell apart.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write as _;

/// Activities in stacking order, with their colours and labels.
const ACTIVITIES: [(&str, &str, &str); 8] = [
    ("user", "#999999", "user program"),
    ("kernel", "#56b4e9", "kernel, other"),
    ("kmap", "#0072b2", "kmap and kunmap"),
    ("lock-spin", "#e69f00", "spinning on a lock"),
    ("flush-init", "#cc79a7", "starting flushes"),
    ("ack-wait", "#d55e00", "waiting for acks"),
    ("ipi-handler", "#f0e442", "flush IPI handler"),
    ("idle", "#eeeeee", "idle"),
];

const WIDTH: f64 = 860.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 34.0;
const STEP: f64 = 54.0;
const TOP: f64 = 64.0;

/// Draws the chart of a result of `compare`.
pub fn draw(result: &str) -> Result<String> {
    let result: Value =
        serde_json::from_str(result).context("standard input is not a result of `compare --format json`")?;
    let rows = result["rows"].as_array().context("the result has no rows")?;
    let config = &result["config"];
    let number = |v: &Value| v.as_f64().unwrap_or(0.0);
    let bars: Vec<(String, f64, Vec<f64>)> = rows
        .iter()
        .map(|r| {
            let operations = number(&r["operations"]).max(1.0);
            let parts =
                ACTIVITIES.iter().map(|a| number(&r["ledger"]["activity"][a.0]) / operations).collect();
            (r["strategy"].as_str().unwrap_or("?").to_owned(), number(&r["cycles_per_op"]), parts)
        })
        .collect();
    let most = bars.iter().map(|b| b.2.iter().sum::<f64>()).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let height = TOP + STEP * bars.len() as f64 + 96.0;

    let mut s = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let title = format!(
        "{} on {} x {} at {} MHz: cycles per operation",
        config["workload"].as_str().unwrap_or("?"),
        number(&config["machine"]["cpus"]),
        config["machine"]["cpu"].as_str().unwrap_or("?"),
        number(&config["machine"]["clock_mhz"]),
    );
    writeln!(s, "<text x=\"20\" y=\"30\" font-size=\"17\" font-weight=\"bold\">{title}</text>")?;
    writeln!(
        s,
        "<text x=\"20\" y=\"50\" font-size=\"12\" fill=\"#555555\">all processors together, by what they were doing; shootdown compare</text>"
    )?;
    for (i, (name, total, parts)) in bars.iter().enumerate() {
        let y = TOP + STEP * i as f64;
        writeln!(
            s,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>",
            LEFT - 10.0,
            y + BAR * 0.65
        )?;
        let mut x = LEFT;
        for (part, (_, colour, label)) in parts.iter().zip(&ACTIVITIES) {
            let w = part * scale;
            if w > 0.05 {
                writeln!(
                    s,
                    "<rect x=\"{x:.2}\" y=\"{y}\" width=\"{w:.2}\" height=\"{BAR}\" fill=\"{colour}\" stroke=\"#333333\" stroke-width=\"0.4\"><title>{name}: {label}, {part:.1} cycles</title></rect>"
                )?;
            }
            x += w;
        }
        writeln!(s, "<text x=\"{:.2}\" y=\"{}\">{total:.0}</text>", x + 8.0, y + BAR * 0.65)?;
    }
    let base = TOP + STEP * bars.len() as f64 + 16.0;
    for (i, (_, colour, label)) in ACTIVITIES.iter().enumerate() {
        let (x, y) = (LEFT + (i % 4) as f64 * 172.0, base + (i / 4) as f64 * 26.0);
        writeln!(
            s,
            "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{colour}\" stroke=\"#333333\" stroke-width=\"0.4\"/>"
        )?;
        writeln!(s, "<text x=\"{}\" y=\"{}\" font-size=\"12\">{label}</text>", x + 20.0, y + 12.0)?;
    }
    s.push_str("</svg>\n");
    Ok(s)
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn a_bar_is_as_long_as_its_cycles() {
        let result = r#"{"config":{"workload":"w","machine":{"cpus":2,"cpu":"p3","clock_mhz":700}},"rows":[
            {"strategy":"a","operations":10,"cycles_per_op":100.0,"ledger":{"activity":{"user":1000}}},
            {"strategy":"b","operations":10,"cycles_per_op":50.0,"ledger":{"activity":{"user":250,"kmap":250}}}]}"#;
        let svg = draw(result).unwrap();
        assert!(svg.contains("width=\"650.00\"") && svg.contains("width=\"162.50\""), "{svg}");
        assert!(draw("{}").is_err());
    }
}
