//! Every environment variable the program reads, and nothing else reads the environment.

use std::path::PathBuf;

/// The lake: a directory or an object store URL. The flag `--lake` has precedence.
pub(crate) const LAKE: &str = "FUNNEL_LAKE";
/// The configuration file. The flag `--config` has precedence.
pub(crate) const CONFIG: &str = "FUNNEL_CONFIG";
/// Prefix of the variables that stand for one key of the configuration file:
/// `FUNNEL__KAFKA__BROKERS` is `brokers` in the section `[kafka]`.
pub(crate) const KEY_PREFIX: &str = "FUNNEL__";
/// Filter of the log lines, such as `info,funnel_ingest=debug`. The flags `-v` and `-q` have precedence.
pub(crate) const LOG: &str = "FUNNEL_LOG";
/// When set and not empty, no colour is written (<https://no-color.org>).
pub(crate) const NO_COLOR: &str = "NO_COLOR";

/// Prefix of the variables that say how to reach an object store, as AWS's own tools read them.
const OBJECT_STORE_PREFIX: &str = "AWS_";

const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
const HOME: &str = "HOME";

/// The value of a variable; an empty one counts as not set.
pub(crate) fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether colour may be written as far as the environment is concerned.
pub(crate) fn colour_allowed() -> bool {
    text(NO_COLOR).is_none()
}

fn all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What the environment says of the object store: name in small letters and value.
pub(crate) fn object_store() -> Vec<(String, String)> {
    let ours =
        all().filter(|(name, value)| name.starts_with(OBJECT_STORE_PREFIX) && !value.is_empty());
    ours.map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

/// Variables that stand for one key of the configuration: (`kafka.brokers`, variable, value).
pub(crate) fn configuration_keys() -> Vec<(String, String, String)> {
    let mut found: Vec<_> = all()
        .filter_map(|(name, value)| {
            let rest = name.strip_prefix(KEY_PREFIX)?;
            let key = rest
                .split("__")
                .map(str::to_ascii_lowercase)
                .collect::<Vec<_>>()
                .join(".");
            Some((key, name.clone(), value))
        })
        .collect();
    found.sort();
    found
}

/// `$XDG_CONFIG_HOME/funnel`, by default `~/.config/funnel`.
pub(crate) fn user_config_dir() -> Option<PathBuf> {
    user_dir(XDG_CONFIG_HOME, ".config")
}

/// `$XDG_DATA_HOME/funnel`, by default `~/.local/share/funnel`.
pub(crate) fn user_data_dir() -> Option<PathBuf> {
    user_dir(XDG_DATA_HOME, ".local/share")
}

fn user_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let base = match text(variable) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(text(HOME)?).join(below_home),
    };
    Some(base.join("funnel"))
}
