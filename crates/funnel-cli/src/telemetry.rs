//! Log lines on stderr.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{GlobalArgs, LogFormat};
use crate::env_vars;

/// How much a command says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chatter {
    /// Answers are all that matters: warnings only.
    Warnings,
    /// A service: what it does, too.
    Service,
}

/// Starts logging for the process; a second call changes nothing.
pub(crate) fn init(global: &GlobalArgs, chatter: Chatter) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(global, chatter))
        .with_writer(io::stderr)
        .with_ansi(env_vars::colour_allowed() && crate::output::stderr_is_terminal());
    // Only fails when a logger is there already, which then stays.
    drop(match global.log_format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().finish().try_init(),
    });
}

fn filter(global: &GlobalArgs, chatter: Chatter) -> EnvFilter {
    const OURS: [&str; 7] = [
        "funnel",
        "funnel_ingest",
        "funnel_lake",
        "funnel_query",
        "funnel_server",
        "funnel_engine",
        "funnel_events",
    ];
    let (ours, others) = match (global.quiet, global.verbose) {
        (true, _) => ("error", "error"),
        (false, 0) if chatter == Chatter::Service => ("info", "warn"),
        (false, 0) => ("warn", "error"),
        (false, 1) => ("debug", "info"),
        (false, _) => ("trace", "debug"),
    };
    let by_flags = || {
        let mut text = others.to_owned();
        for target in OURS {
            text.push_str(&format!(",{target}={ours}"));
        }
        EnvFilter::new(text)
    };
    if global.quiet || global.verbose > 0 {
        return by_flags();
    }
    env_vars::text(env_vars::LOG)
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(by_flags)
}
