//! Nothing personal is stored by default.

use arrow::array::RecordBatch;
use funnel_events::{Decoder, DecoderConfig, HashKey, PrivacyKeep, Warning};

use crate::support::{batch, columns, decoder, events, examples, split};

/// What the examples say about people: names, addresses, numbers, chat text, answers, queries.
const PERSONAL: [&str; 42] = [
    "Dana",
    "Reyes",
    "dana@example.test",
    "555-0100",
    "Bakery",
    "Ohio",
    "OTHER",
    "1982",
    "user77120",
    "CU-77120",
    "1520.4",
    "Mira",
    "mira@example.test",
    "Natalie",
    "Dayton",
    "Visitor\"",
    "What is the fixed rate",
    "Let me check",
    "An advisor will join",
    "Opened from the portfolio",
    "ExampleTrader",
    "refinance cost",
    "Very satisfied",
    "How satisfied",
    "[redacted]",
    "Your e-mail",
    "Home loans\"",
    "203.0.113.9",
    "192.168.",
    "195.62.30.20",
    "C-991",
    "person-4711",
    "anonymous-17",
    "15550100199",
    "My number is",
    "card=4111",
    "my card is",
    "John",
    "Doe",
    "j@example.test",
    "138766AC",
    "Loading account",
];

fn all_rows(decoder: &Decoder) -> RecordBatch {
    let mut all = Vec::new();
    for (_, text) in examples("valid") {
        all.extend(split(decoder.decode(Some(text.as_bytes()))).0);
    }
    batch(&all)
}

#[test]
fn nothing_personal_of_the_examples_stands_in_any_column() {
    let batch = all_rows(&decoder());
    for row in 0..batch.num_rows() {
        for (column, value) in columns(&batch, row) {
            let value = value.to_string().replace("\\\"", "\"");
            for personal in PERSONAL {
                // One example's page view has this as the name of an offer, which is the brand's
                // own text.
                let own = column == "engagement_name";
                assert!(
                    own || !value.contains(personal),
                    "{column} holds {personal:?}: {value}"
                );
            }
            let address = column.ends_with("url") && value.contains(['?', '#']);
            assert!(!address, "{column} keeps a query: {value}");
        }
    }
}

#[test]
fn the_examples_would_show_it_if_everything_were_kept() {
    // Guards the test above: the personal texts do reach the decoder.
    let keep = PrivacyKeep::from_names(PrivacyKeep::NAMES).expect("all names are known");
    let batch = all_rows(&Decoder::new(DecoderConfig {
        keep,
        ..DecoderConfig::default()
    }));
    let text: String = (0..batch.num_rows())
        .flat_map(|row| columns(&batch, row).into_values())
        .map(|value| value.to_string())
        .collect();
    for personal in [
        "Dana",
        "dana@example.test",
        "What is the fixed rate",
        "mail=dana",
        "203.0.113.9",
    ] {
        assert!(text.contains(personal), "{personal}");
    }
}

fn customer(decoder: &Decoder) -> Option<String> {
    let (_, text) = examples("valid")
        .into_iter()
        .find(|(name, _)| name.starts_with("g44"))
        .expect("g44");
    split(decoder.decode(Some(text.as_bytes())))
        .0
        .remove(0)
        .consumer_key
}

#[test]
fn a_consumer_is_a_keyed_hash_that_differs_by_key_and_by_account() {
    let with = |secret: &[u8]| {
        let key = HashKey::new(secret, "k");
        Decoder::new(DecoderConfig {
            consumer_hash_key: Some(key),
            ..DecoderConfig::default()
        })
    };
    let key = customer(&with(b"one")).expect("a key gives a hash");
    assert_eq!(key.len(), 32);
    assert_eq!(Some(&key), customer(&with(b"one")).as_ref());
    assert_ne!(Some(&key), customer(&with(b"two")).as_ref());
    let hash = HashKey::new(b"one", "k");
    assert_eq!(key, hash.consumer_key("58213347", "CU-77120"));
    assert_ne!(key, hash.consumer_key("58213348", "CU-77120"));
    assert!(
        !format!("{hash:?}").contains("one"),
        "a secret is never printed"
    );
}

#[test]
fn without_a_key_there_is_no_consumer_key_and_one_warning() {
    let decoder = Decoder::new(DecoderConfig::default());
    assert_eq!(decoder.take_warning(), None, "nothing to warn of yet");
    assert_eq!(customer(&decoder), None);
    assert_eq!(customer(&decoder), None);
    assert_eq!(decoder.take_warning(), Some(Warning::NoConsumerKey));
    assert_eq!(decoder.take_warning(), None, "said once");
}

#[test]
fn the_strongest_identity_of_a_request_is_the_consumer() {
    let (_, text) = examples("valid")
        .into_iter()
        .find(|(name, _)| name.starts_with("s03"))
        .expect("s03");
    let event = &events(&text)[0];
    let expected = HashKey::new(b"a test secret", "k1").consumer_key("58213347", "person-4711");
    assert_eq!(event.consumer_key, Some(expected));
    assert_eq!(event.acr.as_deref(), Some("loa1"));
    let places = event.entry_points.clone().expect("entry points");
    assert_eq!(
        places,
        [
            "tel:[removed]",
            "https://www.brand.test/a",
            "sec://Sport",
            "lang://English"
        ]
    );
}

#[test]
fn a_name_that_is_not_on_the_list_of_choices_is_given_back() {
    assert_eq!(
        PrivacyKeep::from_names(["chat_text", "everything"]),
        Err("everything".to_owned())
    );
}
