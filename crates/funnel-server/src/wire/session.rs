//! What one connection knows: who it is, its settings, its transaction, the state of the lake that it sees.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use datafusion::config::Dialect;
use datafusion::error::DataFusionError;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;
use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::cancel::Slot;
use super::catalog::{Database, SCHEMA};
use super::errors::Failure;
use super::functions;
use super::operators::Operators;
use super::run::{Ends, Running};
use super::settings::Settings;
use crate::access::Caller;
use crate::snapshots::Snapshot;

/// Cursors and unfinished portals that one connection may have.
const OPEN_MAX: usize = 64;

/// One connection.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    who: OnceLock<Who>,
    let_in: CancellationToken,
    settings: Arc<Mutex<Settings>>,
    transaction: Mutex<Option<Transaction>>,
    context: Mutex<Option<Context>>,
    slot: Slot,
    /// Queries that were begun and are not read to their end, by the name of their portal or cursor.
    pub(super) open: tokio::sync::Mutex<HashMap<String, Running>>,
    /// Cursors that outlive their transaction.
    held: Mutex<BTreeSet<String>>,
    /// Names of statements that are prepared.
    statements: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct Who {
    caller: Caller,
    user: String,
    database: Database,
}

/// What a transaction goes back to.
#[derive(Debug)]
struct Transaction {
    before: Settings,
    /// The settings without those that are set to its end only.
    lasting: Settings,
    /// What it sees of the lake, from its first statement on.
    snapshot: Option<Snapshot>,
}

/// A session of SQL and what it was made of.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) ctx: SessionContext,
    taken: DateTime<Utc>,
    version: i64,
    settings: Settings,
}

impl Context {
    /// Do both see the same?
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.version == other.version
            && self.settings == other.settings
            && self.ctx.session_id() == other.ctx.session_id()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            slot: shared.running.slot(),
            shared,
            who: OnceLock::new(),
            let_in: CancellationToken::new(),
            settings: Arc::default(),
            transaction: Mutex::default(),
            context: Mutex::default(),
            open: tokio::sync::Mutex::default(),
            held: Mutex::default(),
            statements: Mutex::default(),
        }
    }

    /// Somebody was let in, and said this.
    pub(super) fn begin<'a>(
        &self,
        caller: Caller,
        user: String,
        database: String,
        given: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Failure> {
        self.settings().start(given)?;
        let database = Database::new(database, user.clone(), Arc::clone(&self.settings))?;
        let who = Who {
            caller,
            user,
            database,
        };
        self.who.set(who).map_err(|_| Failure::internal())
    }

    pub(super) fn can_be_cancelled(&self, pid: i32, key: &SecretKey) {
        self.slot.register(pid, key);
    }

    pub(super) fn is_let_in(&self) {
        self.let_in.cancel();
    }

    pub(super) async fn let_in(&self) {
        self.let_in.cancelled().await;
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        locked(&self.settings)
    }

    fn who(&self) -> Result<&Who, Failure> {
        self.who.get().ok_or_else(Failure::internal)
    }

    /// The next statement: from now on a cancel request means this one.
    pub(super) fn next_statement(&self) -> Ends {
        let most = self.shared.app.runner.time();
        let time = self.settings().statement_timeout().unwrap_or(most);
        Ends::new(self.slot.next(), time.min(most))
    }

    /// As [`next_statement`](Self::next_statement), for one that goes on reading.
    pub(super) fn next_cancel(&self) -> CancellationToken {
        self.slot.next()
    }

    /// The session for a statement: over the newest state of the lake, or over that of the transaction.
    pub(super) async fn context(&self) -> Result<Context, Failure> {
        let who = self.who()?;
        let pinned = locked(&self.transaction)
            .as_ref()
            .and_then(|transaction| transaction.snapshot.clone());
        let snapshot = match pinned {
            Some(snapshot) => snapshot,
            None => {
                let snapshot = self.shared.app.snapshots.get(&who.caller.sight).await?;
                if let Some(transaction) = locked(&self.transaction).as_mut() {
                    transaction.snapshot = Some(snapshot.clone());
                }
                snapshot
            }
        };
        let settings = self.settings().clone();
        let taken = snapshot.session.as_of();
        let known = locked(&self.context).clone();
        if let Some(known) = known
            && known.version == snapshot.version
            && known.taken == taken
            && known.settings == settings
        {
            return Ok(known);
        }
        let ctx = self.made(who, &snapshot, &settings)?;
        let context = Context {
            ctx,
            taken,
            version: snapshot.version,
            settings,
        };
        *locked(&self.context) = Some(context.clone());
        Ok(context)
    }

    /// A session of its own over the tables of the snapshot: what is set in it touches nobody else.
    fn made(
        &self,
        who: &Who,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<SessionContext, DataFusionError> {
        let state = snapshot.session.ctx().state();
        let mut config = state
            .config()
            .clone()
            .with_default_catalog_and_schema(who.database.name(), SCHEMA)
            // The database has its own.
            .with_information_schema(false);
        let options = config.options_mut();
        options.catalog.create_default_catalog_and_schema = false;
        options.execution.time_zone = Some(settings.time_zone().to_owned());
        options.sql_parser.dialect = Dialect::PostgreSQL;
        let mut state = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_catalog_list(who.database.over(&snapshot.session)?)
            .with_type_planner(Arc::new(PgOidTypePlanner))
            .with_session_id(uuid::Uuid::now_v7().to_string())
            .build();
        state.register_expr_planner(Arc::new(Operators))?;
        let ctx = SessionContext::new_with_state(state);
        let known = functions::Known {
            database: who.database.name(),
            user: &who.user,
            pid: self.slot.pid(),
            settings: &self.settings,
            views: who.database.views(),
        };
        functions::register(&ctx, &known);
        Ok(ctx)
    }

    pub(super) fn begin_transaction(&self) {
        let settings = self.settings().clone();
        locked(&self.transaction).get_or_insert(Transaction {
            before: settings.clone(),
            lasting: settings,
            snapshot: None,
        });
    }

    /// Ends the transaction, if there is one, with the cursors that do not outlive it.
    pub(super) async fn end_transaction(&self, commits: bool) {
        let Some(transaction) = locked(&self.transaction).take() else {
            return;
        };
        *self.settings() = if commits {
            transaction.lasting
        } else {
            transaction.before
        };
        self.close_portals().await;
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        locked(&self.transaction).is_some()
    }

    /// Changes settings: to the end of the transaction, or for good.
    pub(super) fn set(
        &self,
        local: bool,
        change: impl Fn(&mut Settings) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        change(&mut self.settings())?;
        if !local && let Some(transaction) = locked(&self.transaction).as_mut() {
            change(&mut transaction.lasting)?;
        }
        Ok(())
    }

    /// Keeps what a query has left, to be read later.
    pub(super) async fn keep(
        &self,
        name: &str,
        running: Running,
        hold: bool,
    ) -> Result<(), Failure> {
        let mut open = self.open.lock().await;
        if open.len() >= OPEN_MAX && !open.contains_key(name) {
            return Err(Failure::new(
                "53400",
                format!("a connection has {OPEN_MAX} cursors at most; close some"),
            ));
        }
        open.insert(name.to_owned(), running);
        if hold {
            locked(&self.held).insert(name.to_owned());
        }
        Ok(())
    }

    /// Portals end with their transaction; cursors that are held do not.
    pub(super) async fn close_portals(&self) {
        let held = locked(&self.held).clone();
        self.open.lock().await.retain(|name, _| held.contains(name));
    }

    /// One statement more is prepared.
    pub(super) fn count_statement(&self, name: &str, limit: usize) -> Result<(), Failure> {
        let mut statements = locked(&self.statements);
        if statements.len() >= limit && !statements.contains(name) {
            return Err(Failure::new(
                "53400",
                format!("a connection has {limit} prepared statements at most; close some"),
            ));
        }
        statements.insert(name.to_owned());
        Ok(())
    }

    pub(super) fn forget_statement(&self, name: &str) {
        locked(&self.statements).remove(name);
    }

    /// Closes a cursor or portal, or all of them.
    pub(super) async fn close(&self, name: Option<&str>) {
        let mut open = self.open.lock().await;
        match name {
            Some(name) => {
                open.remove(name);
                locked(&self.held).remove(name);
            }
            None => {
                open.clear();
                locked(&self.held).clear();
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
