//! `tlb-gen`: each space counts its changes, each processor notes up to which
//! of them its TLB is true; who is up to date does nothing.
//!
//! *Protocol.*
//!
//! ```text
//!  initiator:  write PTEs;  g = ++space.generation;  catch up here;  interrupt the mask, wait for all
//!  target:     catch up, unless it runs the kernel only; acknowledge
//!  catch up:   now = space.generation                       // BEFORE the flush
//!              noted == now -> nothing to do
//!              the request is for one page, g == noted + 1 and now == g -> invlpg
//!              else load CR3
//!              noted = now
//!  CR3 load of the space:  noted = space.generation, before the load
//!  return to a space that is still loaded:  noted != space.generation -> load CR3
//! ```
//!
//! *Who waits for whom.* As `ipi-sync`. Two changes that come close together
//! cost a target two interrupts and one flush: the first one's flush was of
//! everything and took the second's generation with it.
//!
//! *What may stay stale, until when.* A processor that runs the kernel only
//! acknowledges with its old entries and catches up when it comes back.
//!
//! *Invariant.* noted(c) = n implies that the TLB of c holds nothing that was
//! changed by generation n or before: the generation is read before the flush,
//! and PTEs are written before the generation is raised. Read after the flush,
//! it would count changes that the flush did not see (fault `gen-late`). A
//! note that is too low costs a flush.
//!
//! *Departure.* Linux counts with 64 bits; 32 are used up after 4 * 10^9 changes
//! of one space, more than a run has cycles for. In 4.14 a lazy target switches
//! to the kernel's own page tables; here it stays where it is, as from 4.20 on.
//!
//! *Idea.* Lutomirski, "x86/mm: Rework lazy TLB mode and TLB freshness
//! tracking" (Linux 4.14, 2017).

use super::{Request, Shootdown};
use crate::arch::insn;
use crate::mm::flush::{self, Scope, To};
use crate::mm::{self, AddressSpace};
use crate::param::NCPU;
use crate::percpu;
use crate::planted::{self, Fault, linger};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

/// The generation that each processor's TLB is true for, of the space that it has loaded; its own processor writes it.
static NOTED: [AtomicU32; NCPU] = [const { AtomicU32::new(0) }; NCPU];

/// See the module.
pub struct TlbGen;

impl Shootdown for TlbGen {
    fn flush(space: &AddressSpace, scope: Scope) {
        let request = next_generation(space, scope);
        let flags = insn::irq_save();
        catch_up(space, &request, percpu::cpu_id());
        insn::irq_restore(flags);
        flush::ask(To::Each(space.loaded_elsewhere()), &request, || ());
    }

    fn flush_other(space: &AddressSpace, scope: Scope) {
        let request = next_generation(space, scope);
        flush::ask(To::Each(space.loaded_elsewhere()), &request, || ());
    }

    fn on_request(request: &Request, me: usize) {
        if mm::is_loaded(me, request.space) && !mm::is_lazy(me) {
            // SAFETY: its initiator runs in it or keeps it alive, and waits for this processor.
            catch_up(unsafe { &*request.space }, request, me);
        }
        flush::acknowledge(me);
    }

    fn must_load(space: &AddressSpace, cpu: usize) -> bool {
        space.take_stale(cpu) || NOTED[cpu].load(Relaxed) != space.generation.load(SeqCst)
    }

    fn before_load(space: &AddressSpace, cpu: usize) {
        NOTED[cpu].store(space.generation.load(SeqCst), Relaxed);
    }

    fn after_load(space: &AddressSpace, cpu: usize) {
        if planted::is(Fault::GenLate) {
            linger();
            NOTED[cpu].store(space.generation.load(SeqCst), Relaxed);
        }
    }
}

/// The request for a change that has just been made to the PTEs of `space`.
fn next_generation(space: &AddressSpace, scope: Scope) -> Request {
    let generation = space.generation.fetch_add(1, SeqCst).wrapping_add(1);
    Request { generation, ..Request::new(space, scope) }
}

/// Brings this processor, which has `space` loaded, to its present generation. With interrupts off.
fn catch_up(space: &AddressSpace, request: &Request, me: usize) {
    let noted = NOTED[me].load(Relaxed);
    let now = space.generation.load(SeqCst);
    if noted == now {
        return;
    }
    let next = noted.wrapping_add(1) == request.generation && request.generation == now;
    if next {
        request.scope.drop_here()
    } else {
        flush::local_non_global()
    }
    let reached = if planted::is(Fault::GenLate) {
        linger();
        space.generation.load(SeqCst)
    } else {
        now
    };
    NOTED[me].store(reached, Relaxed);
}
