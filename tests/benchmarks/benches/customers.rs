//! Writes generated customers to a SQLite file, for `cargo xtask bench lifecycle`. It measures
//! nothing. The first two arguments are the file and the number of rows.

use std::path::PathBuf;

use stagewright_benchmarks::{Result, tables};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [path, rows] = &arguments[..] else {
        return Err("customers FILE ROWS: run `cargo xtask bench lifecycle`".into());
    };
    let path = PathBuf::from(path);
    // A file that has its final name is complete.
    let unfinished = path.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_file(&unfinished)?;
    }
    tables::write_sqlite(&unfinished, rows.parse()?)?;
    Ok(std::fs::rename(&unfinished, &path)?)
}
