//! `shootdown-emu`: an i686 multiprocessor with modelled TLBs, and nothing above it.
//!
//! ```text
//!  bytes -> decode -> execute -> mmu/tlb -> bus -> RAM | APIC | devices
//!                 \______ events ______/ -> cost -> ledger, probes
//! ```
//!
//! Lower layers never call upward: the APIC returns the message to send and the
//! machine sends it; a PTE write is noted and the machine checks the other
//! processors. One host thread runs one [`Machine`]; the same configuration gives
//! the same figures on any host.
//!
//! Where to look:
//!
//! | for | file |
//! |---|---|
//! | which processor runs next, IPI delivery | `machine.rs` |
//! | the loop over blocks and operations | `cpu/run.rs` |
//! | an instruction | `cpu/decode/`, `cpu/exec/` |
//! | loads and stores | `cpu/memory.rs` |
//! | TLB, page walk, invalidation | `mmu/` |
//! | data caches, line transfers | `cache/` |
//! | what a thing costs | `costs/*.toml`, `cost/` |
//! | stale translations | `oracle.rs` |
//! | where the cycles went | `ledger.rs` |

pub mod addr;
pub mod apic;
pub mod bus;
pub mod cache;
pub mod config;
pub mod cost;
pub mod cpu;
pub mod device;
pub mod histogram;
pub mod ledger;
pub mod loader;
pub mod machine;
pub mod mmu;
pub mod mptable;
pub mod observe;
pub mod oracle;
pub mod snapshot;
pub mod stats;
pub mod stop;

pub use config::{ConfigError, MachineConfig};
pub use cost::Preset;
pub use machine::Machine;
pub use stop::Stop;
