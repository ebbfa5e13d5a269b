//! The kernel's command line: `key=value` words. An unknown key or value ends
//! the machine with one line that names it and says what is accepted.

use crate::kmap::Strategy;
use crate::kmap::axes::{How, Inval, Slots, When, Who, Wrap};
use crate::memlayout::Split;
use crate::mm::fault::Cow;
use crate::mm::user::UserCopy;
use crate::mm::{ShmPages, bounce, swap};
use crate::param::{NCPU, TICK_COUNT};
use crate::planted::Fault;
use crate::ptemap;
use crate::shootdown::Scheme;
use crate::sync::{BootCell, LockKind};
use crate::{multiboot, refuse, rmap};

/// The page-table format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// `4g`: two levels of 32-bit entries, 32-bit physical addresses.
    TwoLevel,
    /// `64g`: PAE, three levels of 64-bit entries, 36-bit physical addresses.
    Pae,
}

impl Paging {
    /// The format of this name.
    fn from_name(name: &str) -> Option<Paging> {
        [Paging::TwoLevel, Paging::Pae].into_iter().find(|p| p.name() == name)
    }

    /// The value of `highmem=` and `paging=`.
    pub fn name(self) -> &'static str {
        match self {
            Paging::TwoLevel => "4g",
            Paging::Pae => "64g",
        }
    }
}

/// All that the command line can say.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `kmap=`: how a page gets a kernel address.
    pub kmap: Strategy,
    /// `window=`: slots of the shared window, 16 to 65536; unset: as Linux.
    pub window: Option<u32>,
    /// `global-kmap=`: G bit of window PTEs; unset: as the strategy wants it.
    pub global_kmap: Option<bool>,
    /// `slots=`, `when=`, `how=`, `who=`, `inval=`, `wrap=`: axes of the strategy that are not its own; see `kmap::axes`.
    pub slots: Option<Slots>,
    pub when: Option<When>,
    pub how: Option<How>,
    pub who: Option<Who>,
    pub inval: Option<Inval>,
    pub wrap: Option<Wrap>,
    /// `atomic-flush=`: `when` of slots by type and on a stack.
    pub atomic_flush: Option<When>,
    /// `atomic-irqs=off` is `false`: interrupts share the slots by type, and are off while one is in use.
    pub atomic_irqs: bool,
    /// `shared-flush=`: `when` of `shared-invlpg`.
    pub shared_flush: Option<When>,
    /// `shootdown=`: how other processors are told that user translations are gone.
    pub shootdown: Scheme,
    /// `pte=`: how page tables are reached.
    pub pte: ptemap::Scheme,
    /// `lock=`: of which kind the locks of shared windows are.
    pub lock: LockKind,
    /// `shm-pages=`: what shared memory is mapped by.
    pub shm_pages: ShmPages,
    /// `reserve=`: slots that a task reserves (`pte=reserve`).
    pub reserve: u32,
    /// `user-copy=`: when the user's side of a copy is made usable.
    pub user_copy: UserCopy,
    /// `cow=`: how a page is copied on write.
    pub cow: Cow,
    /// `swap=`: pages of RAM that play the swap device; 0: there is none, and nothing is reclaimed.
    pub swap: u32,
    /// `disk=`: pages of RAM that play the device of files; 0: there is none, and files stay in memory.
    pub disk: u32,
    /// `bounce=on`: the device does not reach all memory.
    pub bounce: bool,
    /// `bounce-limit=`: what it reaches, in bytes; unset: 4 GiB.
    pub bounce_limit: Option<u32>,
    /// `bounce-pages=`: pages that what it does not reach goes through.
    pub bounce_pages: u32,
    /// `rmap=`: how reclaim finds the PTEs of a page.
    pub rmap: rmap::Scheme,
    /// `rmap-audit=1`: each search is held against `scan`.
    pub rmap_audit: bool,
    /// `normal=`: end of the NORMAL zone in bytes; unset: as far as the direct map reaches.
    pub normal: Option<u32>,
    /// `highmem=4g`, `64g`; also called `paging=`.
    pub paging: Paging,
    /// `highmem=off` is `false`: what the direct map does not reach is not used, and a kmap is a sum.
    pub highmem: bool,
    /// `split=`: what of the linear addresses is the user's.
    pub split: Split,
    /// `cpus=`: bring up at most this many processors.
    pub cpus: usize,
    /// `smp=off` is `false`: a kernel for one processor, without LOCK prefixes.
    pub smp: bool,
    /// `marks=off` is `false`.
    pub marks: bool,
    /// `entry-cr3=1`: CR3 is loaded at each entry from ring 3 and before each return to it.
    pub entry_cr3: bool,
    /// `preempt=off` is `false`: inside the kernel a task keeps its processor until it sleeps.
    pub preempt: bool,
    /// `irq-kmap=1`: the timer interrupt reads a page of a file at each tick.
    pub irq_kmap: bool,
    /// `thread-kmap=1`: so does `kwatch` in each of its rounds.
    pub thread_kmap: bool,
    /// `tick=`: initial count of the local APIC timer.
    pub tick: u32,
    /// `fault=`: a planted fault.
    pub fault: Option<Fault>,
    /// `seed=`: recorded for the run, free for strategies that draw lots.
    pub seed: u32,
}

/// Most slots that a task reserves, and what it reserves if nothing is said.
const MOST_RESERVED: u32 = 3;

static OPTIONS: BootCell<Options> = BootCell::new();

const KEYS: &str = "kmap, slots, when, how, who, inval, wrap, window, global-kmap, atomic-flush, atomic-irqs, shared-flush, shootdown, pte, reserve, user-copy, cow, lock, shm-pages, swap, rmap, rmap-audit, disk, bounce, bounce-limit, bounce-pages, normal, highmem, paging, split, cpus, smp, marks, entry-cr3, preempt, irq-kmap, thread-kmap, tick, fault, seed";

/// The options of this boot.
#[inline]
pub fn options() -> &'static Options {
    OPTIONS.get()
}

/// Reads the command line.
pub fn init() {
    let mut options = Options {
        kmap: Strategy::Batched,
        window: None,
        global_kmap: None,
        slots: None,
        when: None,
        how: None,
        who: None,
        inval: None,
        wrap: None,
        atomic_flush: None,
        atomic_irqs: true,
        shared_flush: None,
        shootdown: Scheme::IpiSync,
        pte: ptemap::Scheme::Lowmem,
        lock: LockKind::Tas,
        shm_pages: ShmPages::Small,
        reserve: MOST_RESERVED,
        user_copy: UserCopy::Before,
        cow: Cow::Pair,
        swap: 0,
        rmap: rmap::Scheme::Scan,
        rmap_audit: false,
        disk: 0,
        bounce: false,
        bounce_limit: None,
        bounce_pages: 32,
        normal: None,
        paging: Paging::TwoLevel,
        highmem: true,
        split: Split::ThreeG,
        cpus: NCPU,
        smp: true,
        marks: true,
        entry_cr3: false,
        preempt: true,
        irq_kmap: false,
        thread_kmap: false,
        tick: TICK_COUNT,
        fault: None,
        seed: 0,
    };
    let (mut cpus, mut reserve) = (None, None);
    for word in arguments(multiboot::info().command_line()) {
        let Some((key, value)) = word.split_once('=') else {
            refuse!("command line: `{word}` has no `=`; accepted: key=value with the keys {KEYS}");
        };
        match key {
            "kmap" => options.kmap = name(key, value, Strategy::from_name(value), Strategy::NAMES),
            "slots" => options.slots = Some(name(key, value, Slots::from_name(value), Slots::NAMES)),
            "when" => options.when = Some(name(key, value, When::from_name(value), When::NAMES)),
            "how" => options.how = Some(name(key, value, How::from_name(value), How::NAMES)),
            "who" => options.who = Some(name(key, value, Who::from_name(value), Who::NAMES)),
            "inval" => options.inval = Some(name(key, value, Inval::from_name(value), Inval::NAMES)),
            "wrap" => options.wrap = Some(name(key, value, Wrap::from_name(value), Wrap::NAMES)),
            "window" => options.window = Some(number(key, value, 16, 65536)),
            "global-kmap" => options.global_kmap = Some(switch(key, value, "1", "0")),
            "atomic-flush" => {
                let map = switch(key, value, "map", "unmap");
                options.atomic_flush = Some(if map { When::Map } else { When::Unmap });
            }
            "atomic-irqs" => options.atomic_irqs = switch(key, value, "on", "off"),
            "shared-flush" => {
                let recycle = switch(key, value, "recycle", "unmap");
                options.shared_flush = Some(if recycle { When::Recycle } else { When::Unmap });
            }
            "shootdown" => options.shootdown = name(key, value, Scheme::from_name(value), Scheme::NAMES),
            "pte" => options.pte = name(key, value, ptemap::Scheme::from_name(value), ptemap::Scheme::NAMES),
            "lock" => options.lock = name(key, value, LockKind::from_name(value), LockKind::NAMES),
            "shm-pages" => {
                options.shm_pages = name(key, value, ShmPages::from_name(value), ShmPages::NAMES);
            }
            "reserve" => reserve = Some(number(key, value, 2, MOST_RESERVED)),
            "user-copy" => {
                options.user_copy = name(key, value, UserCopy::from_name(value), UserCopy::NAMES);
            }
            "cow" => options.cow = name(key, value, Cow::from_name(value), Cow::NAMES),
            "swap" => options.swap = number(key, value, 0, swap::MOST),
            "rmap" => options.rmap = name(key, value, rmap::Scheme::from_name(value), rmap::Scheme::NAMES),
            "rmap-audit" => options.rmap_audit = switch(key, value, "1", "0"),
            "disk" => options.disk = number(key, value, 0, swap::MOST),
            "bounce" => options.bounce = switch(key, value, "on", "off"),
            "bounce-limit" => options.bounce_limit = Some(size(key, value)),
            "bounce-pages" => options.bounce_pages = number(key, value, 1, bounce::MOST as u32),
            "normal" => options.normal = Some(size(key, value)),
            "highmem" => {
                options.highmem = value != "off";
                if options.highmem {
                    options.paging = name(key, value, Paging::from_name(value), "off, 4g, 64g");
                }
            }
            "paging" => options.paging = name(key, value, Paging::from_name(value), "4g, 64g"),
            "split" => options.split = name(key, value, Split::from_name(value), Split::NAMES),
            "cpus" => cpus = Some(number(key, value, 1, NCPU as u32) as usize),
            "smp" => options.smp = switch(key, value, "on", "off"),
            "marks" => options.marks = switch(key, value, "on", "off"),
            "entry-cr3" => options.entry_cr3 = switch(key, value, "1", "0"),
            "preempt" => options.preempt = switch(key, value, "on", "off"),
            "irq-kmap" => options.irq_kmap = switch(key, value, "1", "0"),
            "thread-kmap" => options.thread_kmap = switch(key, value, "1", "0"),
            "tick" => options.tick = number(key, value, 1000, u32::MAX),
            "fault" => options.fault = Some(name(key, value, Fault::from_name(value), Fault::NAMES)),
            "seed" => options.seed = number(key, value, 0, u32::MAX),
            _ => refuse!("command line: unknown key `{key}`; accepted: {KEYS}"),
        }
    }
    if let Some(slots) = reserve {
        if options.pte != ptemap::Scheme::Reserve {
            refuse!(
                "command line: reserve={slots} with pte={}: no slots are reserved; accepted with it: pte=reserve",
                options.pte.name()
            );
        }
        options.reserve = slots;
    }
    if options.disk > 0 && (options.irq_kmap || options.thread_kmap) {
        refuse!(
            "command line: disk={} does not go with irq-kmap=1 or thread-kmap=1, which read pages that have to be in memory; accepted: irq-kmap=0, thread-kmap=0",
            options.disk
        );
    }
    if options.disk > 0 && !matches!(options.pte, ptemap::Scheme::Lowmem | ptemap::Scheme::Atomic) {
        refuse!(
            "command line: disk={} does not go with pte={}, whose tasks would wait for pages that others read, with tables in their hands; accepted with it: pte=lowmem, pte=atomic",
            options.disk,
            options.pte.name()
        );
    }
    options.cpus = match cpus {
        Some(asked) if asked > 1 && !options.smp => refuse!(
            "command line: cpus={asked} with smp=off: this is a kernel for one processor; accepted: smp=on, or cpus=1"
        ),
        _ if !options.smp => 1,
        asked => asked.unwrap_or(NCPU),
    };
    if !options.highmem {
        demand_low(&options);
    }
    // SAFETY: called once from the boot list, before other processors run.
    unsafe { OPTIONS.set(options) }
}

/// Refuses what a kernel without high memory does not have.
fn demand_low(options: &Options) {
    if options.paging == Paging::Pae {
        refuse!(
            "command line: highmem=off with paging=64g: without high memory there is nothing above 4 GiB to address; accepted: highmem=64g, or highmem=off with paging=4g"
        );
    }
    if options.pte != ptemap::Scheme::Lowmem {
        refuse!(
            "command line: highmem=off with pte={}: there is no high memory that page tables could lie in; accepted with it: pte=lowmem",
            options.pte.name()
        );
    }
}

/// The words after the file name, which most boot loaders put first.
fn arguments(line: &str) -> impl Iterator<Item = &str> {
    let mut words = line.split_ascii_whitespace().peekable();
    let is_path =
        |word: &&str| word.split('=').next().is_some_and(|head| head.contains('/') || head == *word);
    words.next_if(is_path);
    words
}

fn name<T>(key: &str, value: &str, found: Option<T>, names: &str) -> T {
    match found {
        Some(found) => found,
        None => refuse!("command line: {key}={value} is unknown; accepted: {names}"),
    }
}

fn switch(key: &str, value: &str, yes: &str, no: &str) -> bool {
    if value != yes && value != no {
        refuse!("command line: {key}={value} is unknown; accepted: {yes}, {no}");
    }
    value == yes
}

fn number(key: &str, value: &str, least: u32, most: u32) -> u32 {
    match value.parse() {
        Ok(n) if (least..=most).contains(&n) => n,
        _ => refuse!("command line: {key}={value} is not a number from {least} to {most}"),
    }
}

/// A number of bytes with an optional K, M or G.
fn size(key: &str, value: &str) -> u32 {
    let (digits, shift) = match value.as_bytes().last() {
        Some(b'K' | b'k') => (&value[..value.len() - 1], 10),
        Some(b'M' | b'm') => (&value[..value.len() - 1], 20),
        Some(b'G' | b'g') => (&value[..value.len() - 1], 30),
        _ => (value, 0),
    };
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).and_then(|n| n.try_into().ok()) {
        Some(bytes) => bytes,
        None => refuse!(
            "command line: {key}={value} is not a size below 4G; accepted: a number with an optional K, M or G"
        ),
    }
}
