//! Decoder, blocks and handlers: the bytes are a machine's configuration, the initial state of its one or two processors,
//! changes to its tables, and their code.
//!
//! Asserted: the run ends; both axes of each ledger sum to the clock; host memory stays
//! within the guest's; and, with one processor, a run without the host's shortcuts ends in the same state: why, clock,
//! registers, ledger, counters, memory. (Two that race for tables and stacks are not that exact: see
//! `emu/src/machine/order.rs`.)

use crate::guest::Setup;
use crate::input::Input;

/// The code of one processor at most, in bytes.
const MOST: usize = 2048;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut setup = Setup::read(&mut input);
    if setup.start.len() == 2 {
        let n = usize::from(input.byte());
        setup.start[1].code = input.take(n).to_vec();
    }
    setup.start[0].code = input.take(MOST).to_vec();
    setup.check();
}
