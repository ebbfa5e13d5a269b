//! `boot`: any Multiboot kernel; its serial port to standard output, its exit status as ours.

use crate::cli::Boot;
use crate::output::{Sink, Status, message};
use crate::{command, interrupt};
use anyhow::{Context, Result, bail};
use shootdown_emu::config::Strictness;
use shootdown_emu::cost::DEFAULT_PRESET;
use shootdown_emu::loader::{BootRequest, Module};
use shootdown_emu::observe::{Event, Observer, Wanted, What};
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};
use shootdown_workloads::boot::{BootConfig, BootStats};
use shootdown_workloads::state;
use shootdown_workloads::timeline::Timeline;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The command.
pub fn run(options: &Boot) -> Result<Status> {
    let config = config(options)?;
    let patience = match options.patience.as_str() {
        "none" => None,
        cycles => Some(cycles.parse().ok().filter(|&n: &u64| n > 0).with_context(|| {
            format!("--patience: '{cycles}' is not accepted; accepted are a number of cycles from 1, or none")
        })?),
    };
    let (file, what) = match (&options.rom, &options.kernel) {
        (Some(rom), _) => (rom, "ROM"),
        (None, Some(kernel)) => (kernel, "kernel"),
        (None, None) => bail!("boot: nothing to boot; accepted are a kernel or --rom FILE"),
    };
    let path = file.display().to_string();
    let image = std::fs::read(file).with_context(|| format!("{path}: cannot read the {what}"))?;
    let modules = modules(&options.modules)?;
    let memory = config.memory;
    let mut machine = Machine::new(config)?;
    if options.rom.is_some() {
        machine.load_rom(&path, &image)?;
    } else {
        machine.load_multiboot(&BootRequest {
            kernel_name: &path,
            kernel: &image,
            arguments: &options.append,
            modules: &modules,
            memory,
        })?;
    }
    if options.stats.is_some() && options.stats == options.timeline {
        bail!("--stats and --timeline name the same file; accepted are two");
    }
    let stats = options.stats.as_deref().map(|p| Sink::open(Some(p))).transpose()?;
    let timeline_file = options.timeline.as_deref().map(|p| Sink::open(Some(p))).transpose()?;
    let described = BootConfig::new(&machine, &image, &options.append, &modules);

    let interrupt = interrupt::flag();
    machine.stop_when(Arc::clone(&interrupt));
    if let Some(cycles) = patience {
        machine.set_patience(cycles);
    }
    let debug_port = if options.debug_port { DebugPort::Shown } else { DebugPort::Dropped };
    let ports = options.log_ports.clone();
    let mut console = Console { interrupt, failed: None, debug_port, ports };
    let mut timeline = Timeline::default();
    let start = Instant::now();
    let stop = match &timeline_file {
        Some(_) => machine.run(&mut (&mut console, &mut timeline)),
        None => machine.run(&mut console),
    };
    console.console(&machine.take_console());
    console.debug_port(&machine.take_debug());
    let result = BootStats::new(&machine, described, &stop);
    message(&format!(
        "{} after {} cycles; {:.1} M instructions in {:.1} s",
        stop,
        result.cycles,
        result.instructions as f64 / 1e6,
        start.elapsed().as_secs_f64()
    ));
    if !matches!(stop, Stop::Exit(_) | Stop::Interrupted | Stop::CycleLimit(_)) {
        message(state::describe(&machine).trim_end());
    }
    if let Some(stats) = stats {
        stats.write(result.to_json()?)?;
    }
    if let Some(file) = timeline_file {
        timeline.finish(&machine);
        command::run::write(file, &timeline, machine.config(), "boot")?;
    }
    if let Some(error) = console.failed {
        return Err(error).context("cannot write the console");
    }
    Ok(match stop.code() {
        // A process has eight bits of status, as under QEMU.
        Some(code) => Status::Guest((code & 0xff) as u8),
        None => Status::Wrong,
    })
}

fn config(options: &Boot) -> Result<MachineConfig> {
    let given = &options.machine;
    let preset = Preset::load(given.cpu.as_deref().unwrap_or(DEFAULT_PRESET))?;
    let mut config = MachineConfig::new(preset);
    config.strictness = if options.strict { Strictness::Strict } else { Strictness::Lenient };
    for (key, value) in [
        ("cpus", &given.cpus),
        ("mem", &given.mem),
        ("seed", &given.seed),
        ("timing", &given.timing),
        ("max_cycles", &given.max_cycles),
    ] {
        if let Some(value) = value {
            config.set(key, value)?;
        }
    }
    for word in &options.set {
        let Some((key, value)) = word.split_once('=') else {
            bail!("--set: '{word}' has no '='; accepted is key=value");
        };
        // Cells know this key by the name under which a configuration file says it.
        let key = if key == "host.shortcuts" { "shortcuts" } else { key };
        config.set(key, value).with_context(|| format!("--set {word}"))?;
    }
    config.validate()?;
    Ok(config)
}

/// Reads the modules: the first word of each is the path.
fn modules(strings: &[String]) -> Result<Vec<Module>> {
    let read = |string: &String| {
        let Some(path) = string.split_ascii_whitespace().next() else {
            bail!("--module: empty; accepted is the path of a file, then its arguments");
        };
        let bytes = std::fs::read(path).with_context(|| format!("{path}: cannot read the module"))?;
        Ok(Module { string: string.clone(), bytes })
    };
    strings.iter().map(read).collect()
}

/// What becomes of the output of port 0xE9.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DebugPort {
    Shown,
    Dropped,
}

/// Passes the guest's console on as it comes.
struct Console {
    interrupt: Arc<AtomicBool>,
    failed: Option<io::Error>,
    debug_port: DebugPort,
    /// Ports to which writes are shown.
    ports: Vec<u16>,
}

impl Console {
    fn write(bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }
}

impl Observer for Console {
    fn wanted(&self) -> Wanted {
        if self.ports.is_empty() { Wanted::CONSOLE } else { Wanted::CONSOLE | Wanted::PORTS }
    }

    fn event(&mut self, event: &Event) {
        if let What::PortWrite { port, size, value } = event.what
            && self.ports.contains(&port)
        {
            let digits = 2 * usize::from(size);
            // That nobody reads it is no reason to fail.
            let _ = writeln!(io::stderr(), "port {port:#06x}: {value:0digits$x}");
        }
    }

    fn console(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.failed.is_some() {
            return;
        }
        if let Err(error) = Console::write(bytes) {
            // Nobody listens any more: end the run.
            self.failed = Some(error);
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
    fn debug_port(&mut self, bytes: &[u8]) {
        if self.debug_port == DebugPort::Shown {
            // Like all messages: that nobody reads it is no reason to fail.
            let _ = io::stderr().write_all(bytes);
        }
    }
}
