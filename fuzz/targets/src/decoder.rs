//! The decoder alone: the first byte is mode and processor, the rest the code, which ends (but for its last
//! 15 bytes) where its page ends.
//!
//! Asserted: every operation begins where the one before ended and is as long as iced-x86 says (a fused operation as its
//! two instructions); a block ends within its bytes; a block of one instruction is the beginning of the longer one; an
//! instruction that needs a second page gets it.

use crate::input::Input;
use iced_x86::{Decoder, DecoderError, DecoderOptions};
use shootdown_emu::Preset;
use shootdown_emu::addr::Frame;
use shootdown_emu::cpu::block::{Block, MAX_OPS, Mode};
use shootdown_emu::cpu::decode::{Decoded, Model, decode_block, decode_single};
use shootdown_emu::cpu::exec::cpuid::Identity;
use shootdown_emu::cpu::op::Op;
use std::sync::OnceLock;

/// The longest instruction, in bytes.
const LONGEST: usize = 15;
const PAGE: usize = 4096;
const FIRST: u64 = 0x12_3000;
const SECOND: Frame = Frame(0x77);

/// Runs one input.
pub fn run(bytes: &[u8]) {
    static MODELS: OnceLock<Vec<Model>> = OnceLock::new();
    let models = MODELS.get_or_init(|| {
        let presets = Preset::names().filter_map(Preset::builtin);
        presets.map(|p| Model { costs: p.costs(), identity: Identity::new(&p) }).collect()
    });
    let mut input = Input::new(bytes);
    let first = input.byte();
    let mode = Mode::from_bits_truncate(first & 15);
    let model = &models[usize::from(first >> 4) % models.len()];
    let code = input.take(PAGE + LONGEST);
    // The code ends where the page ends, and the second page follows.
    let first = code.len().min(PAGE).min(code.len().saturating_sub(LONGEST).max(1));
    if code.is_empty() {
        return;
    }
    let pa = FIRST + (PAGE - first) as u64;
    let single = decode_single(&code[..first], pa, mode, model, None);
    match decode_block(&code[..first], pa, mode, model, None) {
        Decoded::Block(block) => {
            check(&block, &code[..first], mode);
            assert_eq!(block.second, None);
            let Decoded::Block(single) = single else { panic!("one instruction needs more than many") };
            check(&single, &code[..first], mode);
            assert_eq!(single.ops.len(), 1);
            let (a, b) = (&single.ops[0], &block.ops[0]);
            assert!(a.len == b.len || b.bits & Op::FUSED != 0, "{} and {} bytes", a.len, b.len);
        }
        Decoded::NeedSecondPage => {
            assert!(matches!(single, Decoded::NeedSecondPage));
            // As far as an instruction can reach.
            let mut long = code.to_vec();
            long.resize(first + LONGEST, 0x90);
            match decode_block(&long, pa, mode, model, Some(SECOND)) {
                Decoded::Block(block) => {
                    check(&block, &long, mode);
                    assert_eq!((block.ops.len(), block.second), (1, Some(SECOND)));
                    assert!(usize::from(block.bytes) > first, "{} bytes fit in {first}", block.bytes);
                }
                Decoded::NeedSecondPage => panic!("a third page"),
            }
        }
    }
}

/// Compares a block with iced's reading of the same bytes.
fn check(block: &Block, code: &[u8], mode: Mode) {
    let bitness = if mode.contains(Mode::CODE32) { 32 } else { 16 };
    let options = DecoderOptions::FORCE_RESERVED_NOP
        | DecoderOptions::NO_MPFX_0FBC
        | DecoderOptions::NO_MPFX_0FBD
        | DecoderOptions::NO_WBNOINVD;
    let mut decoder = Decoder::new(bitness, code, options);
    assert!((1..=MAX_OPS).contains(&block.ops.len()));
    let (mut instructions, mut cost) = (0, 0u32);
    for (n, op) in block.ops.iter().enumerate() {
        assert_eq!(usize::from(op.at), decoder.position(), "operation {n} begins elsewhere");
        assert_eq!(u32::from(op.before), cost);
        let many = if op.bits & Op::FUSED != 0 { 2 } else { 1 };
        for _ in 0..many {
            let _ = decoder.decode();
            if decoder.last_error() != DecoderError::None {
                assert_eq!(n + 1, block.ops.len(), "goes on after an undefined instruction");
            }
        }
        instructions += many;
        assert_eq!(
            usize::from(op.at) + usize::from(op.len),
            decoder.position(),
            "operation {n} has another length"
        );
        cost += u32::from(op.cost);
    }
    assert_eq!(usize::from(block.bytes), decoder.position());
    assert_eq!((usize::from(block.instructions), block.cost), (instructions, cost));
    assert!(block.locked <= block.cost);
}
