//! The guest's two images, part of the program: the kernel and the user program.
//!
//! Results name them by the digest of what the machine gets of them, so that a
//! result can be told from one of another image. The digest is that of
//! `image.lock`, which also says which sources and compiler they come from.

use sha2::{Digest, Sha256};

/// The kernel, a Multiboot-1 ELF.
pub const KERNEL: &[u8] = include_bytes!("../../kernel-image/prebuilt/kernel.elf");
/// The user program, an ELF for ring 3.
pub const GUEST: &[u8] = include_bytes!("../../kernel-image/prebuilt/guest.elf");

/// SHA-256 over the loadable segments of an ELF32 file: for each, in file order, physical and linear
/// address, file size, memory size, flags and the bytes; then the entry. `None` for other files.
pub fn digest(elf: &[u8]) -> Option<String> {
    const PT_LOAD: u32 = 1;
    if elf.get(..5)? != b"\x7fELF\x01" {
        return None;
    }
    let half = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let (table, size, count) = (word(28)? as usize, half(42)? as usize, half(44)? as usize);
    let mut hash = Sha256::new();
    for n in 0..count {
        let header = table.checked_add(n * size)?;
        if word(header)? != PT_LOAD {
            continue;
        }
        let [offset, linear, physical, in_file, in_memory, flags] =
            [4, 8, 12, 16, 20, 24].map(|field| word(header.saturating_add(field)));
        for field in [physical?, linear?, in_file?, in_memory?, flags?] {
            hash.update(field.to_le_bytes());
        }
        let start = offset? as usize;
        hash.update(elf.get(start..start.checked_add(in_file? as usize)?)?);
    }
    hash.update(word(24)?.to_le_bytes());
    Some(hex(&hash.finalize()))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_those_of_the_lock() {
        let lock: toml::Table = include_str!("../../kernel-image/prebuilt/image.lock").parse().unwrap();
        for (name, image) in [("kernel.elf", KERNEL), ("guest.elf", GUEST)] {
            let locked = lock["segments"][name].as_str().map(str::to_owned);
            assert_eq!(digest(image), locked, "{name}: run `cargo xtask image`");
        }
    }

    #[test]
    fn other_files_have_no_digest() {
        assert_eq!(digest(b""), None);
        assert_eq!(digest(b"\x7fELF\x02 and so on"), None);
        assert_eq!(digest(&KERNEL[..100]), None);
    }
}
