//! Tests of the loader, over ELF files that are built here byte by byte.

use super::*;

const M: u64 = 1 << 20;

/// A segment of a file under construction: virtual and physical address, bytes, size in memory.
struct Part<'a>(u32, u32, &'a [u8], u32);

/// A 32-bit i386 executable; a good Multiboot header leads the first segment's bytes when `header` is given.
fn elf(entry: u32, header: Option<u32>, parts: &[Part<'_>]) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2_u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, entry, 52, 0, 0] {
        file.extend(u32::to_le_bytes(word));
    }
    for half in [52, 32, parts.len() as u16, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut offset = 52 + 32 * parts.len() as u32;
    let lead = if header.is_some() { 12 } else { 0 };
    for (i, &Part(virt, phys, bytes, size)) in parts.iter().enumerate() {
        let lead = if i == 0 { lead } else { 0 };
        let len = bytes.len() as u32 + lead;
        for word in [1, offset, virt, phys, len, size, 7, 4] {
            file.extend(u32::to_le_bytes(word));
        }
        offset += len;
    }
    if let Some(flags) = header {
        file.extend(multiboot_words(flags));
    }
    for part in parts {
        file.extend(part.2);
    }
    file
}

fn multiboot_words(flags: u32) -> Vec<u8> {
    let magic = 0x1bad_b002_u32;
    [magic, flags, 0_u32.wrapping_sub(magic).wrapping_sub(flags)]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect()
}

fn plain() -> Vec<u8> {
    elf(0x10_000c, Some(3), &[Part(0x10_0000, 0x10_0000, b"code", 0x2000)])
}

fn request<'a>(kernel: &'a [u8], modules: &'a [Module]) -> BootRequest<'a> {
    BootRequest { kernel_name: "dir/k.elf", kernel, arguments: "kmap=atomic", modules, memory: 16 * M }
}

fn load_plain(kernel: &[u8]) -> Result<Image, LoadError> {
    load(&request(kernel, &[]))
}

fn refused(kernel: &[u8]) -> String {
    let message = load_plain(kernel).expect_err("must be refused").to_string();
    assert!(message.starts_with("dir/k.elf: ") && !message.contains('\n'), "{message}");
    message
}

/// Memory of 16 MiB with the image in it.
fn memory(image: &Image) -> Vec<u8> {
    let mut ram = vec![0_u8; 16 << 20];
    image
        .write(|at, bytes| {
            ram[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
            true
        })
        .expect("all of it is RAM");
    ram
}

fn word(ram: &[u8], at: u32) -> u32 {
    u32::from_le_bytes(ram[at as usize..at as usize + 4].try_into().expect("four bytes"))
}

fn text(ram: &[u8], at: u32) -> &str {
    let from = &ram[at as usize..];
    std::str::from_utf8(&from[..from.iter().position(|&b| b == 0).expect("ends")]).expect("text")
}

#[test]
fn a_kernel_starts_at_its_entry_with_its_information() {
    let image = load_plain(&plain()).unwrap();
    assert_eq!(image.state, BootState { entry: 0x10_000c, eax: 0x2bad_b002, ebx: 0x9000 });
    let ram = memory(&image);
    assert_eq!(&ram[0x10_000c..0x10_0010], b"code");
    let info = image.state.ebx;
    assert_eq!(word(&ram, info), 0x24d);
    assert_eq!(word(&ram, info + 4), 639);
    assert_eq!(word(&ram, info + 8), 15 * 1024);
    assert_eq!(text(&ram, word(&ram, info + 16)), "k.elf kmap=atomic");
    assert_eq!(word(&ram, info + 20), 0);
    assert_eq!(text(&ram, word(&ram, info + 64)), "shootdown");
}

#[test]
fn the_memory_map_is_that_of_the_machine() {
    let image = load_plain(&plain()).unwrap();
    let ram = memory(&image);
    let (length, at) = (word(&ram, image.state.ebx + 44), word(&ram, image.state.ebx + 48));
    let mut regions = Vec::new();
    let mut p = at;
    while p < at + length {
        let long = |at| u64::from(word(&ram, at)) | u64::from(word(&ram, at + 4)) << 32;
        regions.push((long(p + 4), long(p + 12), word(&ram, p + 20)));
        p += word(&ram, p) + 4;
    }
    assert_eq!(p, at + length);
    assert_eq!(regions[0], (0, 0x9fc00, 1));
    assert!(regions.contains(&(M, 15 * M, 1)));
    assert!(regions.contains(&(0xfee0_0000, 0x1000, 2)));
}

#[test]
fn ram_above_the_hole_starts_at_four_gib() {
    let map = MemoryMap::new(4 << 30);
    assert_eq!(map.low_end(), 0xe000_0000);
    assert_eq!(map.end(), (4 << 30) + 0x2000_0000);
    let last = *map.regions().last().unwrap();
    assert_eq!((last.start, last.end, last.kind), (4 << 30, (4 << 30) + 0x2000_0000, RegionKind::Available));
    assert_eq!(MemoryMap::new(0xe000_0000).end(), 0xe000_0000);
    assert_eq!(MemoryMap::new(64 << 30).end(), 64 << 30, "36 bits");
    assert_eq!(MemoryMap::new(1 << 20).end(), 1 << 20);
    for bytes in [M, 16 * M, 0xe000_0000, 4 << 30, 64 << 30] {
        let regions = MemoryMap::new(bytes).regions();
        assert!(regions.windows(2).all(|w| w[0].end <= w[1].start && w[0].start < w[0].end));
        let total: u64 =
            regions.iter().filter(|r| r.kind == RegionKind::Available).map(|r| r.end - r.start).sum();
        assert!(total <= bytes && total + 0x2006_0400 >= bytes);
    }
}

#[test]
fn modules_follow_the_kernel_page_by_page() {
    let modules = [
        Module { string: "guest kmap-storm tasks=8".into(), bytes: vec![1; 5000] },
        Module { string: String::new(), bytes: Vec::new() },
        Module { string: "last".into(), bytes: vec![2; 3] },
    ];
    let kernel = plain();
    let image = load(&request(&kernel, &modules)).unwrap();
    let ram = memory(&image);
    let info = image.state.ebx;
    assert_eq!(word(&ram, info + 20), 3);
    let list = word(&ram, info + 24);
    let entry = |i: u32| (word(&ram, list + 16 * i), word(&ram, list + 16 * i + 4));
    assert_eq!(entry(0), (0x10_2000, 0x10_2000 + 5000), "after the zeros of the kernel");
    assert_eq!(entry(1), (0x10_4000, 0x10_4000));
    assert_eq!(entry(2), (0x10_4000, 0x10_4003));
    assert_eq!(text(&ram, word(&ram, list + 8)), "guest kmap-storm tasks=8");
    assert_eq!(&ram[0x10_4000..0x10_4004], [2, 2, 2, 0]);
}

#[test]
fn a_kernel_linked_high_is_entered_low() {
    let kernel = elf(
        0xfe90_0004,
        Some(3),
        &[Part(0xfe80_0000, 0x10_0000, b"text", 0x1000), Part(0xfe90_0000, 0x20_0000, b"boot....", 0x1000)],
    );
    let image = load_plain(&kernel).unwrap();
    assert_eq!(image.state.entry, 0x20_0004);
    assert_eq!(&memory(&image)[0x20_0000..0x20_0004], b"boot");
    let physical = elf(0x10_0000, Some(3), &[Part(0xfe80_0000, 0x10_0000, b"text", 0x1000)]);
    assert_eq!(load_plain(&physical).unwrap().state.entry, 0x10_0000);
    let nowhere = elf(0x5000, Some(3), &[Part(0xfe80_0000, 0x10_0000, b"text", 0x1000)]);
    assert!(refused(&nowhere).contains("entry point 0x5000"));
}

#[test]
fn files_that_are_no_kernel_are_refused_with_the_reason() {
    assert!(refused(b"").contains("not an ELF"));
    assert!(refused(b"#!/bin/sh\n").contains("not an ELF"));
    let mut file = plain();
    file[4] = 2;
    assert!(refused(&file).contains("64-bit"));
    let mut file = plain();
    file[5] = 2;
    assert!(refused(&file).contains("big-endian"));
    let mut file = plain();
    file[18] = 40;
    assert!(refused(&file).contains("machine 40"));
    let mut file = plain();
    file[16] = 1;
    assert!(refused(&file).contains("type 1"));
    assert!(
        refused(&elf(0x10_0000, None, &[Part(0x10_0000, 0x10_0000, b"x", 1)]))
            .contains("no Multiboot header")
    );
    assert!(refused(&elf(0, Some(3), &[])).contains("no loadable segment"));
}

#[test]
fn the_header_must_be_right_and_near() {
    let mut file = plain();
    let at = file.windows(4).position(|w| w == 0x1bad_b002_u32.to_le_bytes()).unwrap();
    file[at + 8] ^= 1;
    assert!(refused(&file).contains("checksum"));
    let mut far = vec![0; 8192 - 84 - 8];
    far.extend(multiboot_words(3));
    let file = elf(0x10_0000, None, &[Part(0x10_0000, 0x10_0000, &far, 0x4000)]);
    assert!(refused(&file).contains("first 8 KiB"), "it ends beyond");
    let file = elf(0x10_0000, Some(7), &[Part(0x10_0000, 0x10_0000, b"x", 0x1000)]);
    assert!(refused(&file).contains("0x0004"), "a video mode is required");
}

#[test]
fn segments_must_lie_in_ram() {
    for (at, size) in
        [(0xff_f000, 0x1001), (0x2000_0000, 1), (0x9_fc00, 1), (0xf_f000, 0x2000), (0xffff_f000, 0x2000)]
    {
        let kernel = elf(at, Some(3), &[Part(at, at, b"", size.max(12))]);
        let message = refused(&kernel);
        assert!(message.contains(&format!("{at:#x}..")), "{message}");
        assert!(message.contains("0x100000..0x1000000"), "names the RAM: {message}");
    }
    assert!(load_plain(&elf(0x9_0000, Some(3), &[Part(0x9_0000, 0x9_0000, b"", 0xf000)])).is_ok());
}

#[test]
fn broken_segments_are_refused() {
    let mut file = plain();
    file[52 + 4..52 + 8].copy_from_slice(&0xffff_0000_u32.to_le_bytes());
    assert!(refused(&file).contains("segment 0"));
    let kernel = elf(0x10_0000, Some(3), &[Part(0x10_0000, 0x10_0000, b"more", 8)]);
    assert!(refused(&kernel).contains("more bytes in the file"));
}

#[test]
fn segments_that_overlap_are_refused() {
    let parts = [Part(0x10_0000, 0x10_0000, b"code", 0x2000), Part(0x20_0000, 0x10_1fff, b"more", 4)];
    let message = refused(&elf(0x10_000c, Some(3), &parts));
    assert!(message.contains("0x100000..0x102000 and 0x101fff..0x102003 overlap"), "{message}");
    let parts = [Part(0x10_0000, 0x10_0000, b"code", 0x2000), Part(0x20_0000, 0x10_2000, b"more", 4)];
    load_plain(&elf(0x10_000c, Some(3), &parts)).unwrap();
}

#[test]
fn a_header_with_addresses_loads_any_file() {
    let mut file = b"flat binary ".to_vec();
    file.extend(multiboot_words(1 << 16 | 3));
    for address in [0x10_000c_u32, 0x10_0000, 0, 0x10_1000, 0x10_0024] {
        file.extend(address.to_le_bytes());
    }
    file.extend(b"tail");
    let image = load_plain(&file).unwrap();
    assert_eq!(image.state.entry, 0x10_0024);
    assert_eq!(&memory(&image)[0x10_0000..0x10_0000 + file.len()], file);
    let put = |file: &[u8], index: usize, value: u32| {
        let mut changed = file.to_vec();
        changed[24 + 4 * index..28 + 4 * index].copy_from_slice(&value.to_le_bytes());
        refused(&changed)
    };
    assert!(put(&file, 1, 0x10_000d).contains("beyond the header's own"));
    assert!(put(&file, 1, 0xf_0000).contains("before the header"));
    assert!(put(&file, 2, 0x20_0000).contains("end of the file"));
    assert!(put(&file, 2, 0x1000).contains("before the load address"));
    assert!(put(&file, 3, 0x10_0001).contains("bss end"));
    assert!(put(&file, 4, 0x20_0000).contains("entry point"));
    assert!(put(&file, 3, 0x2000_0000).contains("outside RAM"));
}

#[test]
fn modules_and_strings_that_do_not_fit_are_named() {
    let kernel = plain();
    let big = [Module { string: "big".into(), bytes: vec![0; 15 << 20] }];
    let e = load(&request(&kernel, &big)).unwrap_err().to_string();
    assert!(e.contains("'big'") && e.contains("0x1000000"), "{e}");
    let long = "x".repeat(0x9_f000);
    let e = load(&BootRequest { arguments: &long, ..request(&kernel, &[]) }).unwrap_err().to_string();
    assert!(e.contains("no room"), "{e}");
    let e = load(&BootRequest { arguments: "a\0b", ..request(&kernel, &[]) }).unwrap_err().to_string();
    assert!(e.contains("zero byte"), "{e}");
}

#[test]
fn the_information_keeps_out_of_the_kernel() {
    let kernel = elf(0x8000, Some(3), &[Part(0x8000, 0x8000, b"low", 0x2345)]);
    assert_eq!(load_plain(&kernel).unwrap().state.ebx, 0xb000);
}

#[test]
fn an_error_is_one_line_whatever_the_names_are() {
    let large = [Module { string: "a\nb\u{1b}[2J é 'c'".into(), bytes: vec![0; 32 << 20] }];
    let e = load(&request(&plain(), &large)).unwrap_err().to_string();
    assert!(e.starts_with("module 'a\\nb\\u{1b}[2J é 'c'': its 33554432 bytes"), "{e}");
    let e = load(&BootRequest { kernel_name: "x\ry", ..request(b"rubbish", &[]) }).unwrap_err().to_string();
    assert!(e.starts_with("x\\ry: "), "{e}");
}

#[test]
fn memory_that_refuses_is_reported() {
    let image = load_plain(&plain()).unwrap();
    let e = image.write(|at, _| at < 0x10_0000).unwrap_err();
    assert_eq!(e, LoadError::Refused { start: 0x10_0000, end: 0x10_0010 });
}

proptest::proptest! {
    /// Damage to any byte gives an image or an error, never a panic.
    #[test]
    fn damaged_files_never_panic(at in 0_usize..120, value in proptest::prelude::any::<u8>(), cut in 0_usize..120) {
        let mut file = plain();
        if let Some(byte) = file.get_mut(at) {
            *byte = value;
        }
        let _ = load_plain(&file);
        file.truncate(cut);
        let _ = load_plain(&file);
    }
}
