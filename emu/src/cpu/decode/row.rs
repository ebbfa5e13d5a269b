//! A row of the decode table: the handler and what the block needs to know of it.

use crate::cost::Costs;
use crate::cpu::op::Handler;

bitflags::bitflags! {
    /// What an operation does besides its arithmetic.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Effect: u8 {
        /// Reads its memory operand (or pops).
        const LOAD = 1;
        /// Writes its memory operand (or pushes).
        const STORE = 2;
        /// No effect but on registers and flags, apart from reading memory.
        const PURE = 4;
        /// Ends the block.
        const ENDS = 8;
        /// Locked, with or without prefix.
        const LOCKED = 16;
        /// `unmodelled`: the fields hold the instruction's bytes.
        const BYTES = 32;
        /// x87: the immediate holds escape and ModR/M byte.
        const ESCAPE = 64;
    }
}

/// What the operation costs, apart from its memory accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing here: the handler charges.
    Dynamic,
    Alu,
    Branch,
    Multiply,
    Divide,
    X87,
    X87Divide,
    X87Function,
    /// A repeated string instruction; its elements are charged as they come.
    Repeat,
    Pause,
}

/// One row.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub run: Handler,
    pub class: Class,
    pub effect: Effect,
}

impl Row {
    /// Registers and flags only.
    pub fn pure(run: Handler) -> Row {
        Row { run, class: Class::Alu, effect: Effect::PURE }
    }

    /// Registers and flags, and a load.
    pub fn load(run: Handler) -> Row {
        Row { run, class: Class::Alu, effect: Effect::PURE | Effect::LOAD }
    }

    /// A store.
    pub fn store(run: Handler) -> Row {
        Row { run, class: Class::Alu, effect: Effect::STORE }
    }

    /// A load and a store.
    pub fn modify(run: Handler) -> Row {
        Row { run, class: Class::Alu, effect: Effect::LOAD | Effect::STORE }
    }

    /// The handler charges its own cost and the block ends.
    pub fn end(run: Handler) -> Row {
        Row { run, class: Class::Dynamic, effect: Effect::ENDS }
    }

    /// A near branch without memory access.
    pub fn branch(run: Handler) -> Row {
        Row { run, class: Class::Branch, effect: Effect::ENDS | Effect::PURE }
    }

    /// The same row with another class.
    pub fn class(self, class: Class) -> Row {
        Row { class, ..self }
    }

    /// The same row with more effects, no longer pure.
    pub fn with(self, effect: Effect) -> Row {
        Row { effect: (self.effect | effect) - Effect::PURE, ..self }
    }

    /// Static cost in cycles.
    pub fn cost(&self, costs: &Costs) -> u32 {
        if self.effect.contains(Effect::LOCKED) {
            return costs.locked;
        }
        let base = match self.class {
            Class::Dynamic => 0,
            Class::Alu => costs.alu,
            Class::Branch => costs.branch,
            Class::Multiply => costs.multiply,
            Class::Divide => costs.divide,
            Class::X87 => costs.x87,
            Class::X87Divide => costs.x87_divide,
            Class::X87Function => costs.x87_function,
            Class::Repeat => costs.string_setup,
            Class::Pause => costs.pause,
        };
        let load = if self.effect.contains(Effect::LOAD) { costs.load } else { 0 };
        let store = if self.effect.contains(Effect::STORE) { costs.store } else { 0 };
        base.saturating_add(load).saturating_add(store)
    }
}
