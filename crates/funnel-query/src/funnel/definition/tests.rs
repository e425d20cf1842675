//! What a definition may say, and what an error about it says.

use super::*;

const MINIMAL: &str = r#"
name = "two"
question = "How many clicked?"
unit = "offer"
[[steps]]
name = "shown"
when = "event_type = 'engagement_impression'"
[[steps]]
name = "clicked"
when = "event_type = 'engagement_click'"
"#;

fn parse(text: &str) -> Result<FunnelDefinition, DefinitionError> {
    FunnelDefinition::parse("mine.toml", text)
}

#[test]
fn every_shipped_definition_loads_under_its_own_name() {
    assert_eq!(
        FunnelDefinition::names(),
        [
            "monitored",
            "unmonitored",
            "impression_to_chat",
            "chat_lifecycle"
        ]
    );
    for name in FunnelDefinition::names() {
        let definition = FunnelDefinition::shipped(name).unwrap();
        assert_eq!(definition.name, name);
        assert_eq!(definition.mode, Mode::Loose);
        for unit in [Unit::Session, Unit::Offer, Unit::Conversation] {
            assert_eq!(
                definition.windows.of(unit),
                Window::Unbounded,
                "{name} by {unit}"
            );
        }
        assert_eq!(
            definition.windows.visitor.seconds(),
            Some(31 * 86_400),
            "{name}"
        );
    }
}

#[test]
fn an_unknown_name_lists_the_names_there_are() {
    let error = FunnelDefinition::shipped("checkout")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`checkout`") && error.contains("`impression_to_chat`"),
        "{error}"
    );
}

#[test]
fn the_hash_follows_what_decides_the_answer_and_not_its_words() {
    let plain = parse(MINIMAL).unwrap().hash;
    let hash = |from: &str, to: &str| parse(&MINIMAL.replace(from, to)).unwrap().hash;
    assert_eq!(hash("How many clicked?", "And how many clicked?"), plain);
    assert_eq!(
        hash("name = \"shown\"", "name = \"shown\"\ntitle = \"Shown\""),
        plain
    );
    for (from, to) in [
        ("'engagement_click'", "'engagement_declined'"),
        ("unit = \"offer\"", "unit = \"session\""),
        ("unit = \"offer\"", "unit = \"offer\"\nmode = \"ordered\""),
        (
            "unit = \"offer\"",
            "unit = \"offer\"\nwhere = \"is_content\"",
        ),
        (
            "unit = \"offer\"",
            "unit = \"offer\"\nwindow.offer = \"30 minutes\"",
        ),
        ("name = \"clicked\"", "name = \"clicked\"\noptional = true"),
    ] {
        assert_ne!(hash(from, to), plain, "{to}");
    }
}

#[test]
fn an_error_names_the_file_the_key_and_what_to_write() {
    for (from, to, key, hint) in [
        (
            "name = \"two\"",
            "name = \"Two steps\"",
            "`name`",
            "lower-case letters",
        ),
        (
            "unit = \"offer\"",
            "unit = \"page\"",
            "`unit`",
            "session, offer, conversation, visitor",
        ),
        (
            "unit = \"offer\"",
            "unit = \"offer\"\nmode = \"strict\"",
            "`mode`",
            "\"ordered\"",
        ),
        (
            "unit = \"offer\"",
            "unit = \"offer\"\nwindow.visitor = \"30\"",
            "`window.visitor`",
            "\"31 days\"",
        ),
        (
            "name = \"clicked\"",
            "name = \"shown\"",
            "`steps[1].name`",
            "its own name",
        ),
        (
            "'engagement_click'\"",
            "x\"\nseen_when = \" \"",
            "`steps[1].seen_when`",
            "SQL predicate",
        ),
        (
            "name = \"shown\"",
            "name = \"shown\"\noptional = true",
            "`steps[0].name`",
            "remove optional",
        ),
        (
            "name = \"clicked\"",
            "name = \"clicked\"\noptional = true\nrequired_when = \"is_content\"",
            "`steps[1].required_when`",
            "keep one",
        ),
    ] {
        let error = parse(&MINIMAL.replace(from, to)).unwrap_err().to_string();
        let found = error.starts_with("mine.toml: ") && error.contains(key) && error.contains(hint);
        assert!(found, "{to}: {error}");
    }
}

#[test]
fn a_key_that_does_not_exist_is_refused_with_its_place() {
    let error = parse(&MINIMAL.replace("when =", "wen =")).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("wen"), "{source}");
    assert!(error.to_string().starts_with("mine.toml: "), "{error}");
}

#[test]
fn one_step_is_no_funnel() {
    let (one, _) = MINIMAL.rsplit_once("[[steps]]").unwrap();
    let error = parse(one).unwrap_err().to_string();
    assert!(error.contains("two [[steps]]"), "{error}");
}
