//! The checks against published measurements, at small size: those that hold go on holding, and a machine that is
//! not the published one is told from it.

use shootdown_workloads::validation::{Check, Effort, figure_name, markdown, run, text};

fn held(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|c| c.holds).map(|c| c.check).collect()
}

#[test]
fn the_checks_hold_and_say_the_same_again() {
    let checks = run(Effort::Quick).unwrap();
    for name in ["C1", "C2", "C3", "C4", "C5", "C6", "C7"] {
        assert!(held(&checks).contains(&name), "{name}:\n{}", text(&checks));
    }
    let again = run(Effort::Quick).unwrap();
    assert_eq!(text(&checks), text(&again));
    let document = markdown(&checks);
    assert_eq!(document, markdown(&again));
    for c in &checks {
        assert!(document.contains(&format!("## {}: ", c.check)));
        if let Some(plot) = &c.plot {
            assert!(document.contains(&figure_name(c)) && plot.svg().starts_with("<svg"));
        }
    }
}
