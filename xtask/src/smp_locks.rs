//! The kernel's list of its own LOCK prefixes, by which it becomes a kernel for one processor (`smp=off`).
//!
//! `.smp_locks` is room in the image for linear addresses, 0 behind the last
//! (`kernel-image/src/arch/up.rs`). It is filled once the image is linked: every
//! section with code is decoded from its first byte to its last, as
//! `opcodes::check` does, so that no byte is taken for a prefix that is none.
//! `xchg` with memory locks without a prefix, which nobody can take away: an image with one is refused.

use anyhow::{Result, bail};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

use crate::elf::{self, Code};

const LOCK: u8 = 0xf0;
const SECTION: &str = ".smp_locks";

/// Linear addresses of the LOCK prefixes of a section.
fn in_code(code: &Code<'_>) -> Result<Vec<u32>> {
    let mut decoder = Decoder::with_ip(32, code.bytes, u64::from(code.address), DecoderOptions::NONE);
    let mut found = Vec::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let start = decoder.position();
        decoder.decode_out(&mut instruction);
        let at = code.address + start as u32;
        if instruction.has_lock_prefix() {
            let bytes = &code.bytes[start..decoder.position()];
            // Prefixes come before the opcode, and none of the others has this value.
            let Some(offset) = bytes.iter().position(|&byte| byte == LOCK) else {
                bail!("{}: {at:#010x}: no LOCK prefix in {bytes:02x?}", code.name);
            };
            found.push(at + offset as u32);
        } else if instruction.mnemonic() == Mnemonic::Xchg && has_memory(&instruction) {
            bail!(
                "{}: {at:#010x}: xchg with memory locks without a prefix that smp=off could take away; use a compare-exchange",
                code.name
            );
        }
    }
    Ok(found)
}

fn has_memory(instruction: &Instruction) -> bool {
    instruction.op_kinds().any(|kind| kind == OpKind::Memory)
}

/// Of all code of an image, in the order of addresses.
fn sites(image: &[u8]) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for code in elf::code(image)? {
        all.extend(in_code(&code)?);
    }
    all.sort_unstable();
    Ok(all)
}

/// What the section has to hold.
fn list(image: &[u8], bytes: usize) -> Result<Vec<u8>> {
    let sites = sites(image)?;
    let mut list: Vec<u8> = sites.iter().flat_map(|site| site.to_le_bytes()).collect();
    if sites.is_empty() || list.len() + 4 > bytes {
        bail!("{} LOCK prefixes, and {SECTION} has room for 1 to {}", sites.len(), bytes / 4 - 1);
    }
    list.resize(bytes, 0);
    Ok(list)
}

/// Writes the list into a linked kernel.
pub fn fill(image: &mut [u8]) -> Result<()> {
    let place = elf::section(image, SECTION)?;
    let list = list(image, place.len())?;
    image[place].copy_from_slice(&list);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    fn code(bytes: &[u8]) -> Code<'_> {
        Code { name: ".text".into(), address: 0x1000, bytes }
    }

    #[test]
    fn prefixes_are_found_and_nothing_else_is() {
        // mov eax, 0xf0f0f0f0; lock inc dword [eax]; lock cmpxchg word [ecx], dx, its prefixes in either order
        let bytes = [
            0xb8, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xff, 0x00, 0x66, 0xf0, 0x0f, 0xb1, 0x11, 0xf0, 0x66, 0x0f,
            0xb1, 0x11,
        ];
        assert_eq!(in_code(&code(&bytes)).unwrap(), [0x1005, 0x1009, 0x100d]);
    }

    #[test]
    fn a_lock_without_a_prefix_is_refused() {
        // xchg eax, ecx is none; xchg [ecx], eax is
        assert!(in_code(&code(&[0x91])).unwrap().is_empty());
        let message = in_code(&code(&[0x91, 0x87, 0x01])).unwrap_err().to_string();
        assert!(message.contains("0x00001001") && message.contains("compare-exchange"), "{message}");
    }

    /// What the kernel does at boot, done to the image: no locked instruction is left, and no other is changed.
    #[test]
    fn the_kernel_lists_all_its_prefixes_and_can_do_without() {
        let mut image = std::fs::read(paths::prebuilt(&paths::root()).join("kernel.elf")).unwrap();
        let place = elf::section(&image, SECTION).unwrap();
        let told = image[place.clone()].to_vec();
        assert_eq!(told, list(&image, place.len()).unwrap(), "the list is that of the code");
        let sites = sites(&image).unwrap();
        assert!(sites.len() > 100, "{} prefixes", sites.len());
        let before = decoded(&image);
        let text = elf::section(&image, ".text").unwrap();
        let address = elf::code(&image).unwrap().iter().find(|c| c.name == ".text").unwrap().address;
        for site in &sites {
            let byte = &mut image[text.start + (site - address) as usize];
            assert_eq!(std::mem::replace(byte, 0x3e), LOCK);
        }
        assert!(super::sites(&image).unwrap().is_empty());
        assert_eq!(decoded(&image), before);
    }

    /// Address, length, operation and operands of each instruction.
    fn decoded(image: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        for code in elf::code(image).unwrap() {
            let decoder = Decoder::with_ip(32, code.bytes, u64::from(code.address), DecoderOptions::NONE);
            all.extend(decoder.into_iter().map(|i| {
                let memory =
                    (i.memory_base(), i.memory_index(), i.memory_index_scale(), i.memory_displacement64());
                let kinds: Vec<_> = i.op_kinds().collect();
                let registers: Vec<_> = (0..i.op_count()).map(|n| i.op_register(n)).collect();
                format!("{:x} {} {:?} {memory:?} {kinds:?} {registers:?}", i.ip(), i.len(), i.code())
            }));
        }
        all
    }
}
