//! The JSON Schemas of `docs/schemas/`, made from the types, so that they cannot be about something else.
//!
//! `SHOOTDOWN_WRITE_SCHEMAS=1 cargo test -p shootdown-workloads schemas` writes them.

use crate::experiment::Answer;
use crate::explore::Exploration;
use crate::report::Report;
use crate::sweep::store::Finished;
use std::path::Path;

fn schema<T: schemars::JsonSchema>() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(T)).unwrap() + "\n"
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    for (name, text) in [
        ("report.schema.json", schema::<Report>()),
        ("cell.schema.json", schema::<Finished>()),
        ("experiment.schema.json", schema::<Answer>()),
        ("explore.schema.json", schema::<Exploration>()),
    ] {
        let path = dir.join(name);
        if std::env::var_os("SHOOTDOWN_WRITE_SCHEMAS").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "{name} is out of date: SHOOTDOWN_WRITE_SCHEMAS=1 cargo test -p shootdown-workloads schemas"
        );
    }
}
