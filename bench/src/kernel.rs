//! The kernels over columns in memory, on one core.

use std::hint::black_box;
use std::io::{Write, stdout};
use std::process::Command;
use std::time::Instant;

use funnel_datagen::clickstream::{self, Event, Shape, WINDOW};
use funnel_match::{Matcher, Row, Runs, Spec};

use crate::{AnyError, Arguments};

const PER_VISITOR: usize = 20;

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), AnyError> {
    let events = usize::try_from(arguments.number("--events", 20_000_000)?)?;
    let repeats = usize::try_from(arguments.number("--repeats", 9)?)?.max(1);
    arguments.end()?;
    let mut out = stdout().lock();
    writeln!(out, "{}, commit {}", machine(), commit())?;
    writeln!(
        out,
        "{events} events, {PER_VISITOR} per visitor, window {WINDOW} s; {repeats} runs"
    )?;
    writeln!(
        out,
        "| kernel | steps | ties | million events/s/core, median | least | most |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for ties in [false, true] {
        let shape = Shape {
            events,
            visitors: events / PER_VISITOR,
            ties,
            days: 30,
        };
        let made = clickstream::events(shape, 7);
        let columns = Columns::new(&made);
        for (mode, steps) in [
            ("ordered", 3),
            ("ordered", 6),
            ("ordered", 12),
            ("ch:default", 3),
        ] {
            let spec = Spec::new(mode.parse()?, steps, Some(WINDOW))?;
            let mut kernel = Runs::new(&spec).ok_or("the mode has no kernel")?;
            columns.check(&spec, &mut kernel)?;
            let mut levels = Vec::new();
            let whole = speeds(events, repeats, || {
                levels.clear();
                kernel.levels(
                    &columns.times,
                    &columns.masks,
                    &columns.offsets,
                    &mut levels,
                );
                black_box(&levels);
            });
            let pieces = speeds(events, repeats, || columns.general(&mut kernel));
            for (name, speeds) in [("", whole), (" (general path)", pieces)] {
                let ties = if ties { "1 in 16" } else { "none" };
                let (least, median, most) = speeds;
                writeln!(
                    out,
                    "| {mode}{name} | {steps} | {ties} | {median:.0} | {least:.0} | {most:.0} |"
                )?;
            }
        }
    }
    Ok(())
}

struct Columns {
    times: Vec<i64>,
    masks: Vec<u16>,
    offsets: Vec<usize>,
}

impl Columns {
    fn new(events: &[Event]) -> Self {
        let runs = events.chunk_by(|one, other| one.visitor == other.visitor);
        let mut offsets = vec![0];
        let mut end = 0;
        offsets.extend(runs.map(|run| {
            end += run.len();
            end
        }));
        Self {
            times: events.iter().map(|event| event.ts).collect(),
            // Code 0 has no bit.
            masks: events
                .iter()
                .map(|event| ((1_u32 << event.code) >> 1) as u16)
                .collect(),
            offsets,
        }
    }

    fn runs(&self) -> impl Iterator<Item = (&[i64], &[u16])> {
        self.offsets.windows(2).filter_map(|run| {
            let &[from, to] = run else { return None };
            Some((self.times.get(from..to)?, self.masks.get(from..to)?))
        })
    }

    /// The answers of the kernel are those of the matcher.
    fn check(&self, spec: &Spec, kernel: &mut Runs) -> Result<(), AnyError> {
        let mut levels = Vec::new();
        kernel.levels(&self.times, &self.masks, &self.offsets, &mut levels);
        let mut matcher = Matcher::new(spec.clone());
        let mut rows = Vec::new();
        for ((times, masks), level) in self.runs().zip(levels) {
            rows.clear();
            let row = |(time, mask): (&i64, &u16)| Row {
                time: *time,
                mask: u64::from(*mask),
            };
            rows.extend(times.iter().zip(masks).map(row));
            let expected = matcher.level(&rows);
            if expected != usize::from(level) {
                return Err(format!("level {level} instead of {expected} for {rows:?}").into());
            }
        }
        Ok(())
    }

    fn general(&self, kernel: &mut Runs) {
        for (times, masks) in self.runs() {
            kernel.begin();
            kernel.feed(times, masks);
            black_box(kernel.end());
        }
    }
}

/// Million events per second: least, median and most.
fn speeds(events: usize, repeats: usize, mut work: impl FnMut()) -> (f64, f64, f64) {
    work(); // Memory and caches are warm.
    let mut speeds: Vec<f64> = (0..repeats)
        .map(|_| {
            let begin = Clock::now();
            work();
            events as f64 / begin.seconds() / 1e6
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    let at = |index: usize| speeds.get(index).copied().unwrap_or_default();
    (at(0), at(repeats / 2), at(repeats - 1))
}

/// Time that this thread has had a core, so that other programs on the machine do not count; where
/// the system does not say it, time that has passed.
struct Clock {
    passed: Instant,
    on_core_ns: Option<u64>,
}

impl Clock {
    fn now() -> Self {
        let (passed, on_core_ns) = (Instant::now(), on_core_ns());
        Self { passed, on_core_ns }
    }

    fn seconds(&self) -> f64 {
        match (self.on_core_ns, on_core_ns()) {
            (Some(begin), Some(end)) => end.saturating_sub(begin) as f64 / 1e9,
            _ => self.passed.elapsed().as_secs_f64(),
        }
    }
}

fn on_core_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores",
        model.map_or("unknown processor", |(_, model)| model)
    )
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}
