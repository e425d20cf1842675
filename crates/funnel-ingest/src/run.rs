//! Puts the parts together: source thread, core thread, committer, maintenance, HTTP.
//!
//! ```text
//! source thread ──records, rebalances──▶ inbox ──▶ core thread ──jobs──▶ committer (async)
//!       ▲                                  ▲            │                    │
//!       └───────────── commands ───────────┼────────────┘                    │
//!                                          └──────── outcomes ───────────────┘
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::{Duration, Instant};

use funnel_events::Decoder;
use funnel_lake::Lake;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::{Options, Progress, Summary};
use crate::clock::SystemClock;
use crate::committer::{Committer, Job, RETRY_FIRST};
use crate::config::{HttpConfig, IngestConfig};
use crate::core::{Core, CoreConfig};
use crate::error::{IngestError, Result};
use crate::health::Health;
use crate::http::Server;
use crate::inbox::Inbox;
use crate::maintenance::Maintenance;
use crate::message::{self, Effect};
use crate::metrics::Metrics;
use crate::source::files::FileSource;
use crate::source::kafka::KafkaSource;
use crate::source::{Budget, Command, Port, Source};
use crate::store::LakeStore;

/// Bytes of records that wait for the core: a few batches, so that decoding never starves.
const INBOX_BYTES: usize = 16 << 20;
/// Jobs that wait for the committer; one commit and one question per partition at most.
const JOBS_MAX: usize = 1024;
const TICK: Duration = Duration::from_millis(100);
/// With an end in sight, storage that fails for this long is a failure.
const STORAGE_PATIENCE: Duration = Duration::from_secs(60);
/// With an end in sight, Kafka that does not tell what there is for this long is a failure.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a shutdown may take. What is not committed by then is read again by the next run.
const SHUTDOWN_MAX: Duration = Duration::from_secs(60);

/// Where the records come from.
pub(crate) enum Input {
    Kafka,
    Files(Vec<PathBuf>),
}

/// Everything that can be refused before the first record is read.
pub(crate) struct Prepared {
    core: Core,
    source: Box<dyn Source>,
    committer: Committer,
    checkpoint_every: u64,
    rejects_retention: Duration,
    server: Option<Server>,
    memory: u64,
    shutdown: CancellationToken,
    abort: CancellationToken,
    progress: watch::Sender<Progress>,
}

impl Prepared {
    pub(crate) async fn new(
        config: IngestConfig,
        lake: Lake,
        options: Options,
        input: Input,
        shutdown: CancellationToken,
        abort: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Self> {
        let health = Arc::new(Health::default());
        let metrics = Arc::new(Metrics::new(config.memory));
        let server = bind(config.http, &health, &metrics).await?;
        let until_end = options.until_end;
        let source: Box<dyn Source> = match input {
            Input::Files(paths) => Box::new(FileSource::new(&paths)?),
            Input::Kafka => Box::new(KafkaSource {
                config: config.kafka.clone(),
                start_from: config.start_from.clone(),
                memory: config.memory,
                until_end,
                first_answer_max: options.first_answer_max.unwrap_or(FIRST_ANSWER_MAX),
            }),
        };
        let decoder = Decoder::new(config.decoder());
        let committer = Committer {
            store: Arc::new(LakeStore::new(lake)),
            job: config.job.clone(),
            window: config.dedup.max_ids,
            retry_first: RETRY_FIRST,
            patience: until_end.then_some(STORAGE_PATIENCE),
            abort: abort.clone(),
            health,
            metrics,
        };
        Ok(Self {
            core: Core::new(
                core_config(&config, options),
                decoder,
                Arc::new(SystemClock),
            ),
            source,
            committer,
            checkpoint_every: config.checkpoint_every,
            rejects_retention: config.rejects.retention,
            server,
            memory: config.memory,
            shutdown,
            abort,
            progress,
        })
    }

    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address)
    }

    pub(crate) fn spawn(self) -> JoinHandle<Result<Summary>> {
        // Owned by the handle, which aborts the run when it is dropped.
        tokio::spawn(self.run())
    }

    async fn run(self) -> Result<Summary> {
        let inbox = Arc::new(Inbox::new(INBOX_BYTES.min(self.memory as usize / 4)));
        let commands = Arc::new(Inbox::new(usize::MAX));
        let budget = Arc::new(Budget::new(self.memory));
        let health = Arc::clone(&self.committer.health);
        let metrics = Arc::clone(&self.committer.metrics);
        let port = Port {
            inbox: Arc::clone(&inbox),
            commands: Arc::clone(&commands),
            budget: Arc::clone(&budget),
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            shutdown: self.shutdown.clone(),
            abort: self.abort.clone(),
        };
        let background = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let maintenance = Maintenance {
            store: Arc::clone(&self.committer.store),
            checkpoint_every: self.checkpoint_every,
            rejects_retention: self.rejects_retention,
            clock: Arc::new(SystemClock),
        };
        tasks.spawn(maintenance.run(background.clone()));
        if let Some(server) = self.server {
            let stop = background.clone();
            tasks.spawn(async move {
                if let Err(error) = server.serve(stop).await {
                    warn!(%error, "the http port stopped");
                }
            });
        }
        let (jobs, receiver) = mpsc::channel(JOBS_MAX);
        let committer = tokio::spawn(self.committer.run(receiver, Arc::clone(&inbox)));
        let polling = start_source(self.source, port)?;
        let (finished, wait) = oneshot::channel();
        let driver = Driver {
            core: self.core,
            inbox: Arc::clone(&inbox),
            commands: Arc::clone(&commands),
            jobs,
            budget,
            health,
            metrics,
            progress: self.progress,
            published: Instant::now(),
            replayed: 0,
            abort: self.abort.clone(),
        };
        let core = thread("funnel-core", move || {
            // The receiver is gone only when the run was given up.
            let _ = finished.send(driver.run());
        })?;
        let result = wait_for(wait, committer, &self.shutdown, &self.abort).await;
        if result.is_err() {
            self.abort.cancel();
        }
        commands.push(Command::Leave);
        inbox.close();
        join("source", polling).await;
        join("core", core).await;
        background.cancel();
        // The committer has ended with its channel; these end with the token.
        while tasks.join_next().await.is_some() {}
        result
    }
}

/// The core's answer, or the end of patience with a shutdown.
async fn wait_for(
    mut wait: oneshot::Receiver<Result<Summary>>,
    committer: JoinHandle<()>,
    shutdown: &CancellationToken,
    abort: &CancellationToken,
) -> Result<Summary> {
    let answered = |answer: std::result::Result<Result<Summary>, oneshot::error::RecvError>| {
        answer.unwrap_or_else(|error| {
            Err(IngestError::internal("the core ended early").with_source(error))
        })
    };
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_MAX).await;
    };
    tokio::select! {
        answer = &mut wait => answered(answer),
        ended = committer => match ended {
            // It gave up and has told the core why, or the core is done.
            Ok(()) => answered(wait.await),
            Err(error) => Err(IngestError::internal("the committer ended early").with_source(error)),
        },
        () = abort.cancelled() => Err(IngestError::unavailable("the run was aborted")),
        () = too_late => Err(IngestError::unavailable(
            "the last commit did not get through in time; nothing is lost, the next run goes on \
             from the last commit",
        )),
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Thread<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| {
            IngestError::internal(format!("could not start thread `{name}`")).with_source(error)
        })
}

/// A source that panics must not leave the core waiting for ever.
fn start_source(source: Box<dyn Source>, port: Port) -> Result<Thread<()>> {
    let inbox = Arc::clone(&port.inbox);
    thread(source.name(), move || {
        let run = std::panic::AssertUnwindSafe(|| source.run(port));
        if std::panic::catch_unwind(run).is_err() {
            let error = IngestError::internal("the source ended in a panic");
            inbox.push(message::Input::Failed(error));
        }
    })
}

async fn join(name: &'static str, thread: Thread<()>) {
    let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
    if !matches!(joined, Ok(true)) {
        warn!(name, "a thread ended in a panic");
    }
}

async fn bind(
    http: HttpConfig,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Server>> {
    let Some(listen) = http.listen else {
        return Ok(None);
    };
    let server = Server::bind(listen, Arc::clone(health), Arc::clone(metrics)).await?;
    info!(address = %server.address(), "answering /livez, /readyz and /metrics");
    Ok(Some(server))
}

fn core_config(config: &IngestConfig, options: Options) -> CoreConfig {
    CoreConfig {
        job: config.job.clone(),
        flush: config.flush,
        start_from: config.start_from.clone(),
        contiguous: config.contiguous,
        on_truncation: config.on_truncation,
        dedup: config.dedup,
        rejects: config.rejects_policy(),
        overrides: options.overrides,
        until_end: options.until_end,
    }
}

/// The core's thread: takes inputs, carries out effects.
struct Driver {
    core: Core,
    inbox: Arc<Inbox<message::Input>>,
    commands: Arc<Inbox<Command>>,
    jobs: mpsc::Sender<Job>,
    budget: Arc<Budget>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    progress: watch::Sender<Progress>,
    published: Instant,
    replayed: u64,
    abort: CancellationToken,
}

impl Driver {
    fn run(mut self) -> Result<Summary> {
        loop {
            self.health.tick("core");
            if self.abort.is_cancelled() {
                return Err(IngestError::unavailable("the run was aborted"));
            }
            let patience = self.core.deadline().map_or(TICK, |deadline| {
                deadline.saturating_duration_since(Instant::now()).min(TICK)
            });
            let effects = match self.inbox.pop(patience) {
                Some(input) => self.core.handle(input),
                None => self.core.tick(),
            };
            self.budget.hold(self.core.held_bytes());
            for effect in effects {
                if self.carry_out(effect)? {
                    self.publish();
                    return Ok(Summary {
                        totals: self.core.totals(),
                        halted: self.core.halted(),
                    });
                }
            }
            if self.published.elapsed() >= TICK {
                self.publish();
            }
        }
    }

    /// Says whether that was the last.
    fn carry_out(&mut self, effect: Effect) -> Result<bool> {
        match effect {
            Effect::Load { tp, epoch, key } => self.job(Job::Load { tp, epoch, key })?,
            Effect::Commit(sealed) => self.job(Job::Commit(sealed))?,
            Effect::SetHalt(halt) => self.job(Job::SetHalt(halt))?,
            Effect::ClearHalt(key) => self.job(Job::ClearHalt(key))?,
            Effect::AskStored => self.job(Job::AskStored)?,
            Effect::Start { tp, epoch, offset } => {
                self.commands.push(Command::Start { tp, epoch, offset });
            }
            Effect::Release(tp) => self.commands.push(Command::Release(tp)),
            Effect::Recheck(tp) => self.commands.push(Command::Recheck(tp)),
            Effect::CommitKafka { offsets, version } => {
                self.commands
                    .push(Command::CommitKafka { offsets, version });
            }
            Effect::Finished => return Ok(true),
            Effect::Fail(error) => return Err(error),
        }
        Ok(false)
    }

    fn job(&self, job: Job) -> Result<()> {
        self.jobs
            .blocking_send(job)
            .map_err(|_| IngestError::internal("the committer ended early"))
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        let totals = self.core.totals();
        let (consumed, replayed) = self.core.consumed();
        self.metrics.totals(&totals);
        self.metrics.replayed(replayed - self.replayed);
        self.replayed = replayed;
        let held = self.core.held_bytes() as u64;
        let queued = self.inbox.weight() as u64;
        self.metrics
            .memory(held, queued, self.core.window_len() as u64);
        self.metrics
            .partitions(self.core.lag(), &self.core.status());
        let halted = self.core.halted();
        let in_words = |partition: &crate::api::HaltedPartition| {
            format!(
                "{}/{} {}",
                partition.topic, partition.partition, partition.reason
            )
        };
        self.health.halted(halted.iter().map(in_words).collect());
        if let Some(warning) = self.core.decoder().take_warning() {
            warn!("{warning}");
        }
        let committed =
            totals.accepted + totals.rejected + totals.duplicate + totals.empty + totals.tombstone;
        self.progress.send_replace(Progress {
            consumed,
            target: self.core.target_records(),
            committed_records: committed,
            event_rows: totals.event_rows,
            reject_rows: totals.reject_rows,
            lag: self.core.lag(),
            commits: totals.commits,
            halted: halted.len(),
        });
    }
}
