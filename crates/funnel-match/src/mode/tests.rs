use super::*;

fn error(text: &str) -> String {
    text.parse::<Mode>().unwrap_err().to_string()
}

#[test]
fn every_mode_is_found_by_its_name_in_any_case() {
    for name in [
        "ordered",
        "ordered,increase",
        "next",
        "next,relevant=steps",
        "unordered",
        "unordered,anchored",
        "set",
        "loose",
        "doris:default",
        "doris:fixed",
        "starrocks:default",
        "starrocks:deduplication,fixed,increase",
        "pinot:default",
        "pinot:keep_all,max_step_duration=10",
        "pinot:max_step_duration=7",
        "posthog:ordered",
        "posthog:strict",
        "posthog:unordered",
        "ch:default",
        "ch:strict_deduplication,strict_order,strict_increase,strict_once,allow_reentry",
    ] {
        let mode: Mode = name.parse().unwrap();
        assert_eq!(mode.to_string(), name);
        let shouted = format!(" {} ", name.to_uppercase().replace(',', " , "));
        assert_eq!(shouted.parse(), Ok(mode));
    }
}

#[test]
fn unknown_mode_is_answered_with_the_known_ones() {
    let message = error("strict_order");
    assert!(
        message.starts_with("there is no mode 'strict_order'; known modes: 'ordered', "),
        "{message}"
    );
}

#[test]
fn flags_are_taken_in_any_order_but_once() {
    let mode: Mode = "ch:strict_once,strict_order".parse().unwrap();
    assert_eq!("ch:strict_order,strict_once".parse(), Ok(mode));
    assert_eq!(
        error("ch:strict_once,strict_once"),
        "mode 'ch:strict_once,strict_once' has the flag 'strict_once' twice"
    );
}

#[test]
fn flag_that_does_not_exist_is_named() {
    assert!(error("ch:strict_oder").contains("no flag 'strict_oder'; it may have: default, or"));
    assert!(error("ch:").contains("no flag ''"));
    assert!(error("ch:default,strict_once").contains("no flag 'default'"));
    assert!(error("loose,increase").contains("no flag 'increase'"));
    assert!(error("ch:strict").contains("is called 'strict_deduplication'"));
}

#[test]
fn reentry_needs_the_order() {
    assert!(error("ch:allow_reentry").contains("only with 'strict_order'"));
    assert!("ch:allow_reentry,strict_order".parse::<Mode>().is_ok());
}

#[test]
fn dialects_that_have_one_mode_refuse_two() {
    assert!(error("doris:fixed,increase").contains("one mode at a time"));
    assert!(error("posthog:ordered,strict").contains("one order"));
    assert!(error("posthog:").contains("one of ordered, strict, unordered"));
    assert!(error("posthog:default").contains("one of ordered, strict, unordered"));
}

#[test]
fn a_value_belongs_to_the_flag_that_has_one() {
    assert!(error("pinot:max_step_duration").contains("needs a whole number above 0"));
    assert!(error("pinot:max_step_duration=0").contains("needs a whole number above 0"));
    assert!(error("pinot:max_step_duration=1,max_step_duration=2").contains("twice"));
    assert!(error("pinot:keep_all=1").contains("'keep_all' takes no value"));
    assert!(error("ch:strict_once=1").contains("'strict_once' takes no value"));
}

#[test]
fn relevant_rows_are_those_of_the_steps() {
    assert!(error("next,relevant=all").contains("is relevant=steps, or left out"));
    assert!(error("next,relevant").contains("is relevant=steps, or left out"));
    assert!(error("next,strict").contains("no flag 'strict'; it may have: relevant=steps"));
    assert!(error("set,anchored").contains("no flags"));
}
