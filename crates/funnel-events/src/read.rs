//! Members of a JSON object to values of columns.
//!
//! Each `take_*` marks what it could use. A value that it could not use stays unmarked, the column
//! stays null, and the value ends up in `extra_json`: that is the whole rule for wrong types.

use crate::column::{DECIMAL_PRECISION, DECIMAL_SCALE};
use crate::json::{Kind, Value, decimal, integer};
use crate::time::read_time;

/// The longest id that is believed to be one.
const ID_BYTES_MAX: usize = 256;
/// The longest name or address.
const TEXT_BYTES_MAX: usize = 4096;
/// Sources write this for "no name".
const NULL_NAME: &str = "*!@NULL*!@";

impl<'d> Value<'d, '_> {
    /// Text or number as text; empty text is null.
    pub(crate) fn take_text(self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let text = value.as_text(TEXT_BYTES_MAX)?;
        // An address of a person in the place of a name: the column is not for it.
        if text.contains('@') && crate::privacy::has_email(&text) {
            return None;
        }
        value.mark();
        Some(text).filter(|text| !text.is_empty() && text != NULL_NAME)
    }

    /// An address; what identifies people is taken out of it later.
    pub(crate) fn take_url(self, key: &str) -> Option<String> {
        let value = self.get(key).filter(|value| value.kind() == Kind::String)?;
        let text = value.as_text(2 * TEXT_BYTES_MAX)?;
        value.mark();
        Some(text).filter(|text| !text.is_empty())
    }

    /// An id as text: what was sent as a number is written without fraction.
    pub(crate) fn take_id(self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let text = value.as_text(ID_BYTES_MAX)?;
        if text.chars().any(char::is_control) {
            return None;
        }
        value.mark();
        Some(text).filter(|text| !text.is_empty())
    }

    /// An integer as number or text.
    pub(crate) fn take_int<T: TryFrom<i64>>(self, key: &str) -> Option<T> {
        let value = self.get(key)?;
        if value.kind() == Kind::String && value.text().is_empty() {
            value.mark();
            return None;
        }
        let number = value.as_int().and_then(|number| T::try_from(number).ok())?;
        value.mark();
        Some(number)
    }

    /// A Boolean as such or as text.
    pub(crate) fn take_bool(self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let truth = match value.kind() {
            Kind::True => true,
            Kind::False => false,
            Kind::String if value.text().eq_ignore_ascii_case("true") => true,
            Kind::String if value.text().eq_ignore_ascii_case("false") => false,
            _ => return None,
        };
        value.mark();
        Some(truth)
    }

    /// An amount in units of the column's last place.
    pub(crate) fn take_money(self, key: &str) -> Option<i128> {
        let value = self.get(key)?;
        if !matches!(value.kind(), Kind::Number | Kind::String) {
            return None;
        }
        let amount = decimal(value.text(), DECIMAL_PRECISION, DECIMAL_SCALE)?;
        value.mark();
        Some(amount)
    }

    /// A time in microseconds.
    pub(crate) fn take_time(self, key: &str) -> Option<i64> {
        let value = self.get(key)?;
        let time = read_time(value).ok()?;
        value.mark();
        Some(time)
    }

    /// The first of several members that is a time.
    pub(crate) fn take_first_time(self, keys: &[&str]) -> Option<i64> {
        // All are read: the others say the same in another form.
        keys.iter().fold(None, |time, key| {
            let other = self.take_time(key);
            time.or(other)
        })
    }

    /// A list of texts; one text is a list of one.
    pub(crate) fn take_texts(self, key: &str) -> Option<Vec<String>> {
        let value = self.get(key)?;
        let texts = match value.kind() {
            Kind::String => vec![value.text().to_owned()],
            Kind::Array => value
                .items()
                .filter_map(|item| item.unwrapped().as_text(TEXT_BYTES_MAX))
                .collect(),
            _ => return None,
        };
        value.mark_all();
        Some(texts)
    }

    /// The source says -1 for "none".
    pub(crate) fn take_known_int(self, key: &str) -> Option<i64> {
        self.take_int::<i64>(key).filter(|number| *number != -1)
    }

    /// The source says NA for "not known".
    pub(crate) fn take_known_text(self, key: &str) -> Option<String> {
        self.take_text(key)
            .filter(|text| text != "NA" && text != "-1")
    }

    pub(crate) fn as_text(self, bytes_max: usize) -> Option<String> {
        match self.kind() {
            Kind::String if self.text().len() <= bytes_max => Some(self.text().to_owned()),
            Kind::Number => integer(self.text()).map(|number| number.to_string()),
            _ => None,
        }
    }

    pub(crate) fn as_int(self) -> Option<i64> {
        match self.kind() {
            Kind::Number | Kind::String => integer(self.text()),
            _ => None,
        }
    }

    /// Text of a member that decides something; not marked.
    pub(crate) fn peek_text(self, key: &str) -> Option<&'d str> {
        self.get(key)
            .filter(|value| value.kind() == Kind::String)
            .map(Value::text)
    }
}
