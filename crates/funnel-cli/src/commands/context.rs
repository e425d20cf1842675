//! What commands share: settings, the lake, a session over it, and how library errors end.

use std::collections::BTreeMap;
use std::path::Path;

use chrono_tz::Tz;
use funnel_lake::{Lake, LakeError};
use funnel_query::funnel::Funnels;
use funnel_query::{QueryError, QueryOptions, QuerySession};

use crate::args::GlobalArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::progress::Progress;
use crate::settings::{Overrides, Settings};

/// The surroundings of one command.
#[derive(Debug)]
pub(super) struct Context {
    global: GlobalArgs,
    overrides: Overrides,
}

impl Context {
    pub(super) fn new(global: GlobalArgs, overrides: Overrides) -> Self {
        Self { global, overrides }
    }

    /// The configuration in effect. Read late: a command that needs none must not fail on one.
    pub(super) fn settings(&self) -> Result<Settings> {
        Settings::load(&self.overrides)
    }

    /// The same with values of the command's own flags.
    pub(super) fn settings_with(&self, more: Overrides) -> Result<Settings> {
        let mut overrides = self.overrides.clone();
        overrides.values.extend(more.values);
        Settings::load(&overrides)
    }

    pub(super) fn progress(&self) -> Progress {
        Progress::new(self.global.quiet)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.global.quiet
    }

    /// A session over the lake that is named.
    pub(super) async fn session(&self) -> Result<QuerySession> {
        let settings = self.settings()?;
        let lake = open_lake(&settings).await?;
        Ok(QuerySession::open(&lake, query_options(&settings)?).await?)
    }
}

/// Opens the lake that the settings name; there must be one.
pub(super) async fn open_lake(settings: &Settings) -> Result<Lake> {
    let url = settings.lake()?;
    let opened = Lake::open_with(url, &settings.storage()?).await;
    opened.map_err(|error| {
        let missing = error.kind() == funnel_lake::ErrorKind::NotFound;
        let error = CliError::from(error);
        if missing {
            error.hint("`funnel demo` makes a small lake to look at, `funnel ingest` a real one")
        } else {
            error
        }
    })
}

/// What a session needs to know beside its tables.
pub(super) fn query_options(settings: &Settings) -> Result<QueryOptions> {
    let memory_limit = settings
        .size("query.memory")
        .and_then(|bytes| usize::try_from(bytes).ok());
    let funnels = settings.text("query.funnels").map(Path::new);
    let funnels = funnels.map(Funnels::with_directory);
    Ok(QueryOptions {
        accounts: time_zones(settings)?,
        memory_limit,
        funnels: funnels
            .transpose()
            .map_err(|error| CliError::from(QueryError::from(error)).of_configuration())?
            .unwrap_or_default(),
        storage: settings.storage()?,
        ..QueryOptions::default()
    })
}

fn time_zones(settings: &Settings) -> Result<BTreeMap<String, Tz>> {
    settings
        .time_zones()
        .into_iter()
        .map(|(account, zone)| match zone.parse() {
            Ok(zone) => Ok((account, zone)),
            Err(error) => Err(CliError::config(format!(
                "could not read the time zone of account `{account}`"
            ))
            .because(error)),
        })
        .collect()
}

impl From<LakeError> for CliError {
    fn from(error: LakeError) -> Self {
        use funnel_lake::ErrorKind;
        let exit = match error.kind() {
            ErrorKind::Conflict | ErrorKind::Unavailable => Exit::Unavailable,
            ErrorKind::Config => Exit::Usage,
            ErrorKind::Storage => Exit::Config,
            ErrorKind::NotFound | ErrorKind::TooNew => Exit::Failed,
            // Corrupt, rewritten by others, our mistake: a person has to look.
            _ => Exit::Failed,
        };
        wrap(exit, error)
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> Self {
        use funnel_query::ErrorKind;
        let exit = match error.kind() {
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Config => Exit::Config,
            ErrorKind::Incomplete => Exit::Gate,
            ErrorKind::Unavailable => Exit::Unavailable,
            // The query or the data is wrong, or we are.
            _ => Exit::Failed,
        };
        wrap(exit, error)
    }
}

/// Takes over message and causes of a library's error.
pub(super) fn wrap(exit: Exit, error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::new(exit, error.to_string()).because(error)
}
