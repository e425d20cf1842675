//! Speed of the funnel kernels, and of funnels in SQL beside other engines. Answers are compared
//! before anything is timed.

mod data;
mod kernel;
mod peers;

use std::error::Error;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

const USAGE: &str = "\
funnel-bench kernel [--events N] [--repeats N]
    Million events per second and core of the kernels over columns in memory.
funnel-bench data --out PATH [--events N] [--visitors N] [--key text|int] [--shuffled] [--seed N]
                  [--days N] [--files N]
    Events as Parquet: visitor, ts (seconds), code (1 to 12: a step; 0: none). Sorted by visitor and
    ts, and declared so, unless --shuffled. With --files the path is a folder of as many files, each
    of a part of the time.
funnel-bench peers --funnel BINARY --layout NAME=PATH… [--python PYTHON] [--steps 3,6,12]
                   [--repeats N] [--without ENGINE,…]
    Funnels over these files with our binary, ClickHouse (chdb) and DuckDB; needs a Python with
    both packages. A layout whose name begins with `sorted` is also read in order by ClickHouse.
funnel-bench once --funnel BINARY [--python PYTHON]
    `ch:strict_once` over one visitor with 100 to 100,000 rows, beside ClickHouse.
funnel-bench flat --funnel BINARY --layout EVENTS=PATH… [--python PYTHON] [--repeats N]
    Time per event, over files of different size.
funnel-bench serve --funnel BINARY --lake DIR [--month FROM,TO,FUNNEL] [--python PYTHON]
                   [--repeats N] [--clients N]
    A funnel over the events of a lake through `funnel serve`, one client and several, beside
    ClickHouse over the same files; and a published month.
";

type AnyError = Box<dyn Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if this cannot be written.
            let _ = writeln!(stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), AnyError> {
    let mut words = std::env::args().skip(1);
    let command = words.next();
    let mut arguments = Arguments(words.collect());
    match command.as_deref() {
        Some("kernel") => kernel::run(&mut arguments),
        Some("data") => data::run(&mut arguments),
        Some(command @ ("peers" | "once" | "flat")) => peers::run(command, arguments),
        Some("serve") => peers::serve(arguments),
        _ => Ok(write!(stdout(), "{USAGE}")?),
    }
}

/// What was written behind the command and not taken yet.
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|word| word == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, AnyError> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        if at + 1 == self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    fn number(&mut self, name: &str, default: u64) -> Result<u64, AnyError> {
        let Some(text) = self.text(name)? else {
            return Ok(default);
        };
        let number = text.replace('_', "").parse();
        number.map_err(|_| format!("{name} needs a whole number, found '{text}'").into())
    }

    fn end(&self) -> Result<(), AnyError> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(format!("'{word}' is not known here\n\n{USAGE}").into()),
        }
    }
}
