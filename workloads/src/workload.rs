//! The loads of the guest program, with their keys, ranges and defaults.
//!
//! The guest program (`workloads/guest`) checks its arguments too; the same
//! ranges stand here so that a mistake is told before a machine is built. Every
//! key is always passed on, so the defaults in results are those of this file.

use std::fmt;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A number in this range.
    Range(u32, u32),
    /// The same, and a multiple of four.
    Words(u32, u32),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Accepted::Range(low, high) => write!(f, "{low} to {high}"),
            Accepted::Words(low, high) => write!(f, "multiples of 4 from {low} to {high}"),
            Accepted::OneOf(words) => f.write_str(&words.join(", ")),
        }
    }
}

/// What stands for a key that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// This number.
    Number(u32),
    /// This number for each processor.
    PerCpu(u32),
    /// This word.
    Word(&'static str),
}

/// A key of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// What stands before the `=`.
    pub name: &'static str,
    /// What it takes.
    pub accepted: Accepted,
    /// What stands when it is not given.
    pub standard: Standard,
    /// What it means.
    pub text: &'static str,
}

impl Key {
    /// The value as the guest takes it, if this is one.
    pub fn check(&self, value: &str) -> Option<String> {
        let number = || value.parse::<u32>().ok();
        match self.accepted {
            Accepted::Range(low, high) => {
                number().filter(|n| (low..=high).contains(n)).map(|n| n.to_string())
            }
            Accepted::Words(low, high) => {
                number().filter(|n| (low..=high).contains(n) && n % 4 == 0).map(|n| n.to_string())
            }
            Accepted::OneOf(words) => words.contains(&value).then(|| value.to_owned()),
        }
    }

    /// The value when none is given, on a machine of `cpus` processors.
    pub fn standard(&self, cpus: usize) -> String {
        match self.standard {
            Standard::Number(n) => n.to_string(),
            Standard::PerCpu(n) => (n as usize * cpus).to_string(),
            Standard::Word(w) => w.to_owned(),
        }
    }
}

const fn number(name: &'static str, standard: u32, low: u32, high: u32, text: &'static str) -> Key {
    Key { name, accepted: Accepted::Range(low, high), standard: Standard::Number(standard), text }
}

const fn words(standard: u32, low: u32, text: &'static str) -> Key {
    Key { name: "len", accepted: Accepted::Words(low, 4096), standard: Standard::Number(standard), text }
}

const TASKS: Key = Key {
    name: "tasks",
    accepted: Accepted::Range(1, 1024),
    standard: Standard::PerCpu(2),
    text: "processes at work",
};
const PAGES: Key = number("pages", 4096, 1, 1 << 20, "pages of the file");
const WARMUP: Key = number("warmup", 500, 0, 100_000_000, "operations of each task before the measured part");
const SHARING: Key =
    number("sharing", 50, 0, 100, "per cent of pages and operations that are common to all tasks");
const HOT: Key = number("hot", 0, 0, 100, "per cent of operations on the first tenth of the pages");
const ORDER: Key = Key {
    name: "order",
    accepted: Accepted::OneOf(&["random", "seq"]),
    standard: Standard::Word("random"),
    text: "how pages follow each other",
};
const THINK: Key = number("think", 16, 0, 1_000_000, "rounds of user-mode work between operations");
const FOOTPRINT: Key = number("footprint", 16, 1, 65536, "pages that the user-mode work goes over");
const CHECK: Key = number("check", 100, 0, 100, "per cent of the file's pages that are looked at in the end");

const fn operations(standard: u32) -> Key {
    number("ops", standard, 1, 100_000_000, "measured operations of each task")
}

const fn warmup(standard: u32) -> Key {
    number("warmup", standard, 0, 100_000_000, "operations of each task before the measured part")
}

/// Tasks that may be threads of one process, of which the kernel makes 128 at most.
const fn tasks(each: u32, text: &'static str) -> Key {
    Key { name: "tasks", accepted: Accepted::Range(1, 120), standard: Standard::PerCpu(each), text }
}

const fn choice(name: &'static str, words: &'static [&'static str], text: &'static str) -> Key {
    Key { name, accepted: Accepted::OneOf(words), standard: Standard::Word(words[0]), text }
}

const REGION: Key = number("pages", 8, 1, 4096, "pages of each thread's region");
const READS: Key =
    number("reads", 4, 0, 100_000, "pages of other threads' regions looked at before each operation");

/// A load of the guest program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// What an operation is.
    pub operation: &'static str,
    /// The keys that it takes.
    pub keys: &'static [Key],
}

/// Every load; the first is the default.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "kmap-storm",
        description: "many tasks on all processors map one page of a large file after another",
        operation: "one page mapped, read twice and unmapped",
        keys: &[
            TASKS,
            PAGES,
            operations(6000),
            WARMUP,
            words(128, 64, "bytes read of each page"),
            number("hold", 0, 0, 1_000_000, "rounds of pause for which a page stays mapped"),
            SHARING,
            HOT,
            ORDER,
            THINK,
            FOOTPRINT,
            CHECK,
            number(
                "every",
                0,
                0,
                1_000_000_000,
                "cycles after which a task's next operation is due, whatever becomes of the one before; 0: when that is done",
            ),
        ],
    },
    Workload {
        name: "pagecache-read",
        description: "many tasks read from the page cache into their own memory",
        operation: "one read(2) out of one page",
        keys: &[
            TASKS,
            PAGES,
            operations(2000),
            WARMUP,
            words(1024, 64, "bytes of each read"),
            SHARING,
            HOT,
            ORDER,
            THINK,
            FOOTPRINT,
            CHECK,
            choice(
                "buffer",
                &["kept", "fresh"],
                "where each read goes: to one buffer, or to a page never touched",
            ),
        ],
    },
    Workload {
        name: "pagecache-write",
        description: "many tasks write to the page cache and read what they have written",
        operation: "one read(2) out of one page, in part after one write(2) to it",
        keys: &[
            TASKS,
            PAGES,
            operations(2000),
            WARMUP,
            words(1024, 64, "bytes of each write and read"),
            number("writes", 50, 0, 100, "per cent of operations that write first"),
            SHARING,
            HOT,
            ORDER,
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "fork-cow",
        description: "a parent forks children that write to the memory they inherited",
        operation: "one inherited page written for the first time",
        keys: &[
            TASKS,
            number("pages", 512, 1, 1 << 18, "pages of the parent's memory"),
            number("ops", 128, 1, 1 << 18, "pages that each child writes"),
            number("rounds", 4, 1, 1_000_000, "measured rounds of forks"),
            number("warmup", 1, 0, 1_000_000, "rounds before the measured part"),
            words(64, 4, "bytes written to each page"),
        ],
    },
    Workload {
        name: "syscall",
        description: "tasks make null system calls, one after another",
        operation: "one system call that does nothing, and the work after it",
        keys: &[
            TASKS,
            operations(10_000),
            WARMUP,
            number("think", 0, 0, 1_000_000, "rounds of user-mode work between operations"),
            FOOTPRINT,
        ],
    },
    Workload {
        name: "fault-zero",
        description: "tasks touch fresh memory, page after page",
        operation: "one page touched for the first time and filled",
        keys: &[
            tasks(1, "processes or threads at work"),
            number("pages", 128, 1, 1 << 16, "pages of each task's memory before it is mapped anew"),
            operations(1000),
            warmup(100),
            words(64, 4, "bytes looked at and written in each page"),
            choice("crew", &["processes", "threads"], "what the tasks are"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "munmap",
        description: "threads of one process give memory back that the others have in their TLBs",
        operation: "one region taken away and mapped again, or protected, and filled",
        keys: &[
            tasks(1, "threads at work"),
            REGION,
            operations(300),
            warmup(30),
            words(64, 4, "bytes filled and looked at in each page"),
            READS,
            choice("call", &["munmap", "mprotect", "fork", "discard"], "what takes the rights away"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "mremap",
        description: "threads of one process move memory that the others have in their TLBs",
        operation: "one region moved to another address and looked at",
        keys: &[
            tasks(1, "threads or processes at work"),
            REGION,
            operations(300),
            warmup(30),
            words(64, 4, "bytes looked at in each page"),
            READS,
            choice("crew", &["threads", "processes"], "what the tasks are"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "shm-many",
        description: "many processes read and write one piece of shared memory",
        operation: "some bytes of a page read, or written and read",
        keys: &[
            TASKS,
            number("pages", 1024, 1, 1 << 18, "pages of the shared memory"),
            operations(2000),
            WARMUP,
            words(128, 4, "bytes of each operation"),
            number("writes", 30, 0, 100, "per cent of operations that write first"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "shm-calls",
        description: "threads of one process map shared memory, show it to each other and take it away",
        operation: "one region given back and mapped again, or protected, and filled",
        keys: &[
            tasks(1, "threads at work"),
            number("pages", 1024, 1, 4096, "pages of each thread's region"),
            operations(10),
            warmup(1),
            words(64, 4, "bytes filled and looked at in each page"),
            READS,
            choice("call", &["munmap", "mprotect"], "what takes the rights away"),
            choice(
                "cut",
                &["untried", "done", "refused"],
                "what has to become of moving a region and of changing a page of it, with call=munmap",
            ),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "peek",
        description: "processes look into each other's memory, as a debugger does",
        operation: "some bytes copied out of a page of another process",
        keys: &[
            TASKS,
            number("pages", 64, 1, 65536, "pages of each process's memory"),
            operations(2000),
            WARMUP,
            words(128, 4, "bytes of each look"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "swap",
        description: "tasks with more memory together than there is, so that pages go to the swap device and come back",
        operation: "some bytes of a page read, or read and written",
        keys: &[
            tasks(1, "processes or threads at work"),
            number("pages", 512, 1, 1 << 16, "pages of each task's memory"),
            operations(1000),
            warmup(100),
            words(64, 4, "bytes of each operation"),
            number("writes", 30, 0, 100, "per cent of operations that write"),
            number("sharing", 25, 0, 100, "per cent of the pages that are there before the tasks are forked"),
            HOT,
            choice("crew", &["processes", "threads"], "what the tasks are"),
            choice("tree", &["flat", "deep"], "who forks the tasks: the first process, or each the next"),
            number("moves", 0, 0, 100, "per cent of operations that move a chunk of the task's own pages"),
            number("chunk", 8, 1, 1024, "pages of a chunk"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "mapped-file",
        description: "threads of one process map parts of a file, change them and unmap them",
        operation: "one part mapped anew, or protected, given new content and looked at in another way",
        keys: &[
            tasks(1, "threads at work"),
            number(
                "pages",
                8,
                1,
                1024,
                "pages that each thread has mapped, a quarter of its part of the file",
            ),
            operations(300),
            warmup(30),
            words(64, 4, "bytes changed and looked at in each page"),
            number(
                "reads",
                4,
                0,
                100_000,
                "pages of other threads' mappings looked at before each operation",
            ),
            choice("call", &["munmap", "mprotect", "fork"], "what takes rights away, or who writes"),
            THINK,
            FOOTPRINT,
        ],
    },
    Workload {
        name: "mixed",
        description: "tasks that read, write and map a file, touch and move memory, and fork",
        operation: "one piece of work on a page of the file, a fresh page touched, or a child forked",
        keys: &[
            TASKS,
            PAGES,
            operations(1000),
            WARMUP,
            words(512, 64, "bytes of each write, read or look"),
            number("files", 60, 0, 100, "per cent of operations on the file"),
            number("writes", 30, 0, 100, "per cent of reads of the file before which it is written"),
            number("forks", 2, 0, 100, "per cent of operations that fork; with files= at most 100"),
            SHARING,
            HOT,
            ORDER,
            THINK,
            FOOTPRINT,
        ],
    },
];

impl Workload {
    /// The load of this name.
    pub fn from_name(name: &str) -> Option<&'static Workload> {
        WORKLOADS.iter().find(|w| w.name == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        let names: Vec<_> = WORKLOADS.iter().map(|w| w.name).collect();
        names.join(", ")
    }

    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    /// The names of all keys, for messages.
    pub fn key_names(&self) -> String {
        let names: Vec<_> = self.keys.iter().map(|k| k.name).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standards_are_accepted() {
        for load in WORKLOADS {
            for key in load.keys {
                for cpus in [1, 4, 64] {
                    let standard = key.standard(cpus);
                    assert_eq!(key.check(&standard), Some(standard), "{} {}", load.name, key.name);
                }
            }
        }
    }

    #[test]
    fn values_outside_are_not() {
        let key = |name| Workload::from_name("kmap-storm").and_then(|w| w.key(name)).unwrap();
        assert_eq!(key("tasks").check("0"), None);
        assert_eq!(key("tasks").check("1025"), None);
        assert_eq!(key("len").check("66"), None);
        assert_eq!(key("order").check("sorted"), None);
        assert_eq!(key("pages").check("-1"), None);
        assert_eq!(key("pages").check("+7"), Some("7".into()), "passed on in the guest's spelling");
    }
}
