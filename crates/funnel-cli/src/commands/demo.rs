//! `funnel demo`: a broker in this process, simulated traffic, the very same ingest path, and the
//! funnel as a picture.

mod check;
mod picture;
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::NaiveDate;
use funnel_datagen::{Options, Simulation, Truth};
use funnel_ingest::config::IngestConfig;
use funnel_lake::Lake;
use funnel_query::funnel::FunnelDefinition;
use funnel_query::report::{Report, ReportRequest, report};
use funnel_query::{QueryError, QueryOptions, QuerySession};
use rdkafka::mocking::MockCluster;

use super::context::Context;
use crate::args::DemoArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output;

/// Marks a directory as ours, so that a second demo may replace it.
const MARKER: &str = ".funnel-demo";
const PARTITIONS: i32 = 3;

pub(super) async fn run(context: &Context, args: &DemoArgs) -> Result<Exit> {
    let start = Instant::now();
    let place = Place::prepare(&args.dir)?;
    let options = Options {
        seed: args.seed,
        sessions: u64::from(args.sessions),
        accounts: 1,
        ..Options::default()
    };
    let zones = Simulation::time_zones(&options);
    let simulation = Simulation::new(options)?;
    place.write_config(&zones)?;

    let broker = broker()?;
    let lake = Lake::create_or_open(&place.lake_url()).await?;
    let config = ingest_config(&broker.bootstrap_servers())?;
    let truth = traffic::flow(context, simulation, config, &lake).await?;
    drop(broker);

    let accounts = zones
        .iter()
        .filter_map(|(id, zone)| Some((id.clone(), zone.parse().ok()?)));
    let options = QueryOptions {
        accounts: accounts.collect(),
        ..QueryOptions::default()
    };
    let session = QuerySession::open(&lake, options).await?;
    let answers = Answers::ask(&session, &truth).await?;
    output::print(&picture::draw(&answers)?)?;
    let differences = check::differences(&lake, &answers, &truth).await?;
    if differences.is_empty() {
        output::print("Every number is what was simulated, and every offset is accounted for.\n")?;
    }
    output::print(&closing(&place, &truth, &answers, start))?;
    for difference in &differences {
        output::note(&format!("differs from what was simulated: {difference}"));
    }
    Ok(if differences.is_empty() {
        Exit::Done
    } else {
        Exit::Gate
    })
}

/// The reports that the picture is drawn from.
struct Answers {
    monitored: Report,
    unmonitored: Report,
    /// The steps that both flows have, by flow.
    side_by_side: Report,
}

impl Answers {
    async fn ask(session: &QuerySession, truth: &Truth) -> Result<Self> {
        // Side by side: each leaves a core idle at its end.
        let (monitored, unmonitored, side_by_side) = tokio::try_join!(
            ask(session, truth, "monitored", &[]),
            ask(session, truth, "unmonitored", &[]),
            ask(session, truth, "impression_to_chat", &["flow"]),
        )?;
        Ok(Self {
            monitored,
            unmonitored,
            side_by_side,
        })
    }
}

async fn ask(session: &QuerySession, truth: &Truth, name: &str, by: &[&str]) -> Result<Report> {
    let funnel = FunnelDefinition::shipped(name).map_err(QueryError::from)?;
    let mut request = ReportRequest::new(funnel, day(&truth.from)?, day(&truth.to)?);
    request.by = by.iter().map(|column| (*column).to_owned()).collect();
    Ok(report(session, request).await?)
}

fn day(text: &str) -> Result<NaiveDate> {
    text.parse().map_err(|error| {
        CliError::failed(format!("could not read the day `{text}` of the simulation"))
            .because(error)
    })
}

fn broker() -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let failed = |error| CliError::failed("could not start the broker of the demo").because(error);
    let broker = MockCluster::new(1).map_err(failed)?;
    for topic in funnel_datagen::topics::ALL {
        broker.create_topic(topic, PARTITIONS, 1).map_err(failed)?;
    }
    Ok(broker)
}

/// The configuration of a service, with what suits one short run in one process.
fn ingest_config(brokers: &str) -> Result<IngestConfig> {
    let file: toml::Table = toml::toml! {
        [kafka]
        // No other instance shares the work, and a group would wait for them.
        assignment = "static"
        [kafka.options]
        "fetch.wait.max.ms" = 20
        [ingest]
        flush_age = "2s"
        [privacy]
        consumer_hash_key = "a key for simulated consumers, not a secret"
        consumer_key_id = "demo"
    };
    let mut file = file;
    if let Some(kafka) = file.get_mut("kafka").and_then(toml::Value::as_table_mut) {
        kafka.insert("brokers".to_owned(), brokers.into());
    }
    IngestConfig::from_toml(&file)
        .map_err(|error| CliError::failed("could not configure the demo").because(error))
}

/// The directory of the demo.
struct Place {
    dir: PathBuf,
}

impl Place {
    /// An empty directory; an earlier demo is replaced, anything else is refused.
    fn prepare(dir: &Path) -> Result<Self> {
        let failed = |error| CliError::file("prepare the directory", dir, error);
        let holds_something = dir
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some());
        if holds_something {
            if !dir.join(MARKER).is_file() {
                return Err(CliError::usage(format!(
                    "the directory `{}` is not empty and not of a demo",
                    dir.display()
                ))
                .hint("choose another with --dir"));
            }
            std::fs::remove_dir_all(dir).map_err(failed)?;
        }
        std::fs::create_dir_all(dir).map_err(failed)?;
        std::fs::write(dir.join(MARKER), "").map_err(failed)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    fn lake(&self) -> PathBuf {
        self.dir.join("lake")
    }

    fn lake_url(&self) -> String {
        self.lake().display().to_string()
    }

    fn config(&self) -> PathBuf {
        self.dir.join("funnel.toml")
    }

    /// So that the commands that follow report in the accounts' time zones, as the demo did.
    fn write_config(&self, zones: &[(String, String)]) -> Result<()> {
        let path = self.config();
        let url = std::path::absolute(self.lake())
            .map_err(|error| CliError::file("find", &self.dir, error))?;
        let mut file = toml::Table::new();
        let lake = [(
            "url".to_owned(),
            toml::Value::from(url.display().to_string()),
        )];
        file.insert(
            "lake".to_owned(),
            toml::Value::Table(lake.into_iter().collect()),
        );
        let accounts = zones.iter().map(|(account, zone)| {
            let zone = [("time_zone".to_owned(), toml::Value::from(zone.clone()))];
            (
                account.clone(),
                toml::Value::Table(zone.into_iter().collect()),
            )
        });
        file.insert(
            "accounts".to_owned(),
            toml::Value::Table(accounts.collect()),
        );
        let text = toml::to_string(&file).map_err(CliError::output)?;
        std::fs::write(&path, text).map_err(|error| CliError::file("write", &path, error))
    }
}

fn closing(place: &Place, truth: &Truth, answers: &Answers, start: Instant) -> String {
    let config = place.config().display().to_string();
    let (from, to) = (answers.monitored.header.from, answers.monitored.header.to);
    format!(
        "\
{} records in {:.1} s. The lake is {}: Delta tables of plain Parquet files. Go on with

  funnel sql --lake {lake} -c 'SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC'
  funnel sql --lake {lake}
  funnel report impression_to_chat --config {config} --from {from} --to {to} --by flow
  funnel rejects list --lake {lake} --by-reason
  funnel audit --lake {lake}
",
        truth.records.produced,
        start.elapsed().as_secs_f64(),
        place.lake().display(),
        lake = place.lake_url(),
    )
}
