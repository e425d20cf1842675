//! `funnel explain`.

use clap::Args;

use super::{OutputArgs, QuestionArgs, with_exit_codes};

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel explain monitored D8pGm0aXTyK7rNcQ4jEw1g --lake ./lake            a session, by its id
  funnel explain impression_to_chat '58213347|Qm7xT2dL|D8pGm0aX|3' --lake ./lake
                                                       an offer, by the key the views show
  funnel explain monitored Qm7xT2dLS1eWc0vN9pKa_w --unit visitor --lake ./lake --format json
  funnel explain --file my_funnel.toml D8pGm0aXTyK7rNcQ4jEw1g --lake ./lake
  funnel explain monitored D8pGm0aXTyK7rNcQ4jEw1g --mode ordered --window 30m --lake ./lake
                                                       and if the rules were others?
  funnel explain --file signup.toml --table t=events.parquet ann
                                                       a key of any table

KEY is the key of one unit as `sessions`, `offers`, `chats` and the report show it, or its last part;
over a table, the value of `source.key`. All days count unless --from and --to say otherwise.
Every row has one class: used, superseded_entry, repeat, before_entry, out_of_order, not_later,
out_of_window, after_completion, filtered, duplicate_id, not_a_step. The verdict names the step that
is missing, the reason, and what would have had to happen. An unknown key is wrong usage; the nearest
keys are listed."))]
pub(crate) struct ExplainArgs {
    /// Name of a shipped funnel; left out with --file
    #[arg(value_name = "FUNNEL", required = true)]
    first: String,
    /// Key of the session, offer, conversation or visitor, or the last part of it
    #[arg(value_name = "KEY", required_unless_present = "file")]
    second: Option<String>,
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ExplainArgs {
    /// The name of a shipped funnel and the key; with --file there is no name.
    pub(crate) fn funnel_and_key(&self) -> (Option<&str>, Option<&str>) {
        match (&self.question.file, &self.second) {
            (Some(_), None) => (None, Some(&self.first)),
            (_, second) => (Some(&self.first), second.as_deref()),
        }
    }
}
