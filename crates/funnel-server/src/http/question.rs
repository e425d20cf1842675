//! The parameters of a question about a funnel.

use chrono::NaiveDate;
use funnel_query::QueryError;
use funnel_query::funnel::{Every, Funnels};
use funnel_query::report::ReportRequest;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use super::sql::Of;

/// A question about one funnel over a range of days; what is left out falls back to the definition and the account.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Question {
    /// The first day, in the account's time zone.
    #[param(value_type = String, format = Date, example = "2024-03-04")]
    pub(super) from: NaiveDate,
    /// The last day.
    #[param(value_type = String, format = Date, example = "2024-03-10")]
    pub(super) to: NaiveDate,
    /// May be left out where there is one account.
    pub(super) account: Option<String>,
    /// Dimension columns, separated by commas: each combination of values is counted on its own.
    pub(super) by: Option<String>,
    /// How many values of each dimension stay apart: those with the most units; the others are one group, `(other)`, and
    /// values are texts.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    pub(super) top: Option<String>,
    /// A SQL condition over the rows.
    #[serde(rename = "where")]
    #[param(rename = "where")]
    pub(super) condition: Option<String>,
    /// What is counted: `session`, `offer`, `conversation`, `visitor`.
    pub(super) unit: Option<String>,
    /// How steps are matched: `ordered`, `loose`, …
    pub(super) mode: Option<String>,
    /// The longest time from the first to the last step, such as `30m`; or `unbounded`.
    pub(super) window: Option<String>,
    /// An IANA time zone, instead of the account's.
    pub(super) timezone: Option<String>,
    /// Which time says on which day a unit is: `session_start` or `event_time`.
    pub(super) date_basis: Option<String>,
    /// Which interaction a conversion counts for: `last,31d`, `first,7d`.
    pub(super) attribution: Option<String>,
    /// The form of the answer, instead of the header `Accept`: `json`, `csv`, `csv_safe` (no text is a
    /// formula of a spreadsheet), `ndjson`, `arrow`, `parquet`.
    pub(super) format: Option<String>,
    /// The longest age of an agent state that is believed (availability only), such as `30s`.
    pub(super) stale_after: Option<String>,
    /// How long the periods are, in the calendar of the time zone: `day`, `week` (from Monday), `month` (trend only).
    #[param(value_type = Option<String>, example = "day")]
    pub(super) every: Option<Every>,
    /// Whose statement or plan it is (sql and plan only): `report`, `times`, `comparison`, `keys`, `losses`, `trend`,
    /// `availability`.
    #[param(value_type = Option<String>, example = "report")]
    pub(super) of: Option<Of>,
    /// Only units that got exactly so far (keys only).
    pub(super) level: Option<i32>,
    /// Only units in this state (keys only): `converted`, `dropped`, `open`.
    pub(super) state: Option<String>,
    /// Only units lost for this reason (keys only).
    pub(super) reason: Option<String>,
    /// How many keys at most (keys only).
    pub(super) limit: Option<usize>,
    /// Keys after this one (keys only): `next` of the answer before.
    pub(super) after: Option<String>,
}

impl Question {
    /// The request to the query layer.
    pub(super) fn request(&self, funnels: &Funnels, name: &str) -> Result<ReportRequest, Problem> {
        let (from, to) = (self.from, self.to);
        if from > to {
            return Err(Problem::wrong(format!(
                "`from` {from} lies after `to` {to}"
            )));
        }
        let funnel = funnels.get(name);
        let funnel =
            funnel.map_err(|error| Problem::not_found(QueryError::from(error).to_string()))?;
        let mut request = ReportRequest::new(funnel, from, to);
        for (option, text) in self.options() {
            request.set(option, text)?;
        }
        let by = self.by.as_deref().unwrap_or_default().split(',');
        let by = by.map(str::trim).filter(|column| !column.is_empty());
        request.by = by.map(str::to_owned).collect();
        Ok(request)
    }

    /// How long the periods of the trend are.
    pub(super) fn every(&self) -> Every {
        self.every.unwrap_or(Every::Day)
    }

    /// What is given beside days and breakdown.
    fn options(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let given = [
            ("account", &self.account),
            ("top", &self.top),
            ("where", &self.condition),
            ("unit", &self.unit),
            ("mode", &self.mode),
            ("window", &self.window),
            ("timezone", &self.timezone),
            ("date_basis", &self.date_basis),
            ("attribution", &self.attribution),
        ];
        let given = given.into_iter();
        // An empty value is what a form sends for a field that nobody filled in.
        given
            .filter_map(|(name, text)| text.as_deref().map(|text| (name, text)))
            .filter(|(_, text)| !text.is_empty())
    }
}
