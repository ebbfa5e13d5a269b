//! `tui`: live screens over a load under one or several strategies.

use crate::cli;
use crate::output::{Sink, Status, message};
use crate::screen::headless::{self, Output, Script};
use crate::screen::options;
use crate::screen::{App, Engine, MOST_RUNS, Options, Setup, live};
use crate::settings;
use anyhow::{Context, Result, bail};
use shootdown_workloads::Strategy;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The command.
pub fn run(given: &cli::Tui) -> Result<Status> {
    let setup = setup(given)?;
    let variable = |name: &str| std::env::var(name).ok();
    let mut options = Options::from_environment(variable);
    if let Some(path) = given.options.clone().or_else(|| options::user_file(variable)) {
        options.read(&path)?;
    }
    let flag = Arc::new(AtomicBool::new(false));
    let engine = Engine::new(setup, options.stop_at, Arc::clone(&flag))?;
    let mut app = App::new(options.theme, options.speed, options.stop_at, PathBuf::new());
    app.open(&given.screen)?;
    let Some(frames) = given.headless else {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            bail!("tui: standard input and output are no terminal; --headless FRAMES works without one");
        }
        let timings = live::run(engine, flag, &mut app, &options, given.panic_after)?;
        if given.timings {
            report(timings);
        }
        return Ok(Status::Sound);
    };
    let script = Script {
        frames,
        size: size(&given.size)?,
        keys: headless::script(given.keys.as_deref().unwrap_or_default())?,
        cycles: given.frame_cycles,
        output: match (given.picture, given.last) {
            (true, _) => Output::Picture,
            (_, true) => Output::Last,
            _ => Output::All,
        },
    };
    let text = headless::run(engine, &mut app, &script, options.start);
    Sink::open(None)?.write(&text)?;
    Ok(Status::Sound)
}

fn setup(given: &cli::Tui) -> Result<Setup> {
    let read = settings::read(&given.keys_of_cell, &[])?;
    let strategies = match &given.strategies {
        Some(names) => settings::strategy_list(names)?,
        None => read.strategies.unwrap_or_else(|| vec![read.cell.strategy]),
    };
    if strategies.len() > MOST_RUNS {
        let all: Vec<_> = strategies.iter().copied().map(Strategy::name).collect();
        bail!("--strategies: {} are {}; accepted are 1 to {MOST_RUNS}", all.join(","), all.len());
    }
    Ok(Setup { cell: read.cell.with(strategies[0]), strategies })
}

/// `COLSxROWS`.
fn size(text: &str) -> Result<(u16, u16)> {
    let read = text.split_once('x').and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
    read.filter(|&(c, r)| (1..=1000).contains(&c) && (1..=1000).contains(&r)).with_context(|| {
        format!("--size: '{text}' is not accepted; accepted are sizes from 1x1 to 1000x1000, as 80x24")
    })
}

/// What the screen cost, to standard error.
fn report(mut t: live::Timings) {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let busy = t.engine.running + t.engine.snapshots;
    message(&format!(
        "machines: {:.0} ms running, {:.1} ms for {} snapshots, {:.2} % of it",
        ms(t.engine.running),
        ms(t.engine.snapshots),
        t.engine.count,
        100.0 * t.engine.snapshots.as_secs_f64() / busy.as_secs_f64().max(1e-9)
    ));
    for (what, times) in [("drawing a frame", &mut t.frames), ("key to frame", &mut t.latencies)] {
        times.sort();
        if let (Some(last), middle) = (times.last(), times.get(times.len() / 2)) {
            let middle = middle.map_or(0.0, |&d| ms(d));
            message(&format!(
                "{what}: {} times, median {middle:.2} ms, at most {:.2} ms",
                times.len(),
                ms(*last)
            ));
        }
    }
}
