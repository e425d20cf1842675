//! What a simulation promises to whoever feeds on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use funnel_datagen::truth::{AccountTruth, FunnelTruth, RecordFates};
use funnel_datagen::{Disorder, Message, Options, Simulation, Truth, topics};

#[expect(
    clippy::unwrap_used,
    reason = "the options of these tests are possible ones"
)]
fn run(options: Options) -> (Vec<Message>, Truth) {
    let mut simulation = Simulation::new(options).unwrap();
    let messages: Vec<Message> = simulation.by_ref().collect();
    (messages, simulation.into_truth())
}

fn options(sessions: u64, seed: u64) -> Options {
    Options {
        sessions,
        seed,
        ..Options::default()
    }
}

/// More of everything that goes wrong.
fn rough() -> Options {
    let disorder = Disorder {
        malformed: 0.05,
        tombstones: 0.02,
        lost_impressions: 0.1,
        unattributed: 0.1,
        ..Disorder::default()
    };
    Options {
        disorder,
        ..options(800, 3)
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (one, truth) = run(options(150, 9));
    let (two, same) = run(options(150, 9));
    assert_eq!(one, two);
    assert_eq!(truth, same);
    let (other, _) = run(options(150, 10));
    assert_ne!(one, other);
}

#[test]
fn disorder_in_transport_changes_no_funnel_number() {
    let tidy = Options {
        sessions: 400,
        seed: 4,
        ..Options::calm()
    };
    let disorder = Disorder {
        duplicates: 0.2,
        shuffled: 0.9,
        late: 0.1,
        malformed: 0.1,
        tombstones: 0.05,
        ..Disorder::none()
    };
    let (ordered, calm) = run(tidy.clone());
    let (shuffled, messy) = run(Options { disorder, ..tidy });
    assert_eq!(calm.accounts, messy.accounts);
    assert_eq!(calm.entries.events, messy.entries.events);
    assert_ne!(ordered.len(), shuffled.len());
    let set = |m: &[Message]| m.iter().map(|m| m.value.clone()).collect::<BTreeSet<_>>();
    assert!(set(&shuffled).is_superset(&set(&ordered)));
}

#[test]
fn every_record_has_one_fate_and_copies_keep_the_key_of_their_original() {
    let (messages, truth) = run(rough());
    let sum = |f: &RecordFates| f.accepted + f.duplicate + f.rejected + f.empty + f.tombstone;
    assert_eq!(truth.records.produced, messages.len() as u64);
    assert_eq!(truth.records.produced, sum(&truth.records));
    let mut by_topic: BTreeMap<&str, u64> = BTreeMap::new();
    let mut keys: HashMap<&[u8], &[u8]> = HashMap::new();
    let mut copies = 0;
    for m in &messages {
        *by_topic.entry(m.topic).or_default() += 1;
        let Some(value) = &m.value else { continue };
        // What is malformed may be the same by chance; it has no identity to lose.
        if value.starts_with(b"{\"schemaVersion\":\"1.0\",\"eventId\"")
            && let Some(key) = keys.insert(value, &m.key)
        {
            assert_eq!(key, m.key);
            copies += 1;
        }
    }
    assert!(copies > 0);
    for topic in topics::ALL {
        assert_eq!(truth.topics[topic].produced, by_topic[topic], "{topic}");
        assert_eq!(
            truth.topics[topic].produced,
            sum(&truth.topics[topic]),
            "{topic}"
        );
    }
    let tombstones = messages.iter().filter(|m| m.value.is_none()).count();
    assert_eq!(truth.records.tombstone, tombstones as u64);
    assert!(truth.records.empty > 0 && truth.records.duplicate >= copies / 2);
    assert_eq!(truth.entries.rejects, truth.rejects.values().sum::<u64>());
    assert!(truth.rejects.len() > 12, "{:?}", truth.rejects);
}

#[test]
fn good_messages_are_envelopes_on_their_topic_with_an_id_of_their_own() {
    let (messages, truth) = run(Options {
        sessions: 400,
        ..Options::calm()
    });
    assert_eq!(truth.records.produced, truth.records.accepted);
    let mut ids = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for m in &messages {
        let v: serde_json::Value = serde_json::from_slice(m.value.as_deref().unwrap()).unwrap();
        let event_type = v["eventType"].as_str().unwrap();
        assert_eq!(m.topic, topics::of(event_type));
        assert!(ids.insert(v["eventId"].as_str().unwrap().to_owned()));
        let account = v["accountId"].as_str().unwrap();
        assert!(truth.accounts.contains_key(account));
        assert!(m.key.starts_with(account.as_bytes()));
        kinds.insert((
            v["sourceSystem"].as_str().unwrap().to_owned(),
            event_type.to_owned(),
        ));
    }
    for event_type in [
        "engagement_impression",
        "engagement_click",
        "chat_requested",
    ] {
        assert!(
            kinds.iter().filter(|(_, t)| t == event_type).count() >= 2,
            "{event_type}"
        );
    }
}

/// The event types of the contract. `chat_interactive` is not among them: it is derived, and no
/// message bears it.
const EVENT_TYPES: [&str; 24] = [
    "session_started",
    "page_viewed",
    "engagement_eligible",
    "engagement_retrieved",
    "engagement_start",
    "engagement_rendered",
    "engagement_impression",
    "engagement_expanded",
    "engagement_timeout",
    "engagement_declined",
    "engagement_removed",
    "engagement_click",
    "availability_checked",
    "chat_authenticated",
    "chat_window_state",
    "chat_requested",
    "chat_connected",
    "chat_line",
    "chat_transferred",
    "chat_resume_failed",
    "chat_ended",
    "survey_event",
    "sde_reported",
    "goal_reached",
];

/// The sources that the contract knows.
const SOURCES: [&str; 8] = [
    "web_tag",
    "app_engagement",
    "monitoring_api",
    "chat_sdk",
    "server_chat",
    "visit_info",
    "data_access",
    "engagement_history",
];

#[test]
fn every_event_type_and_every_source_occurs_and_sessions_name_their_device() {
    let mut options = Options {
        sessions: 3_000,
        ..Options::calm()
    };
    options.disorder.copies = 0.25;
    let (messages, _) = run(options);
    let (mut types, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let (mut sessions, mut with_device) = (BTreeSet::new(), BTreeSet::new());
    for m in &messages {
        let text = m.value.as_deref().unwrap();
        let v: serde_json::Value = serde_json::from_slice(text).unwrap();
        let name = |key: &str| v[key].as_str().unwrap_or_default().to_owned();
        let session = name("sessionId");
        let session = session.split('.').next().unwrap_or_default().to_owned();
        if name("eventType") == "session_started" {
            sessions.insert(session.clone());
            if text.windows(14).any(|w| w == b"\"deviceFamily\"") {
                with_device.insert(session);
            }
        }
        types.insert(name("eventType"));
        sources.insert(name("sourceSystem"));
    }
    assert_eq!(types, EVENT_TYPES.map(str::to_owned).into());
    assert_eq!(sources, SOURCES.map(str::to_owned).into());
    assert_eq!(sessions.len(), 3_000);
    assert_eq!(sessions, with_device);
}

#[test]
fn messages_come_in_order_of_their_timestamps_with_little_held_back() {
    let mut simulation = Simulation::new(options(3_000, 2)).unwrap();
    let (mut last, mut most, mut total) = (i64::MIN, 0, 0);
    while let Some(m) = simulation.next() {
        assert!(m.timestamp_ms >= last);
        last = m.timestamp_ms;
        most = most.max(simulation.held().0);
        total += 1;
    }
    assert!(
        most * 5 < total,
        "{most} of {total} messages were held at once"
    );
}

fn identities(account: &AccountTruth) {
    let n = |k: &str| account.metrics[k];
    assert_eq!(account.outcomes.values().sum::<u64>(), n("offers"));
    assert_eq!(
        account.sessions_by_date.values().sum::<u64>(),
        n("sessions")
    );
    assert_eq!(
        n("requested_chats"),
        n("connected_chats") + n("abandoned_chats")
    );
    assert_eq!(
        n("connected_chats"),
        n("interactive_chats") + n("non_interactive_chats")
    );
    let conversations = n("requested_conversations");
    assert_eq!(
        conversations,
        n("connected_conversations") + n("abandoned_conversations")
    );
    assert!(
        conversations < n("requested_chats"),
        "no chat was passed on"
    );
    assert_eq!(
        n("engagements"),
        n("interactive_chats") + n("content_clicked")
    );
    let engaged = "conversions_after_engagement";
    assert_eq!(
        n(engaged),
        n("conversions_after_engagement_in_session")
            + n("conversions_after_engagement_cross_session")
    );
    let only = n("conversions_after_exposure_not_engagement");
    assert_eq!(n("conversions_after_exposure"), n(engaged) + only);
    let outcome = |k: &str| account.outcomes.get(k).copied().unwrap_or_default();
    let chats = [
        "interactive",
        "connected_non_interactive",
        "abandoned_in_queue",
    ];
    assert_eq!(chats.map(outcome).iter().sum::<u64>(), conversations);
    assert_eq!(outcome("interactive"), n("interactive_conversations"));
    assert!(n("sessions") >= n("prospects") && n("exposures") >= n("exposed"));
    for flow in account.metrics_by_flow.values() {
        assert_eq!(flow.len(), account.metrics.len());
    }
}

/// A visitor has one device, so the counts by device add up at every unit.
fn device_identities(account: &AccountTruth) {
    assert_eq!(account.by_device.len(), 3);
    let reached = |f: &FunnelTruth| -> Vec<u64> {
        let steps = f.loose.iter().chain(&f.ordered);
        steps.map(|s| s.reached).collect()
    };
    for (name, units) in &account.funnels {
        for (unit, all) in units {
            let mut sum = vec![0; reached(all).len()];
            for device in account.by_device.values() {
                let some = reached(&device[name][unit]);
                sum.iter_mut().zip(some).for_each(|(sum, n)| *sum += n);
            }
            assert_eq!(sum, reached(all), "{name} {unit}");
        }
    }
}

fn funnel_identities(account: &AccountTruth) {
    let n = |k: &str| account.metrics[k];
    for (name, units) in &account.funnels {
        for (unit, funnel) in units {
            for (loose, ordered) in funnel.loose.iter().zip(&funnel.ordered) {
                assert_eq!(loose.step, ordered.step);
                assert!(
                    loose.reached >= ordered.reached,
                    "{name} {unit} {}",
                    loose.step
                );
            }
        }
    }
    let at = |funnel: &str, unit: &str, step: &str| {
        let mut steps = account.funnels[funnel][unit].loose.iter();
        steps.find(|s| s.step == step).map_or(0, |s| s.reached)
    };
    let both = |unit: &str, m: &str, u: &str| at("monitored", unit, m) + at("unmonitored", unit, u);
    assert_eq!(both("session", "session", "session"), n("sessions"));
    assert_eq!(both("session", "exposed", "displayed"), n("exposed"));
    assert_eq!(both("offer", "session", "session"), n("offers"));
    assert_eq!(
        at("chat_lifecycle", "conversation", "requested"),
        n("requested_conversations")
    );
    assert_eq!(
        at("chat_lifecycle", "conversation", "connected"),
        n("connected_conversations")
    );
    assert!(at("impression_to_chat", "visitor", "interactive") <= n("engaged_visitors"));
    assert!(n("engaged_visitors") <= n("engaged"));
}

#[test]
fn the_truth_of_a_rough_simulation_adds_up() {
    let (_, truth) = run(Options {
        sessions: 4_000,
        ..rough()
    });
    assert_eq!(truth.accounts.len(), 3);
    let sessions: u64 = truth.accounts.values().map(|a| a.metrics["sessions"]).sum();
    assert_eq!(sessions, 4_000);
    let mut outcomes = BTreeSet::new();
    for account in truth.accounts.values() {
        identities(account);
        funnel_identities(account);
        device_identities(account);
        outcomes.extend(account.outcomes.keys().cloned());
        assert!(account.metrics["unattributed_chats"] > 0);
        assert!(account.metrics["conversions_after_engagement_cross_session"] > 0);
    }
    assert_eq!(outcomes.len(), 14, "{outcomes:?}");
}

#[test]
fn lost_impressions_break_the_ordered_funnel_only() {
    let (_, truth) = run(rough());
    let skipped = truth.accounts.values().any(|a| {
        let f = &a.funnels["impression_to_chat"]["offer"];
        let at = |steps: &[funnel_datagen::truth::StepTruth]| {
            steps
                .iter()
                .find(|s| s.step == "clicked")
                .map(|s| s.reached)
        };
        at(&f.loose) > at(&f.ordered)
    });
    assert!(skipped);
}

#[test]
fn impossible_options_are_refused_with_a_hint() {
    let error = Simulation::new(Options {
        click: 1.5,
        ..Options::calm()
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot simulate click = 1.5; a share between 0 and 1"
    );
    assert!(
        Simulation::new(Options {
            days: 0,
            ..Options::calm()
        })
        .is_err()
    );
    assert!(
        Simulation::new(Options {
            accounts: 0,
            ..Options::calm()
        })
        .is_err()
    );
}

#[test]
fn a_folder_holds_every_record_and_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let truth = funnel_datagen::write_dir(Simulation::new(rough()).unwrap(), dir.path()).unwrap();
    let mut lines = 0;
    let mut wrapped = 0;
    for topic in topics::ALL {
        let text = std::fs::read_to_string(dir.path().join(format!("{topic}.ndjson"))).unwrap();
        assert_eq!(text.lines().count() as u64, truth.topics[topic].produced);
        lines += text.lines().count();
        wrapped += text.lines().filter(|l| l.starts_with("{\"key\":")).count();
    }
    assert_eq!(lines as u64, truth.records.produced);
    assert!(wrapped as u64 > truth.records.tombstone);
    let stored = std::fs::read(dir.path().join("truth.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Truth>(&stored).unwrap(), truth);
}
