//! The checks against published measurements, at small size: those that hold go on holding. (At full size the gate writes
//! `docs/VALIDATION.md` again and compares the bytes.)

use shootdown_workloads::validation::{Check, Effort, figure_name, markdown, run, text};

fn held(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|c| c.holds).map(|c| c.check).collect()
}

#[test]
fn the_checks_hold() {
    let checks = run(Effort::Quick).unwrap();
    for name in ["C1", "C2", "C3", "C4", "C5", "C6", "C7"] {
        assert!(held(&checks).contains(&name), "{name}:\n{}", text(&checks));
    }
    let document = markdown(&checks);
    for c in &checks {
        assert!(document.contains(&format!("## {}: ", c.check)));
        if let Some(plot) = &c.plot {
            assert!(document.contains(&figure_name(c)) && plot.svg().starts_with("<svg"));
        }
    }
}
