//! Checks of the house that a compiler does not make: `cargo run -p xtask -- tidy`, and the same as
//! tests.

use std::io::Write;
use std::process::ExitCode;

mod house;
mod rust;
mod tidy;

use house::House;

const USAGE: &str = "usage: cargo run -p xtask -- tidy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        report(USAGE);
        return ExitCode::from(2);
    }
    let problems = match House::of_this_repository() {
        Ok(house) => tidy::problems(&house),
        Err(error) => {
            report(&format!("could not read the repository: {error}"));
            return ExitCode::FAILURE;
        }
    };
    for problem in &problems {
        report(&problem.to_string());
    }
    match problems.len() {
        0 => ExitCode::SUCCESS,
        count => {
            report(&format!("{count} untidy"));
            ExitCode::FAILURE
        }
    }
}

/// A line for people. Where nobody can read it, the exit code says enough.
fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
