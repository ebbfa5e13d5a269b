//! C7: CR3 loaded at each entry to the kernel and each return, the 4G/4G split of 2003
//! [B03], [M03].
//!
//! A process makes empty system calls and between them goes over some pages of data and as many of code,
//! the kernel over some of its own. With 4G/4G the two have an address space each, so no page can be global: both
//! variants run without global pages, and differ in the two CR3 loads and what they make
//! the TLBs fetch again.

use super::parts::each_page;
use super::{Check, CheckError, Effort, Table};
use crate::micro::*;
use crate::plot::{Plot, Scale, Series};
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use serde_json::json;
use shootdown_emu::{MachineConfig, Preset};

const PRESET: &str = "p4-xeon";
/// Published: microseconds for a system call and its return; half as much more or less is the band.
const PUBLISHED_US: f64 = 3.0;
const ROUNDS: u32 = 200;
/// Where in a page its code stands.
const CODE: u32 = 0x800;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x43;
/// Pages of data, and as many of code, that the process goes over between calls, and the kernel in a call.
const SETS: [(u32, u32); 6] = [(0, 0), (8, 4), (16, 8), (32, 16), (40, 20), (64, 32)];

/// Cycles of a system call with its share of the process's touches.
fn call(preset: &Preset, reload: bool, user: u32, kernel: u32) -> Result<f64, MicroError> {
    let mut m = Micro::new(MachineConfig { cpus: 1, ..MachineConfig::new(preset.clone()) })?;
    let switch = |a: &mut CodeAssembler| -> Result<(), IcedError> {
        if reload {
            a.mov(eax, cr3)?;
            a.mov(cr3, eax)?;
        }
        Ok(())
    };
    m.handler(CALL, &|a| {
        switch(a)?;
        touch(a, 1024, kernel)?;
        switch(a)?;
        a.iretd()
    })?;
    m.handler(EXIT, &finish)?;
    m.cpu(0, &|a| {
        a.xor(eax, eax)?;
        a.mov(cr4, eax)?;
        // The pages of code: a return in each.
        each_page(a, WINDOW_PAGES, &|a| a.mov(byte_ptr(ebx + CODE), 0xc3))?;
        enter_ring3(a)?;
        timed(a, 0, ROUNDS, &nothing, &|a| {
            a.int(i32::from(CALL))?;
            touch(a, 0, user)
        })?;
        timed(a, 1, ROUNDS, &nothing, &nothing)?;
        a.int(i32::from(EXIT))
    })?;
    Ok(m.run()?.mean(0, 1, ROUNDS))
}

/// Goes over `n` pages of the window from `first` on, as data and as code, each in lines of other cache sets.
fn touch(a: &mut CodeAssembler, first: u32, n: u32) -> Result<(), IcedError> {
    if n == 0 {
        return Ok(());
    }
    let mut next = a.create_label();
    a.mov(ebx, WINDOW + 4096 * first)?;
    a.set_label(&mut next)?;
    a.mov(ecx, dword_ptr(ebx))?;
    a.lea(edx, ptr(ebx + CODE))?;
    a.call(edx)?;
    a.add(ebx, 4096)?;
    a.cmp(ebx, (WINDOW + 4096 * (first + n)) as i32)?;
    a.jne(next)
}

/// The check.
pub fn check(_: Effort) -> Result<Check, CheckError> {
    let preset = Preset::load(PRESET)?;
    let us = 1.0 / f64::from(preset.clock_mhz);
    let mut table =
        Table::new(&["pages of the process", "of the kernel", "plain, us", "4G/4G, us", "difference, us"]);
    let mut ours = Vec::new();
    for (user, kernel) in SETS {
        let plain = call(&preset, false, user, kernel)? * us;
        let split = call(&preset, true, user, kernel)? * us;
        ours.push((f64::from(user + kernel), split - plain));
        table.row([
            user.to_string(),
            kernel.to_string(),
            format!("{plain:.2}"),
            format!("{split:.2}"),
            format!("{:.2}", split - plain),
        ]);
    }
    let (low, high) = (PUBLISHED_US * 0.5, PUBLISHED_US * 1.5);
    let direct = 2.0 * f64::from(preset.costs().cr3_load) * us;
    let bracket = preset.cost("cr3_load").and_then(|c| c.bracket).map_or(f64::NAN, |b| 2.0 * b.1 * us);
    let (most_pages, most) = ours.iter().copied().fold((0.0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
    let holds = (low..=high).contains(&most);
    let verdict = format!(
        "The rest is refill: at most {most:.2} us, with {most_pages} pages of data and as many of code in all, {}; with \
         fewer there is less to fetch again, with more the TLB does not hold them anyway. The high end of the bracket of \
         CR3 loads alone is {bracket:.2} us: most of the published 3 us must be refill of TLBs and caches, whatever was \
         said of it. No parameter was moved.",
        if holds { "in the band, at its low end" } else { "below the band" }
    );
    let sets: Vec<_> =
        SETS.iter().zip(&ours).map(|(s, o)| json!({ "user": s.0, "kernel": s.1, "us": o.1 })).collect();
    Ok(Check {
        check: "C7",
        title: "CR3 at each kernel entry",
        holds,
        published: json!({ "us_per_system_call": PUBLISHED_US }),
        ours: json!({ "direct_us": direct, "by_working_set": sets }),
        tolerance: "3 us more for a system call and its return, +/- 50 %",
        calibrated: "the working set, which was not published".into(),
        predicted: "the difference, over working sets",
        preset: PRESET,
        source: "[M03], [B03]: typical servers of 2003, +3 us on about 1 us",
        analysis: format!("The two CR3 loads alone take {direct:.2} us here. {verdict}"),
        table,
        plot: Some(Plot {
            title: "4G/4G: what a system call costs more".into(),
            x: "pages of process and kernel touched for each call".into(),
            y: "us".into(),
            origin: None,
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series: vec![
                Series::ours("ours", ours),
                Series::published("published", vec![(0.0, PUBLISHED_US), (f64::from(96), PUBLISHED_US)]),
            ],
        }),
    })
}
